"""People and their devices on a real core, and notifiers whose clock is put forward by hand."""

from collections import Counter
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from domain import commands as c
from domain import instants
from domain.envelope import Basis
from domain.ids import chat_stream, direct_chat_id, group_id, user_stream
from gateway.email_links import EmailLinks
from gateway.push_endpoints import PushHosts
from projections.store.port import Batch, ReadStore
from tests.servers.mail import MailServer, mail_server
from tests.servers.push_service import Phone, PushService, push_service
from workers.core import Core, now, open_core, writing
from workers.notifier import Manner, make_notifier
from workers.notifier.notifier import Notifier
from workers.notifier.smtp import Smtp
from workers.notifier.webpush import WebPush
from workers.secrets_file import Secrets, open_secrets
from workers.settings import read_settings

PARTITION = "events"
PUSH_DELAY = 5
MAIL_DELAY = 600
HOUR = 3600
KEY = bytes(range(32))
PUBLIC_URL = "https://chat.example.org"


class Died(Exception):
    """The notifier is no more."""


class Mortal:
    """Something a notifier uses, and dies of: at the given use, before or after what it does."""

    def __init__(self, real: Any, life: "Life", uses: Collection[str]) -> None:
        self._real = real
        self._life = life
        self._uses = uses

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        if name not in self._uses:
            return real

        async def used(*args: Any, **kwargs: Any) -> Any:
            self._life.spend(name, after=False)
            result = await real(*args, **kwargs)
            self._life.spend(name, after=True)
            return result

        return used


class Life:
    """`left` steps, each before or after a use. `ended` once they were gone; `unrecorded` is how
    many things had been sent then after the last that was written down."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.ended = False
        self.unrecorded = 0

    def spend(self, name: str, *, after: bool) -> None:
        if not self.ended and after:
            self.unrecorded = self.unrecorded + 1 if name == "send" else 0
        self.ended = self.ended or self.left == 0
        if self.ended:
            raise Died
        self.left -= 1


class Work:
    """A store that counts what is written to it and read from it."""

    def __init__(self, store: ReadStore) -> None:
        self._store = store
        self.documents = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def write(self, batch: Batch) -> None:
        self.documents += sum(len(documents) for _, documents in batch.documents)
        await self._store.write(batch)

    async def get(self, collection: Any, keys: Any) -> Any:
        wanted = list(keys)
        self.documents += len(wanted)
        return await self._store.get(collection, wanted)

    async def scan(self, collection: Any, scans: Any) -> Any:
        found = await self._store.scan(collection, scans)
        self.documents += sum(map(len, found))
        return found


class Notices:
    def __init__(
        self, core: Core, secrets: Secrets, service: PushService, mail: MailServer
    ) -> None:
        self.core = core
        self.service = service
        self.mail = mail
        self.ahead = 0
        self.counts: Counter[tuple[str, str]] = Counter()
        self.chat = ""
        self.links = EmailLinks(KEY, PUBLIC_URL)
        self._vapid = secrets.vapid_key
        self._opened: list[WebPush] = []
        self._keys = 0
        self._usual: Notifier | None = None

    def clock(self) -> str:
        return instants.later(now(), self.ahead)

    def notifier(
        self,
        *,
        content: bool = False,
        life: Life | None = None,
        store: Any = None,
        timeout: float = 10.0,
        hosts: PushHosts | None = None,
        jitter: float = 1.0,
    ) -> Notifier:
        """Another notifier on the same core; it begins where `begin` is called."""
        web_push: Any = WebPush(
            self._vapid,
            "mailto:admin@example.org",
            hosts or PushHosts([self.service.host]),
            self.clock,
            trusted=self.service.trusted(),
            timeout=timeout,
        )
        self._opened.append(web_push)
        smtp: Any = Smtp(self.mail.url)
        store = store or self.core.store
        if life is not None:
            web_push = Mortal(web_push, life, ("send",))
            smtp = Mortal(smtp, life, ("send",))
            store = Mortal(store, life, ("write",))
        return make_notifier(
            self.core.event_log,
            store,
            self.core.vault,
            self.core.progress,
            self.core.commander,
            Manner(
                content=content,
                push_delay=PUSH_DELAY,
                mail_delay=MAIL_DELAY,
                public_url=PUBLIC_URL,
                sender="hansard@example.org",
                smtp=smtp,
                web_push=web_push,
                links=self.links,
            ),
            self.clock,
            KEY,
            counts=self.counts,
            jitter=lambda: jitter,
        )

    async def start(self, **options: Any) -> Notifier:
        notifier = self.notifier(**options)
        await notifier.begin([PARTITION])
        return notifier

    async def use(self, **options: Any) -> None:
        """Have the usual notifier be one with these options."""
        self._usual = await self.start(**options)

    async def note(self, notifier: Notifier | None = None) -> None:
        """Have all that has happened noted down."""
        await self.core.settle()
        notifier = notifier or await self._the_usual()
        while await notifier.take(PARTITION):
            pass

    async def wait(self, seconds: int, notifier: Notifier | None = None) -> None:
        """Let time go by, with everything noted down before, and what is due done after."""
        notifier = notifier or await self._the_usual()
        await self.note(notifier)
        self.ahead += seconds
        await notifier.sweep(PARTITION)

    async def _the_usual(self) -> Notifier:
        if self._usual is None:
            await self.use()
        assert self._usual is not None
        return self._usual

    async def close(self) -> None:
        for web_push in self._opened:
            await web_push.aclose()

    # What people do

    async def do(
        self, user: str, stream: str, action: c.AnyAction, rights: c.Rights = "client", **more: Any
    ) -> int:
        self._keys += 1
        _, command = self.core.commander.identify(user, stream, str(self._keys))
        made = await self.core.commander.command(
            user, stream, command, action, rights=rights, **more
        )
        return (await self.core.commander.execute(made)).outcome.seq

    async def to_self(self, user: str, action: c.AnyAction, rights: c.Rights = "client") -> int:
        return await self.do(user, user_stream(user), action, rights)

    async def to_chat(self, user: str, action: c.AnyAction, chat: str = "") -> int:
        return await self.do(user, chat_stream(chat or self.chat), action)

    async def register(self, *users: str) -> None:
        for user in users:
            profile = c.PutProfile(name=user.title(), email=f"{user}@example.org")
            await self.to_self(user, profile)

    async def verify(self, user: str, address: str = "") -> None:
        address = address or f"{user}@example.org"
        await self.to_self(user, c.VerifyEmail(email=address), "system")

    async def group(self, *members: str, name: str = "room") -> str:
        self.chat = group_id(name)
        await self.to_chat(members[0], c.CreateChat(kind="group", members=members, name=name))
        return self.chat

    async def direct(self, one: str, other: str) -> str:
        self.chat = direct_chat_id(one, other)
        await self.to_chat(one, c.CreateChat(kind="direct", members=(one, other)))
        return self.chat

    async def say(self, user: str, content: str = "hello", **fields: Any) -> int:
        return await self.to_chat(user, c.SendMessage(kind="text", content=content, **fields))

    async def read(self, user: str, up_to: int) -> None:
        await self.to_self(user, c.MarkRead(chat=self.chat, up_to=up_to))

    async def mute(self, user: str) -> None:
        until = instants.later(self.clock(), 24 * HOUR)
        seen = await self.core.progress.heads([chat_stream(self.chat)])
        basis = [Basis(stream, seq) for stream, seq in seen.items()]
        action = c.FileChat(chat=self.chat, muted_until=until)
        await self.do(user, user_stream(user), action, basis=basis)

    async def prefer(self, user: str, kind: str, **channels: bool) -> None:
        preferences: Any = {kind: channels}
        await self.to_self(user, c.PutPreferences(preferences=preferences))

    async def phone(self, user: str, device: str = "phone") -> Phone:
        """A device of the user's that is told of things."""
        phone = self.service.phone(f"{user}-{device}-{self._keys}")
        await self.subscribe(user, phone, device)
        return phone

    async def subscribe(self, user: str, phone: Phone, device: str = "phone") -> None:
        await self.to_self(
            user, c.AddDevice(device=device, kind="webpush", subscription=phone.subscription)
        )


@asynccontextmanager
async def opened(folder: Path, *, begun: bool = True) -> AsyncIterator[Notices]:
    """Ann, Bob and Cat in a room, and a notifier that has begun after that, if any has."""
    settings = read_settings({"HANSARD_DATA_DIR": str(folder / "data")})
    secrets = open_secrets(settings)
    async with (
        push_service(folder) as service,
        mail_server() as mail,
        open_core(settings, secrets) as core,
        writing(core),
    ):
        notices = Notices(core, secrets, service, mail)
        await notices.register("ann", "bob", "cat")
        await notices.group("ann", "bob", "cat")
        await notices.core.settle()
        if begun:
            await notices.use()
        try:
            yield notices
        finally:
            await notices.close()


async def dies_of(work: Coroutine[Any, Any, None]) -> bool:
    """Whether somebody died of the work."""
    died = False
    try:
        await work
    except* Died:
        died = True
    return died
