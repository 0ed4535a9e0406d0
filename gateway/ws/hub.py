"""Who is connected here, and which connection is shown which publication."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

import structlog

from domain.ids import chat_stream, split_stream, user_stream
from gateway.contacts import Contacts
from projections.chats import CHATS, MEMBERSHIPS, Chat
from projections.hidden import HIDDEN
from projections.marks import MARK_STEPS
from projections.messages import MESSAGES
from projections.realtime.port import Publication, Realtime
from projections.store.port import ReadStore, Scan, StoreError

log = structlog.get_logger()

#: Publications waiting to be shown; past that every connection has lost its place.
MAX_WAITING = 50_000
#: In chats above this size a receipt goes only to the senders of what it newly covers.
RECEIPTS_TO_ALL = 50
COVERED = 100
REMEMBERED_HIDDEN = 20_000
#: Deliveries before other work has its turn.
TURN = 256


class Connection(Protocol):
    """What the hub needs of a connection."""

    @property
    def user(self) -> str: ...

    def event(self, published: Publication, frame: bytes) -> None: ...
    def joined(self, stream: str, seq: int) -> None: ...
    def left(self, stream: str) -> None: ...
    def show(self, frame: bytes) -> None: ...
    def lost(self) -> None: ...
    def banned(self, code: str) -> None: ...


class _Room:
    """A chat with members connected here: `floors` has for each the first seq they may see.
    `members_count` is as of `seq`."""

    __slots__ = ("floors", "members_count", "seq", "since_joined")

    def __init__(self, chat: Chat) -> None:
        self.seq = chat.seq
        self.since_joined = chat.history == "since_joined"
        self.members_count = chat.members_count
        self.floors: dict[str, int] = {}

    def count(self, seq: int, change: int) -> None:
        if seq > self.seq:
            self.seq = seq
            self.members_count += change


class Hub:
    def __init__(
        self, store: ReadStore, realtime: Realtime, settle: Callable[[], Awaitable[None]]
    ) -> None:
        """`settle` returns once the read models hold all that was published when it was called."""
        self._store = store
        self._contacts = Contacts(store)
        self._realtime = realtime
        self._settle = settle
        self._users: dict[str, set[Connection]] = {}
        self._rooms: dict[str, _Room] = {}
        self._rooms_of: dict[str, set[str]] = {}
        self._changes: dict[str, list[dict[str, int]]] = {}
        self._hidden: OrderedDict[tuple[str, int], set[str]] = OrderedDict()
        self._waiting: list[Publication] = []
        self._arrived = asyncio.Event()
        realtime.listen(self._take)

    @property
    def connections(self) -> int:
        return sum(map(len, self._users.values()))

    def members_count(self, stream: str) -> int | None:
        """The number of members of a chat that someone connected here is in."""
        room = self._rooms.get(stream)
        return None if room is None else room.members_count

    def is_member(self, user: str, stream: str) -> bool:
        """Whether a user connected here is in the chat."""
        return stream in self._rooms_of.get(user, ())

    async def attach(self, connection: Connection) -> None:
        """Let a connection have all its user's streams from now on.

        What is published while this runs is shown to the connection as well; on return the read
        models hold everything published before.
        """
        user = connection.user
        self._users.setdefault(user, set()).add(connection)
        # From here on changes of membership are noted, for the scan below may not show them yet.
        changes: dict[str, int] = {}
        self._changes.setdefault(user, []).append(changes)
        self._realtime.subscribe([user_stream(user)])
        try:
            await self._settle()
            [found] = await self._store.scan(MEMBERSHIPS, [Scan(equal=(user,), along="by_user")])
            memberships = {chat_stream(m.chat): m for m in found}
            chats = await self._store.get(CHATS, [(m.chat,) for m in found])
            for chat in chats.values():
                stream = chat_stream(chat.chat)
                membership = memberships[stream]
                if changes.get(stream, 0) <= membership.seq:
                    self._enter(user, stream, membership.joined, chat)
            self._realtime.subscribe(self._rooms_of.get(user, ()))
            # What was published before the subscriptions stood is waited for, not missed.
            await self._settle()
        finally:
            self._changes[user].remove(changes)
            if not self._changes[user]:
                del self._changes[user]

    def detach(self, connection: Connection) -> None:
        user = connection.user
        connections = self._users.get(user)
        if connections is None:
            return
        connections.discard(connection)
        if not connections:
            del self._users[user]
            for stream in self._rooms_of.pop(user, set()):
                self._drop(user, stream)
            self._realtime.unsubscribe([user_stream(user)])

    async def publish(self, publication: Publication) -> None:
        """Pass on what is no event: typing."""
        await self._realtime.publish([publication])

    async def run(self) -> None:
        """Show publications until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            batch, self._waiting = self._waiting, []
            try:
                await self._show(batch)
            except StoreError as error:
                log.warning("publications_lost", error=str(error))
                self._lose_all()

    def _take(self, publications: Sequence[Publication]) -> None:
        if not self._users:
            return
        self._waiting.extend(publications)
        self._arrived.set()
        if len(self._waiting) > MAX_WAITING:
            self._waiting.clear()
            self._lose_all()

    def _lose_all(self) -> None:
        for connection in [c for connections in self._users.values() for c in connections]:
            connection.lost()

    async def _show(self, batch: Sequence[Publication]) -> None:
        hidden = await self._hidden_by(batch)
        # Where one of two has blocked the other, typing and receipts don't pass.
        apart = await self._contacts.apart(
            {p.channel for p in batch if p.kind != "event" and self.members_count(p.channel) == 2}
        )
        await self._open_rooms(batch)
        shown = 0
        for published in batch:
            room = self._rooms.get(published.channel)
            shown += 1 if room is None else len(room.floors)
            if shown > TURN:
                shown = 0
                await asyncio.sleep(0)
            match published.kind:
                case "event":
                    self._show_event(published, hidden)
                case "typing" | "receipt" if published.channel in apart:
                    pass
                case "receipt":
                    await self._show_receipt(published)
                case _:
                    self._show_to_members(published, published.user)

    def _show_event(self, published: Publication, hidden: dict[tuple[str, int], set[str]]) -> None:
        stream = published.channel
        category, name = split_stream(stream)
        if category == "users":
            self._note(published, name)
            for connection in tuple(self._users.get(name, ())):
                connection.event(published, published.frame)
            return
        if published.type in ("chat.created", "member.added"):
            self._let_in(published)
        room = self._rooms.get(stream)
        if room is None:
            return
        unseen = hidden.get((stream, published.message), set()) if published.message else set()
        for user, floor in room.floors.items():
            frame = published.frame
            if (
                published.message is not None
                and published.redacted is not None
                and (published.message < floor or user in unseen)
            ):
                frame = published.redacted
            for connection in tuple(self._users.get(user, ())):
                connection.event(published, frame)
        if published.type == "member.removed":
            room.count(published.seq, -1)
            self._let_out(published)

    def _let_in(self, published: Publication) -> None:
        stream, seq = published.channel, published.seq
        room = self._rooms.get(stream)
        if room is not None and published.type == "member.added":
            room.count(seq, 1)
        for user in published.touches:
            if user not in self._users:
                continue
            self._note_change(user, stream, seq)
            if room is None:
                continue
            room.floors[user] = seq if room.since_joined else 0
            self._rooms_of.setdefault(user, set()).add(stream)
            for connection in tuple(self._users[user]):
                connection.joined(stream, seq - 1)

    def _let_out(self, published: Publication) -> None:
        stream = published.channel
        for user in published.touches:
            self._note_change(user, stream, published.seq)
            self._rooms_of.get(user, set()).discard(stream)
            self._drop(user, stream)
            for connection in tuple(self._users.get(user, ())):
                connection.left(stream)

    def _note_change(self, user: str, stream: str, seq: int) -> None:
        for changes in self._changes.get(user, ()):
            changes[stream] = seq

    def _enter(self, user: str, stream: str, joined: int, chat: Chat) -> None:
        room = self._rooms.get(stream)
        if room is None:
            room = self._rooms[stream] = _Room(chat)
        room.floors[user] = joined if room.since_joined else 0
        self._rooms_of.setdefault(user, set()).add(stream)

    def _drop(self, user: str, stream: str) -> None:
        room = self._rooms.get(stream)
        if room is not None:
            room.floors.pop(user, None)
            if not room.floors:
                del self._rooms[stream]
                self._realtime.unsubscribe([stream])

    def _note(self, published: Publication, user: str) -> None:
        if published.message is not None and user in self._users:
            place = (chat_stream(published.chat), published.message)
            self._hidden.setdefault(place, set()).add(user)
            while len(self._hidden) > REMEMBERED_HIDDEN:
                self._hidden.popitem(last=False)
        if published.type in ("user.suspended", "user.erased"):
            code = "suspended" if published.type == "user.suspended" else "user_erased"
            for connection in tuple(self._users.get(user, ())):
                connection.banned(code)

    async def _open_rooms(self, batch: Iterable[Publication]) -> None:
        """Have a room for every chat into which someone connected is let."""
        streams = {
            p.channel
            for p in batch
            if p.kind == "event"
            and p.type in ("chat.created", "member.added")
            and p.channel not in self._rooms
            and any(user in self._users for user in p.touches)
        }
        if not streams:
            return
        # The chat's kind of history is fixed by its first event; wait until that can be read.
        await self._settle()
        chats = await self._store.get(CHATS, [(split_stream(s)[1],) for s in streams])
        for chat in chats.values():
            self._rooms.setdefault(chat_stream(chat.chat), _Room(chat))

    async def _hidden_by(self, batch: Iterable[Publication]) -> dict[tuple[str, int], set[str]]:
        """Who has hidden each message that the batch's events are about."""
        about = {
            (p.channel, p.message)
            for p in batch
            if p.message is not None and p.channel in self._rooms
        }
        if not about:
            return {}
        asked = sorted(about)
        scans = [
            Scan(equal=(split_stream(stream)[1], message), along="by_message")
            for stream, message in asked
        ]
        found = await self._store.scan(HIDDEN, scans)
        hidden = {
            place: {document.user for document in documents}
            for place, documents in zip(asked, found, strict=True)
        }
        for place, users in hidden.items():
            users |= self._hidden.get(place, set())
        return hidden

    async def _show_receipt(self, published: Publication) -> None:
        room = self._rooms.get(published.channel)
        if room is None:
            return
        if room.members_count <= RECEIPTS_TO_ALL:
            self._show_to_members(published, published.user)
            return
        for user in await self._covered(published):
            if user != published.user and user in room.floors:
                for connection in tuple(self._users.get(user, ())):
                    connection.show(published.frame)

    async def _covered(self, published: Publication) -> set[str]:
        """The senders of the last messages that a mark newly covers."""
        chat = split_stream(published.channel)[1]
        [steps] = await self._store.scan(
            MARK_STEPS,
            [
                Scan(
                    equal=(chat, published.user, published.type),
                    below=published.up_to,
                    newest=True,
                    limit=1,
                )
            ],
        )
        [messages] = await self._store.scan(
            MESSAGES,
            [
                Scan(
                    equal=(chat,),
                    along="by_ordinal",
                    above=steps[0].up_to if steps else 0,
                    below=published.up_to + 1,
                    newest=True,
                    limit=COVERED,
                )
            ],
        )
        return {message.sender for message in messages}

    def _show_to_members(self, published: Publication, but: str) -> None:
        room = self._rooms.get(published.channel)
        if room is None:
            return
        for user in room.floors:
            if user != but:
                for connection in tuple(self._users.get(user, ())):
                    connection.show(published.frame)
