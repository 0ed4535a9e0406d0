"""Presence in Redis: what is kept there, and what happens without it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from projections.realtime import open_presence
from projections.realtime.port import RealtimeError
from projections.realtime.presence import Status
from tests.servers.process import Server
from tests.servers.redis import RedisServer


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server to break."""
    server = RedisServer(tmp_path / "redis").start()
    yield server
    server.stop()


async def test_what_is_kept_has_an_end(redis_server: Server) -> None:
    board = open_presence(redis_server.url_for("kept"))
    async with Redis.from_url(redis_server.url) as client:
        await board.put("g1", {"ann": "online", "bob": "online", "eve": "offline"})
        await board.wish("cat", "away")
        assert await client.zrange("kept:presence", 0, -1) == [b"ann", b"bob", b"cat"]
        for user in ("ann", "bob", "cat", "eve"):
            assert 50 < await client.ttl(f"kept:presence:{user}") <= 60
        await board.wish("ann", "busy")
        await board.put("g1", {"ann": None, "bob": None})
        assert await client.zrange("kept:presence", 0, -1) == [b"cat"]
        assert await client.exists("kept:presence:bob") == 0
        assert await client.hkeys("kept:presence:ann") == [b"wish"]
        assert 50 < await client.ttl("kept:presence:ann") <= 60
    await board.close()


async def test_two_gateways_share_it_and_prefixes_are_apart(redis_server: Server) -> None:
    one, two = (open_presence(redis_server.url_for("shared")) for _ in range(2))
    other = open_presence(redis_server.url_for("other"))
    assert len(await one.put("g1", {"ann": "online"})) == 1
    assert await two.put("g2", {"ann": "online"}) == []
    assert await two.read(["ann"]) == {"ann": "online"}
    assert await other.read(["ann"]) == {"ann": "offline"}
    for board in (one, two, other):
        await board.close()


async def test_two_gateways_that_put_at_once_find_each_change_once(redis_server: Server) -> None:
    boards = [open_presence(redis_server.url_for("race")) for _ in range(4)]
    users: dict[str, Status | None] = {f"u{number}": "online" for number in range(500)}
    found = await asyncio.gather(
        *(board.put(f"g{number}", users) for number, board in enumerate(boards))
    )
    assert sorted(change.user for changes in found for change in changes) == sorted(users)
    for board in boards:
        await board.close()


async def test_losing_all_keys_is_losing_all_presence(redis_server: Server) -> None:
    board = open_presence(redis_server.url_for("lost"))
    await board.put("g1", {"ann": "online"})
    async with Redis.from_url(redis_server.url) as client:
        await client.delete("lost:presence", "lost:presence:ann")
    assert await board.read(["ann"]) == {"ann": "offline"}
    assert len(await board.put("g1", {"ann": "online"})) == 1
    await board.close()


async def test_a_server_that_goes_and_comes_back(own_server: RedisServer) -> None:
    board = open_presence(own_server.url)
    await board.put("g1", {"ann": "online"})
    own_server.kill()
    for question in (
        board.put("g1", {"ann": "online"}),
        board.wish("ann", "busy"),
        board.read(["ann"]),
        board.lapsed(1),
        board.told(["ann"]),
    ):
        with pytest.raises(RealtimeError):
            await question
    own_server.start()
    await board.put("g1", {"ann": "busy"})
    assert await board.read(["ann"]) == {"ann": "busy"}
    await board.close()


@pytest.mark.parametrize("url", ["redis://localhost?db=1", "redis://localhost/a/b", "nats://x"])
def test_a_wrong_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        open_presence(url)
