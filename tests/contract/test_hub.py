"""The hub on a real store: who is shown receipts, and what happens when it can't keep up."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.ws import hub as hub_module
from gateway.ws.showing import RECEIPTS_TO_ALL
from tests.contract.lobby import ROOM, SENTINEL, Lobby, live
from tests.contract.views.world import World


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
    async with Lobby(world).at_work() as lobby:
        await lobby.connect(*users)
        yield lobby


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
        await lobby.publish_from(ROOM, 0)
        await lobby.screens["u3"].until_shown(live(ROOM, left))
        del lobby.screens["u3"]
        lobby.clear()
        assert await lobby.mark("u9", seqs[-1]) == {"u1"}


async def test_the_size_follows_joining_and_leaving(world: World) -> None:
    users = people(RECEIPTS_TO_ALL)
    async with gathered(world, users) as lobby:
        seqs = [await world.say("u1", "room", "hi") for _ in range(2)]
        await world.register("late")
        await world.add("u0", "room", "late")
        # What comes twice counts once.
        await lobby.publish_from(ROOM, 0)
        await lobby.publish_from(ROOM, 0)
        await lobby.shown()
        assert lobby.hub.members_count(ROOM) == RECEIPTS_TO_ALL + 1
        assert await lobby.mark("u9", seqs[0]) == {"u1"}
        left = await world.leave("late", "room")
        await lobby.publish_from(ROOM, left - 1)
        await lobby.shown()
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
