"""What people tell of themselves is shown to whom it concerns: once, seldom, and the last."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain import commands as c
from gateway.ws import announcements
from projections.realtime.port import Kind, Publication
from tests.contract.lobby import ROOM, Lobby
from tests.contract.views.world import World

SECOND = "chats/second"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = await World.open(tmp_path, f"sqlite:///{tmp_path}/read.db")
    await world.register("ann", "bob", "cat", "dan")
    await world.group("room", "ann", "bob", "cat")
    await world.group("second", "ann", "bob", "dan")
    yield world
    await world.close()


@pytest.fixture
async def lobby(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lobby]:
    monkeypatch.setattr(announcements, "APART", 0.3)
    monkeypatch.setattr(announcements, "KNOWN", 60.0)
    async with Lobby(world).at_work() as lobby:
        await lobby.connect("ann", "bob", "cat", "dan")
        yield lobby


def said(
    status: bytes, seq: int, channel: str = ROOM, kind: Kind = "presence", user: str = "ann"
) -> Publication:
    return Publication(channel=channel, kind=kind, frame=status, user=user, seq=seq)


async def tell(lobby: Lobby, *publications: Publication) -> None:
    await lobby.writer.publish(publications)


@pytest.mark.parametrize("kind", ["presence", "profile"])
async def test_everyone_is_shown_it_once_but_oneself(lobby: Lobby, kind: Kind) -> None:
    await tell(lobby, *(said(b"on", 1, channel, kind) for channel in (ROOM, SECOND, ROOM)))
    for user in ("bob", "cat", "dan"):
        await lobby.screens[user].until_shown(b"on")
    await tell(lobby, said(b"end", 2, SECOND, kind), said(b"end", 2, ROOM, kind))
    for user in ("bob", "cat", "dan"):
        await lobby.screens[user].until_shown(b"end")
        assert lobby.screens[user].frames == [b"on", b"end"]
    assert lobby.screens["ann"].frames == []


async def test_of_many_the_first_and_the_last_are_shown(lobby: Lobby) -> None:
    await tell(lobby, *(said(b"%d" % seq, seq) for seq in range(1, 50)))
    await lobby.screens["bob"].until_shown(b"49")
    assert lobby.screens["bob"].frames == [b"1", b"49"]


async def test_what_comes_late_is_not_shown(lobby: Lobby) -> None:
    await tell(lobby, said(b"3", 3), said(b"2", 2, SECOND), said(b"5", 5), said(b"4", 4, SECOND))
    for user in ("bob", "cat"):
        await lobby.screens[user].until_shown(b"5")
        assert lobby.screens[user].frames == [b"3", b"5"]
    assert lobby.screens["dan"].frames == []


async def test_what_is_as_it_was_shown_is_not_shown_again(lobby: Lobby) -> None:
    await tell(lobby, said(b"on", 1), said(b"off", 2), said(b"on", 3))
    # When the second of these is shown, so would be what came of the first since.
    await tell(lobby, said(b"one", 1, user="cat"), said(b"two", 2, user="cat"))
    await lobby.screens["bob"].until_shown(b"two")
    await tell(lobby, said(b"on", 4), said(b"off", 5))
    await lobby.screens["bob"].until_shown(b"off")
    assert lobby.screens["bob"].frames == [b"on", b"one", b"two", b"off"]


async def test_people_and_kinds_do_not_wait_for_each_other(lobby: Lobby) -> None:
    await tell(
        lobby,
        said(b"ann", 1),
        said(b"cat", 1, user="cat"),
        said(b"name", 1, kind="profile"),
    )
    await lobby.screens["bob"].until_shown(b"name")
    assert lobby.screens["bob"].frames == [b"ann", b"cat", b"name"]


async def test_presence_does_not_pass_between_two_who_are_apart(world: World, lobby: Lobby) -> None:
    await world.to_self("ann", c.BlockUser(user="bob"))
    await world.fold()
    await tell(lobby, *(said(b"ann", 1, channel) for channel in (ROOM, SECOND)))
    await tell(lobby, *(said(b"bob", 1, channel, user="bob") for channel in (ROOM, SECOND)))
    await tell(lobby, said(b"cat", 1, user="cat"), said(b"name", 1, kind="profile"))
    await lobby.screens["bob"].until_shown(b"name")
    await lobby.screens["ann"].until_shown(b"cat")
    assert lobby.screens["bob"].frames == [b"cat", b"name"]
    assert lobby.screens["ann"].frames == [b"cat"]
    assert lobby.screens["cat"].frames == [b"ann", b"bob", b"name"]


async def test_what_is_known_is_forgotten(lobby: Lobby, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcements, "KNOWN", 0.4)
    await tell(lobby, said(b"on", 1))
    await lobby.screens["bob"].until_shown(b"on")
    lobby.clear()

    async def told_again() -> None:
        seq = 1
        while b"on" not in lobby.screens["bob"].frames:
            seq += 1
            await tell(lobby, said(b"on", seq))
            await asyncio.sleep(0.01)

    async with asyncio.timeout(30):
        await told_again()


async def test_when_too_much_waits_the_rest_is_lost(
    lobby: Lobby, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcements, "MAX_WAITING", 10)
    await tell(lobby, *(said(b"%d" % n, 1, user=f"u{n}") for n in range(50)))
    await lobby.screens["bob"].until_shown(b"9")
    await tell(lobby, said(b"more", 1))
    await lobby.screens["bob"].until_shown(b"more")
    assert lobby.screens["bob"].frames == [b"%d" % n for n in range(10)] + [b"more"]
    assert lobby.screens["bob"].times_lost == 0
