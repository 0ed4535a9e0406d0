"""Realtime through Redis: what is subscribed, and how a loss is told."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from projections.realtime import open_realtime
from projections.realtime.port import Publication, RealtimeError
from tests.contract.realtime.ear import Ear
from tests.contract.realtime.test_realtime_contract import event
from tests.servers.process import Server
from tests.servers.redis import RedisServer


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server to break."""
    server = RedisServer(tmp_path / "redis").start()
    yield server
    server.stop()


@asynccontextmanager
async def ear_at(url: str, *channels: str) -> AsyncIterator[Ear]:
    realtime = open_realtime(url)
    ear = Ear(realtime)
    await realtime.subscribe(channels)
    yield ear
    await realtime.close()


async def publish(url: str, *publications: Publication) -> None:
    realtime = open_realtime(url)
    await realtime.publish(publications)
    await realtime.close()


async def test_only_what_has_a_listener_is_subscribed(redis_server: Server) -> None:
    url = redis_server.url_for("only")
    async with ear_at(url, "chats/a", "chats/b") as ear, Redis.from_url(redis_server.url) as client:
        assert set(await client.pubsub_channels("only:*")) == {b"only:chats/a", b"only:chats/b"}
        ear.realtime.unsubscribe(["chats/a"])
        await ear.realtime.subscribe(["chats/c"])
        assert set(await client.pubsub_channels("only:*")) == {b"only:chats/b", b"only:chats/c"}


async def test_many_subscribers_at_once_are_one_command(redis_server: Server) -> None:
    url = redis_server.url_for("many")
    async with ear_at(url, "chats/first") as ear, Redis.from_url(redis_server.url) as client:
        before = (await client.info("commandstats"))["cmdstat_subscribe"]["calls"]
        await asyncio.gather(*(ear.realtime.subscribe([f"chats/{n}"]) for n in range(200)))
        after = (await client.info("commandstats"))["cmdstat_subscribe"]["calls"]
        assert after - before <= 2


async def test_prefixes_are_apart(redis_server: Server) -> None:
    async with (
        ear_at(redis_server.url_for("one"), "chats/a") as one,
        ear_at(redis_server.url_for("two"), "chats/a") as two,
    ):
        await publish(redis_server.url_for("one"), event("chats/a", 1))
        await publish(redis_server.url_for("two"), event("chats/a", 2))
        await one.until(lambda: bool(one.heard))
        await two.until(lambda: bool(two.heard))
        assert [published.seq for published in (*one.heard, *two.heard)] == [1, 2]


async def test_what_can_not_be_read_is_passed_over(redis_server: Server) -> None:
    url = redis_server.url_for("garbage")
    async with ear_at(url, "chats/a") as ear, Redis.from_url(redis_server.url) as client:
        for garbage in (b"", b"garbage", b"\x81\xa1x\x01"):
            await client.publish("garbage:chats/a", garbage)
        await publish(url, event("chats/a", 1))
        await ear.until(lambda: bool(ear.heard))
        assert ear.interruptions == 0


async def test_a_connection_that_breaks_is_told_once_it_stands_again(redis_server: Server) -> None:
    url = redis_server.url_for("killed")
    async with ear_at(url, "chats/a") as ear, Redis.from_url(redis_server.url) as client:
        for times in range(1, 4):
            await client.client_kill_filter(_type="pubsub")
            await ear.until(lambda times=times: ear.interruptions >= times)  # type: ignore[misc]
            await publish(url, event("chats/a", times))
            await ear.until(lambda times=times: len(ear.heard) == times)  # type: ignore[misc]


async def test_a_server_that_crashes_and_comes_back(own_server: RedisServer) -> None:
    async with ear_at(own_server.url, "chats/a") as ear:
        writer = open_realtime(own_server.url)
        await writer.publish([event("chats/a", 1)])
        own_server.kill()
        with pytest.raises(RealtimeError):
            await writer.publish([event("chats/a", 2)])
        # Nobody waits for a server that is away.
        async with asyncio.timeout(10):
            await ear.realtime.subscribe(["chats/b"])
        own_server.start()
        await ear.until(lambda: ear.interruptions > 0)
        await writer.publish([event("chats/a", 3), event("chats/b", 1)])
        await ear.until(lambda: len(ear.heard) == 3)
        await writer.close()


async def test_a_server_that_was_away_from_the_start(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis")
    async with ear_at(server.url, "chats/a") as ear:
        server.start()
        await ear.until(lambda: ear.interruptions > 0)
        await publish(server.url, event("chats/a", 1))
        await ear.until(lambda: bool(ear.heard))
    server.stop()


async def test_a_server_that_says_nothing_more_is_noticed(own_server: RedisServer) -> None:
    async with ear_at(own_server.url, "chats/a") as ear:
        writer = open_realtime(own_server.url)
        own_server.pause()
        with pytest.raises(RealtimeError):
            await writer.publish([event("chats/a", 1)])
        # Released once the silence is noticed, although nothing stands.
        async with asyncio.timeout(20):
            await ear.realtime.subscribe(["chats/b"])
        own_server.resume()
        await ear.until(lambda: ear.interruptions > 0)
        await writer.publish([event("chats/b", 1)])
        await ear.until(lambda: bool(ear.in_channel("chats/b")))
        await writer.close()


async def test_a_listener_that_is_too_slow_is_told(own_server: RedisServer) -> None:
    big = Publication(channel="chats/a", kind="event", frame=bytes(4_000_000), seq=1)
    async with Redis.from_url(own_server.url) as client, ear_at(own_server.url, "chats/a") as ear:
        await client.config_set("client-output-buffer-limit", "pubsub 1mb 1mb 1")
        await publish(own_server.url, big)
        await ear.until(lambda: ear.interruptions > 0)
        await publish(own_server.url, event("chats/a", 2))
        await ear.until(lambda: any(published.seq == 2 for published in ear.heard))


async def test_losing_all_keys_loses_no_subscription(redis_server: Server) -> None:
    url = redis_server.url_for("flushed")
    async with ear_at(url, "chats/a") as ear, Redis.from_url(redis_server.url) as client:
        await client.flushall()
        await publish(url, event("chats/a", 1))
        await ear.until(lambda: bool(ear.heard))


@pytest.mark.parametrize(
    "url", ["redis://localhost?db=1", "redis://localhost/a/b", "redis://localhost/a:b", "nats://x"]
)
def test_a_wrong_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        open_realtime(url)
