"""The hub on a real store: who is shown receipts, and what happens when it can't keep up."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.ws import hub as hub_module
from gateway.ws.hub import RECEIPTS_TO_ALL, Hub
from projections.realtime import open_realtime
from projections.realtime.port import Publication
from projections.views.reading import Reading
from tests.contract.views.world import World

ROOM = "chats/room"
SENTINEL = Publication(channel=ROOM, kind="typing", frame=b"sentinel", user="nobody")


class Screen:
    """A connection: what it was shown."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.frames: list[bytes] = []
        self.times_lost = 0
        self._changed = asyncio.Event()

    def event(self, _: Publication, frame: bytes) -> None:
        self.show(frame)

    def joined(self, stream: str, seq: int) -> None: ...
    def left(self, stream: str) -> None: ...
    def banned(self, code: str) -> None: ...

    def show(self, frame: bytes) -> None:
        self.frames.append(frame)
        self._changed.set()

    def lost(self) -> None:
        self.times_lost += 1
        self._changed.set()

    async def until_shown(self, frame: bytes) -> None:
        await self.until(lambda: frame in self.frames)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class Lobby:
    """A hub with a screen for everyone."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.realtime = open_realtime("memory://")
        self.hub = Hub(
            lambda: Reading(world.store, world.vault, world.now), self.realtime, world.fold
        )
        self.screens: dict[str, Screen] = {}

    async def connect(self, *users: str) -> None:
        for user in users:
            self.screens[user] = Screen(user)
            await self.hub.attach(self.screens[user])

    async def shown(self, *publications: Publication) -> dict[str, list[bytes]]:
        """What these publications show, and to whom."""
        await self.realtime.publish([*publications, SENTINEL])
        shown: dict[str, list[bytes]] = {}
        for user, screen in self.screens.items():
            await screen.until_shown(SENTINEL.frame)
            screen.frames.remove(SENTINEL.frame)
            if screen.frames:
                shown[user], screen.frames = screen.frames, []
        return shown

    async def mark(self, user: str, up_to: int, kind: str = "read") -> set[str]:
        """Who is told that a user has come so far."""
        await (self.world.read if kind == "read" else self.world.receive)(user, "room", up_to)
        await self.world.fold()
        receipt = Publication(
            channel=ROOM, kind="receipt", frame=b"receipt", type=kind, user=user, up_to=up_to
        )
        shown = await self.shown(receipt)
        assert all(frames == [b"receipt"] for frames in shown.values())
        return set(shown)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = await World.open(tmp_path, f"sqlite:///{tmp_path}/read.db")
    yield world
    await world.close()


@asynccontextmanager
async def gathered(world: World, users: Sequence[str]) -> AsyncIterator[Lobby]:
    """A room with these members, who are all connected."""
    await world.register(*users)
    await world.group("room", *users)
    lobby = Lobby(world)
    await lobby.connect(*users)
    running = asyncio.create_task(lobby.hub.run())
    yield lobby
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def people(count: int) -> list[str]:
    return [f"u{n}" for n in range(count)]


async def test_in_a_small_chat_all_others_see_a_receipt(world: World) -> None:
    users = people(RECEIPTS_TO_ALL)
    async with gathered(world, users) as lobby:
        seq = await world.say("u1", "room", "hi")
        assert await lobby.mark("u9", seq) == {*users} - {"u9"}


@pytest.mark.parametrize("kind", ["read", "delivered"])
async def test_in_a_large_chat_only_the_senders_of_what_it_newly_covers(
    world: World, kind: str
) -> None:
    async with gathered(world, people(RECEIPTS_TO_ALL + 1)) as lobby:
        seqs = [await world.say(user, "room", "hi") for user in ("u1", "u2", "u9", "u3", "u1")]
        assert await lobby.mark("u9", seqs[2], kind) == {"u1", "u2"}
        assert await lobby.mark("u9", seqs[3], kind) == {"u3"}
        assert await lobby.mark("u9", seqs[4], kind) == {"u1"}
        # Another's mark is another's.
        assert await lobby.mark("u8", seqs[4], kind) == {"u1", "u2", "u3", "u9"}


async def test_marks_of_one_kind_do_not_cover_for_the_other(world: World) -> None:
    async with gathered(world, people(RECEIPTS_TO_ALL + 1)) as lobby:
        seq = await world.say("u1", "room", "hi")
        assert await lobby.mark("u9", seq, "delivered") == {"u1"}
        assert await lobby.mark("u9", seq, "read") == {"u1"}


async def test_who_left_or_is_not_connected_is_not_told(world: World) -> None:
    async with gathered(world, people(RECEIPTS_TO_ALL + 3)) as lobby:
        seqs = [await world.say(user, "room", "hi") for user in ("u1", "u2", "u3")]
        lobby.hub.detach(lobby.screens.pop("u2"))
        left = await world.leave("u3", "room")
        removed = Publication(
            channel=ROOM,
            kind="event",
            frame=b"removed",
            seq=left,
            type="member.removed",
            touches=("u3",),
        )
        await lobby.realtime.publish([removed])
        await lobby.screens["u3"].until_shown(b"removed")
        del lobby.screens["u3"]
        await lobby.shown()
        assert await lobby.mark("u9", seqs[-1]) == {"u1"}


async def test_the_size_follows_joining_and_leaving(world: World) -> None:
    users = people(RECEIPTS_TO_ALL)
    async with gathered(world, users) as lobby:
        seqs = [await world.say("u1", "room", "hi") for _ in range(2)]
        await world.register("late")
        joined = await world.add("u0", "room", "late")
        change = Publication(
            channel=ROOM,
            kind="event",
            frame=b"added",
            seq=joined,
            type="member.added",
            touches=("late",),
        )
        # What comes twice counts once.
        await lobby.shown(change, change)
        assert lobby.hub.members_count(ROOM) == RECEIPTS_TO_ALL + 1
        assert await lobby.mark("u9", seqs[0]) == {"u1"}
        left = await world.leave("late", "room")
        change = Publication(
            channel=ROOM,
            kind="event",
            frame=b"removed",
            seq=left,
            type="member.removed",
            touches=("late",),
        )
        await lobby.shown(change)
        assert lobby.hub.members_count(ROOM) == RECEIPTS_TO_ALL
        assert await lobby.mark("u9", seqs[1]) == {*users} - {"u9"}


async def test_when_too_much_waits_everyone_has_lost_their_place(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "MAX_WAITING", 10)
    async with gathered(world, people(3)) as lobby:
        await lobby.realtime.publish([SENTINEL] * 10)
        assert [screen.times_lost for screen in lobby.screens.values()] == [0, 0, 0]
        await lobby.realtime.publish([SENTINEL])
        assert [screen.times_lost for screen in lobby.screens.values()] == [1, 1, 1]
        # What waited is dropped, and what comes then is shown.
        assert await lobby.shown() == {}


async def test_when_the_store_does_not_answer_everyone_has_lost_their_place(world: World) -> None:
    async with gathered(world, people(RECEIPTS_TO_ALL + 1)) as lobby:
        await world.store.close()
        receipt = Publication(
            channel=ROOM, kind="receipt", frame=b"receipt", type="read", user="u9", up_to=2
        )
        await lobby.realtime.publish([receipt])
        screen = lobby.screens["u1"]
        await screen.until(lambda: screen.times_lost > 0)
        assert {screen.times_lost for screen in lobby.screens.values()} == {1}
        assert await lobby.shown() == {}


async def test_nothing_is_kept_of_who_has_gone(world: World) -> None:
    async with gathered(world, people(3)) as lobby:
        assert lobby.hub.connections == 3
        assert lobby.hub.is_member("u1", ROOM)
        for screen in lobby.screens.values():
            lobby.hub.detach(screen)
            lobby.hub.detach(screen)
        assert lobby.hub.connections == 0
        assert not lobby.hub.is_member("u1", ROOM)
        assert lobby.hub.members_count(ROOM) is None
