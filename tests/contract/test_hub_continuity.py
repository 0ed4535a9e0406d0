"""Whatever realtime loses, repeats or delays: everyone is shown every event once, in order."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import msgspec
import pytest
from redis.asyncio import Redis

from domain.ids import user_stream
from gateway.ws import catch_up
from projections.catalogue import COLLECTIONS
from projections.realtime.port import Publication
from projections.store import open_store
from tests.contract.lobby import ROOM, Lobby, live
from tests.contract.views.world import World
from tests.servers.process import Server
from tests.servers.redis import RedisServer

_numbers = count()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = await World.open(tmp_path, f"sqlite:///{tmp_path}/read.db")
    await world.register("ann", "bob", "cat")
    await world.group("room", "ann", "bob")
    yield world
    await world.close()


@pytest.fixture(params=["memory", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "memory":
        return "memory://"
    server: Server = request.getfixturevalue("redis_server")
    return server.url_for(f"hub{next(_numbers)}")


@pytest.fixture
async def lobby(world: World, url: str) -> AsyncIterator[Lobby]:
    """Ann and Bob are in a room and connected, Cat is connected only; the chat is at 1."""
    async with Lobby(world, url).at_work() as lobby:
        await lobby.connect("ann", "bob", "cat")
        yield lobby


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server to break."""
    server = RedisServer(tmp_path / "redis").start()
    yield server
    server.stop()


def frames_of(lobby: Lobby, user: str) -> list[dict[str, object]]:
    """The frames that were read from the feed."""
    return [
        msgspec.json.decode(frame)
        for frame in lobby.screens[user].frames
        if frame.startswith(b'{"op":"event"')
    ]


async def test_what_comes_twice_is_shown_once(lobby: Lobby) -> None:
    last = await lobby.speak("room", "ann", 3)
    for after in (0, 0, 1, 2):
        await lobby.publish_from(ROOM, after)
    await lobby.shown()
    for user in ("ann", "bob"):
        assert lobby.screens[user].story[ROOM] == [*range(2, last + 1)]
    assert lobby.screens["cat"].story[ROOM] == []


async def test_a_hole_is_filled_from_the_feed(world: World, lobby: Lobby) -> None:
    last = await lobby.speak("room", "ann", 9)
    await lobby.publish(*(e for e in world.events_of(ROOM) if e.seq in (2, 5, 6, last)))
    for user in ("ann", "bob"):
        screen = lobby.screens[user]
        await screen.until_at(ROOM, last)
        assert screen.story[ROOM] == [*range(2, last + 1)]
    first = frames_of(lobby, "bob")[0]
    assert first["seq"] == 3
    assert first["stream"] == ROOM
    assert first["data"]["content"] == "hi"  # type: ignore[index]
    # From here on it is live again.
    await lobby.speak("room", "ann", 1)
    await lobby.publish_from(ROOM, last)
    await lobby.screens["bob"].until_shown(live(ROOM, last + 1))


async def test_events_in_the_wrong_order_are_put_in_order(world: World, lobby: Lobby) -> None:
    last = await lobby.speak("room", "ann", 20)
    await lobby.publish(*reversed(world.events_of(ROOM)))
    await lobby.screens["bob"].until_at(ROOM, last)
    assert lobby.screens["bob"].story[ROOM] == [*range(2, last + 1)]


async def test_what_is_read_from_the_feed_is_redacted_as_the_feed_is(
    world: World, lobby: Lobby
) -> None:
    hidden = await world.say("ann", "room", "hide me")
    deleted = await world.say("ann", "room", "delete me")
    expired = await world.say("ann", "room", "short", expires_in=1)
    await world.delete("ann", "room", deleted)
    await world.react("ann", "room", hidden, "👍")
    await world.hide("bob", "room", hidden)
    world.seconds = 2
    last = await lobby.speak("room", "ann", 1)
    await lobby.publish(world.events_of(ROOM)[-1])
    for user in ("ann", "bob"):
        await lobby.screens[user].until_at(ROOM, last)
    redacted = {
        user: [frame["seq"] for frame in frames_of(lobby, user) if frame.get("redacted")]
        for user in ("ann", "bob")
    }
    assert redacted == {
        "ann": [deleted, expired],
        "bob": [hidden, deleted, expired, expired + 2],
    }
    assert b"delete me" not in b"".join(lobby.screens["ann"].frames)
    assert b"hide me" not in b"".join(lobby.screens["bob"].frames)


async def test_a_hole_in_ones_own_stream(world: World, lobby: Lobby) -> None:
    own = user_stream("bob")
    seq = await lobby.speak("room", "ann", 3)
    before = world.head(own)
    for up_to in range(2, seq + 1):
        await world.read("bob", "room", up_to)
    await lobby.publish(world.events_of(own)[-1])
    screen = lobby.screens["bob"]
    await screen.until_at(own, before + 3)
    assert screen.story[own] == [before + 1, before + 2, before + 3]
    assert lobby.screens["ann"].story[own] == []


async def test_let_into_a_chat_that_nobody_here_was_in(world: World, lobby: Lobby) -> None:
    stream = "chats/new"
    await world.group("new", "ann", "cat")
    await lobby.publish_from(stream, 0)
    last = await lobby.speak("new", "ann", 5)
    await lobby.publish_from(stream, 1)
    for user in ("ann", "cat"):
        screen = lobby.screens[user]
        await screen.until_at(stream, last)
        assert screen.story[stream] == ["in after 0", *range(1, last + 1)]
    assert lobby.screens["bob"].story[stream] == []
    assert lobby.hub.members_count(stream) == 2


async def test_let_into_a_chat_that_others_here_are_in(world: World, lobby: Lobby) -> None:
    await lobby.speak("room", "ann", 2)
    joined = await world.add("ann", "room", "cat")
    last = await lobby.speak("room", "ann", 2)
    # Of all this only the last is heard.
    await lobby.publish(world.events_of(ROOM)[-1])
    screen = lobby.screens["cat"]
    await screen.until_at(ROOM, last)
    assert screen.story[ROOM] == [f"in after {joined - 1}", *range(joined, last + 1)]
    assert lobby.screens["ann"].story[ROOM] == [*range(2, last + 1)]
    assert lobby.hub.members_count(ROOM) == 3


async def test_let_in_one_after_the_other_while_nothing_is_known(
    world: World, lobby: Lobby
) -> None:
    stream = "chats/new"
    await world.register("dan")
    await world.group("new", "dan", history="since_joined")
    await lobby.speak("new", "dan", 2)
    joined = {user: await world.add("dan", "new", user) for user in ("cat", "bob")}
    last = await lobby.speak("new", "dan", 1)
    await lobby.publish_from(stream, 0)
    for user, seq in joined.items():
        screen = lobby.screens[user]
        await screen.until_at(stream, last)
        assert screen.story[stream] == [f"in after {seq - 1}", *range(seq, last + 1)]


async def test_let_out_is_seen_although_it_was_not_heard(world: World, lobby: Lobby) -> None:
    left = await world.leave("bob", "room")
    last = await lobby.speak("room", "ann", 2)
    await lobby.publish(world.events_of(ROOM)[-1])
    await lobby.screens["ann"].until_at(ROOM, last)
    assert lobby.screens["bob"].story[ROOM] == [2, left, "out"][-2:]
    assert not lobby.hub.is_member("bob", ROOM)
    assert lobby.hub.members_count(ROOM) == 1


async def test_an_old_invitation_lets_nobody_in(world: World, lobby: Lobby) -> None:
    joined = await world.add("ann", "room", "cat")
    left = await world.leave("cat", "room")
    await lobby.publish_from(ROOM, 0)
    screen = lobby.screens["cat"]
    await screen.until(lambda: "out" in screen.story[ROOM])
    await lobby.publish_from(ROOM, joined - 1)
    await lobby.publish_from(ROOM, joined - 1)
    # Someone else's joining afterwards shows that those have been dealt with.
    await world.group("after", "cat")
    await lobby.publish_from("chats/after", 0)
    await screen.until_at("chats/after", 1)
    assert screen.story[ROOM] == [f"in after {joined - 1}", joined, left, "out"]


async def test_a_room_is_closed_when_its_last_one_here_goes(world: World, lobby: Lobby) -> None:
    await world.group("new", "cat")
    await lobby.publish_from("chats/new", 0)
    await lobby.screens["cat"].until_at("chats/new", 1)
    lobby.hub.detach(lobby.screens["cat"])
    assert lobby.hub.members_count("chats/new") is None
    assert lobby.hub.place("chats/new") is None
    assert lobby.hub.place(user_stream("cat")) is None


async def test_a_stream_that_has_stopped_goes_on_with_what_comes(world: World, url: str) -> None:
    async def nothing_is_folded() -> None: ...

    await world.fold()
    async with Lobby(world, url, nothing_is_folded).at_work() as lobby:
        await lobby.connect("bob")
        last = await lobby.speak("room", "ann", 5)
        await lobby.publish(*world.events_of(ROOM)[-2:])
        screen = lobby.screens["bob"]
        await screen.until_shown(live(ROOM, last))
        assert screen.story[ROOM] == [last - 1, last]


async def test_events_wait_for_a_store_that_does_not_answer(
    world: World, lobby: Lobby, tmp_path: Path
) -> None:
    said = await world.say("ann", "room", "hi")
    await world.react("ann", "room", said, "👍")
    await world.group("new", "cat")
    await lobby.settle()
    await world.store.close()
    await lobby.publish_from(ROOM, 0)
    await lobby.publish_from("chats/new", 0)
    world.store = await open_store(f"sqlite:///{tmp_path}/read.db", COLLECTIONS)
    for user in ("ann", "bob"):
        await lobby.screens[user].until_at(ROOM, said + 1)
        assert lobby.screens[user].story[ROOM] == [said, said + 1]
    await lobby.screens["cat"].until_at("chats/new", 1)
    assert [screen.times_lost for screen in lobby.screens.values()] == [0, 0, 0]


async def test_who_missed_too_much_is_to_resume(
    world: World, lobby: Lobby, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catch_up, "MAX_MISSED", 3)
    await lobby.speak("room", "ann", 5)
    await lobby.publish(world.events_of(ROOM)[-1])
    for user in ("ann", "bob"):
        screen = lobby.screens[user]
        await screen.until(lambda screen=screen: screen.times_lost == 1)  # type: ignore[misc]
    assert lobby.screens["cat"].times_lost == 0


async def test_many_streams_catch_up_in_rounds(
    world: World, lobby: Lobby, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catch_up, "MAX_MISSED", 4)
    monkeypatch.setattr(catch_up, "ROUND", 4)
    chats = [f"chat{n}" for n in range(6)]
    for chat in chats:
        await world.group(chat, "ann", "cat")
        await lobby.publish_from(f"chats/{chat}", 0)
    for chat in chats:
        await lobby.screens["cat"].until_at(f"chats/{chat}", 1)
        await lobby.speak(chat, "ann", 3)
    await lobby.publish(*(world.events_of(f"chats/{chat}")[-1] for chat in chats))
    for chat in chats:
        for user in ("ann", "cat"):
            screen = lobby.screens[user]
            await screen.until_at(f"chats/{chat}", 4)
            assert screen.story[f"chats/{chat}"] == ["in after 0", 1, 2, 3, 4]


# What Redis alone can do


async def test_what_was_lost_with_the_connection(world: World, redis_server: Server) -> None:
    """No event follows that would show the hole."""
    url = redis_server.url_for("interrupted")
    async with Lobby(world, url).at_work() as lobby, Redis.from_url(redis_server.url) as client:
        await lobby.connect("ann", "bob", "cat")
        before = world.head(user_stream("bob"))
        last = await lobby.speak("room", "ann", 3)
        await world.read("bob", "room", last)
        added = await world.add("ann", "room", "cat")
        await world.group("new", "cat")
        await client.client_kill_filter(_type="pubsub")
        await lobby.screens["bob"].until_at(ROOM, added)
        await lobby.screens["bob"].until_at(user_stream("bob"), before + 1)
        await lobby.screens["cat"].until_at(ROOM, added)
        await lobby.screens["cat"].until_at("chats/new", 1)
        assert lobby.screens["bob"].story[ROOM] == [*range(2, added + 1)]
        assert lobby.screens["cat"].story[ROOM] == [f"in after {added - 1}", added]
        assert lobby.screens["cat"].story["chats/new"] == ["in after 0", 1]


async def test_a_server_that_crashes_and_comes_back(world: World, own_server: RedisServer) -> None:
    async with Lobby(world, own_server.url).at_work() as lobby:
        await lobby.connect("ann")
        own_server.kill()
        missed = await lobby.speak("room", "ann", 3)
        # Who comes while it is away is let in, and hears what was said when it is back.
        await lobby.connect("bob")
        last = await lobby.speak("room", "ann", 2)
        own_server.start()
        for user, after in (("ann", 1), ("bob", missed)):
            screen = lobby.screens[user]
            await screen.until_at(ROOM, last)
            assert [s for s in screen.story[ROOM] if isinstance(s, int) and s > after] == [
                *range(after + 1, last + 1)
            ]


async def test_losing_all_keys_changes_nothing(world: World, redis_server: Server) -> None:
    url = redis_server.url_for("flushed")
    async with Lobby(world, url).at_work() as lobby, Redis.from_url(redis_server.url) as client:
        await lobby.connect("bob")
        await client.flushall()
        last = await lobby.speak("room", "ann", 1)
        await lobby.publish_from(ROOM, 0)
        await lobby.screens["bob"].until_shown(live(ROOM, last))


async def test_a_gateway_that_does_not_keep_up(world: World, own_server: RedisServer) -> None:
    async with (
        Lobby(world, own_server.url).at_work() as lobby,
        Redis.from_url(own_server.url) as client,
    ):
        await client.config_set("client-output-buffer-limit", "pubsub 1mb 1mb 1")
        await lobby.connect("ann", "bob")
        last = await lobby.speak("room", "ann", 30)
        noise = Publication(channel=ROOM, kind="typing", frame=bytes(200_000), user="nobody")
        for event in world.events_of(ROOM)[1:]:
            await lobby.writer.publish([noise] * 10)
            await lobby.publish(event)
        for user in ("ann", "bob"):
            screen = lobby.screens[user]
            await screen.until_at(ROOM, last)
            assert screen.story[ROOM] == [*range(2, last + 1)]


async def test_many_come_and_go_while_connections_break(world: World, redis_server: Server) -> None:
    """Interruptions at every moment of coming."""
    url = redis_server.url_for("turmoil")
    async with Lobby(world, url).at_work() as lobby, Redis.from_url(redis_server.url) as client:
        done = asyncio.Event()

        async def break_connections() -> None:
            while not done.is_set():
                await client.client_kill_filter(_type="pubsub")

        async def talk() -> int:
            for _ in range(40):
                await world.say("ann", "room", "hi")
                await lobby.publish(world.events_of(ROOM)[-1])
            done.set()
            return world.head(ROOM)

        async def come_and_go() -> None:
            while not done.is_set():
                await lobby.connect("bob")
                lobby.hub.detach(lobby.screens["bob"])

        await lobby.connect("ann")
        _, last, _ = await asyncio.gather(break_connections(), talk(), come_and_go())
        screen = lobby.screens["ann"]
        await screen.until_at(ROOM, last)
        assert screen.story[ROOM] == [*range(2, last + 1)]
