"""A hub with a screen for everyone, before a small world."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from domain.envelope import Envelope
from domain.ids import chat_stream, split_stream, user_stream
from gateway.contacts import Contacts
from gateway.ws.hub import Hub
from projections.realtime import open_realtime
from projections.realtime.port import Publication
from projections.views.reading import Reading
from tests.contract.views.world import World

ROOM = "chats/room"
SENTINEL = Publication(channel=ROOM, kind="typing", frame=b"sentinel", user="nobody")


def live(stream: str, seq: int) -> bytes:
    """The frame of an event that came through realtime."""
    return f"live {stream}/{seq}".encode()


def published(envelope: Envelope) -> list[Publication]:
    """An event as the fan-out tells it, with a frame that shows which way it came."""
    data: dict[str, Any] = msgspec.json.decode(envelope.data)
    touches: tuple[str, ...] = ()
    if envelope.type == "chat.created":
        touches = tuple(data["members"])
    elif envelope.type in ("member.added", "member.removed"):
        touches = (data["user"],)
    of_message = "message" in data and envelope.stream.startswith("chats/")
    event = Publication(
        channel=envelope.stream,
        kind="event",
        frame=live(envelope.stream, envelope.seq),
        redacted=b"redacted" if of_message else None,
        seq=envelope.seq,
        type=envelope.type,
        message=data.get("message"),
        chat=data.get("chat", ""),
        touches=touches,
        command=envelope.commandid,
    )
    chat = split_stream(envelope.stream)[1]
    return [event] + [
        Publication(
            channel=user_stream(user),
            kind="membership",
            seq=envelope.seq,
            type=envelope.type,
            chat=chat,
        )
        for user in touches
    ]


class Screen:
    """A connection: what it was shown. `story` has of each stream the seq of each event, and where
    it was let in or out."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.frames: list[bytes] = []
        self.story: dict[str, list[int | str]] = defaultdict(list)
        self.times_lost = 0
        self._changed = asyncio.Event()

    def event(self, published: Publication, frame: bytes) -> None:
        self.story[published.channel].append(published.seq)
        self.show(frame)

    def joined(self, stream: str, seq: int) -> None:
        self.story[stream].append(f"in after {seq}")

    def left(self, stream: str) -> None:
        self.story[stream].append("out")

    def banned(self, code: str) -> None: ...

    def show(self, frame: bytes) -> None:
        self.frames.append(frame)
        self._changed.set()

    def lost(self) -> None:
        self.times_lost += 1
        self._changed.set()

    async def until_shown(self, frame: bytes) -> None:
        await self.until(lambda: frame in self.frames)

    async def until_at(self, stream: str, seq: int) -> None:
        await self.until(lambda: seq in self.story[stream])

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class Lobby:
    """`realtime` is the gateway's, `writer` the fan-out's."""

    def __init__(
        self,
        world: World,
        url: str = "memory://",
        settle: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.world = world
        self.realtime = open_realtime(url)
        self.writer = self.realtime if url == "memory://" else open_realtime(url)
        self.hub = Hub(
            lambda: Reading(world.store, world.vault, world.now),
            self.realtime,
            settle or self.settle,
            Contacts(world.store),
        )
        self.screens: dict[str, Screen] = {}
        self._folding = asyncio.Lock()

    async def settle(self) -> None:
        async with self._folding:
            await self.world.fold()

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator["Lobby"]:
        running = asyncio.create_task(self.hub.run())
        try:
            yield self
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await self.writer.close()
            await self.realtime.close()

    async def connect(self, *users: str) -> None:
        for user in users:
            screen = Screen(user)
            await self.hub.attach(screen)
            self.screens[user] = screen

    def clear(self) -> None:
        for screen in self.screens.values():
            screen.frames.clear()

    async def publish(self, *events: Envelope) -> None:
        await self.writer.publish([one for event in events for one in published(event)])

    async def publish_from(self, stream: str, after: int) -> None:
        """Publish what a stream has after a seq."""
        await self.publish(*(e for e in self.world.events_of(stream) if e.seq > after))

    async def shown(self, *publications: Publication) -> dict[str, list[bytes]]:
        """What these publications show, and to whom."""
        self.clear()
        await self.writer.publish([*publications, SENTINEL])
        shown: dict[str, list[bytes]] = {}
        present = [user for user in self.screens if self.hub.is_member(user, ROOM)]
        for user in present:
            screen = self.screens[user]
            await screen.until_shown(SENTINEL.frame)
            screen.frames.remove(SENTINEL.frame)
            if screen.frames:
                shown[user], screen.frames = screen.frames, []
        return shown

    async def mark(self, user: str, up_to: int, kind: str = "read") -> set[str]:
        """Who is told that a user has come so far."""
        await (self.world.read if kind == "read" else self.world.receive)(user, "room", up_to)
        await self.settle()
        receipt = Publication(
            channel=ROOM, kind="receipt", frame=b"receipt", type=kind, user=user, up_to=up_to
        )
        shown = await self.shown(receipt)
        assert all(frames == [b"receipt"] for frames in shown.values())
        return set(shown)

    async def speak(self, chat: str, user: str, times: int) -> int:
        """Have messages sent that nobody has published yet; the seq of the last."""
        for _ in range(times):
            await self.world.say(user, chat, "hi")
        return self.world.head(chat_stream(chat))
