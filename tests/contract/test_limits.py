"""Rate limits on every storage: one count for all gateways, and what happens without it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import pytest
from redis.asyncio import Redis

from gateway.limits import Kind, Limiter, open_limit_storage
from tests.servers.process import Server
from tests.servers.redis import RedisServer

_numbers = count()
RATES: dict[Kind, str] = {"writes": "5/minute", "reads": "2/second"}


@pytest.fixture(params=["memory", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "memory":
        return "memory://"
    server: Server = request.getfixturevalue("redis_server")
    return server.url_for(f"limits{next(_numbers)}")


@asynccontextmanager
async def limiter_at(url: str) -> AsyncIterator[Limiter]:
    counters = open_limit_storage(url)
    yield Limiter(RATES, counters)
    await counters.aclose()


@pytest.fixture
async def limiter(url: str) -> AsyncIterator[Limiter]:
    async with limiter_at(url) as limiter:
        yield limiter


async def allowed(limiter: Limiter, times: int, key: str = "ann") -> int:
    verdicts = await asyncio.gather(*(limiter.hit("writes", key) for _ in range(times)))
    return sum(verdict.allowed for verdict in verdicts)


async def test_as_many_as_the_limit_says(limiter: Limiter) -> None:
    assert await allowed(limiter, 100) == 5
    assert await allowed(limiter, 3, "bob") == 3
    verdict = await limiter.hit("writes", "bob")
    assert (verdict.limit, verdict.remaining) == (5, 1)
    assert 1 <= verdict.reset_seconds <= 60


async def test_a_cost_uses_up_as_much(limiter: Limiter) -> None:
    assert (await limiter.hit("writes", "ann", 4)).remaining == 1
    assert not (await limiter.hit("writes", "ann", 4)).allowed
    # A cost above the whole limit is possible in a fresh window.
    assert (await limiter.hit("writes", "bob", 50)).allowed


async def test_retry_after_is_a_promise(limiter: Limiter) -> None:
    for _ in range(3):
        verdict = await limiter.hit("reads", "ann")
        while verdict.allowed:
            verdict = await limiter.hit("reads", "ann")
        assert verdict.retry_after == 1
        await asyncio.sleep(verdict.retry_after)
        assert (await limiter.hit("reads", "ann")).allowed


async def test_gateways_count_together(redis_server: Server) -> None:
    url = redis_server.url_for("together")
    async with limiter_at(url) as one, limiter_at(url) as other:
        assert await allowed(one, 3) == 3
        assert await allowed(other, 3) == 2
        async with limiter_at(redis_server.url_for("apart")) as another:
            assert await allowed(another, 6) == 5


async def test_the_keys_have_the_prefix_and_go_by_themselves(redis_server: Server) -> None:
    async with limiter_at(redis_server.url_for("named")) as limiter:
        await limiter.hit("writes", "ann")
        async with Redis.from_url(redis_server.url) as client:
            assert await client.keys("named:*") == [b"named:limits:writes/ann"]
            assert 0 < await client.ttl("named:limits:writes/ann") <= 60


async def test_losing_all_keys_begins_new_windows(redis_server: Server) -> None:
    async with limiter_at(redis_server.url_for("flushed")) as limiter:
        assert await allowed(limiter, 6) == 5
        async with Redis.from_url(redis_server.url) as client:
            await client.flushall()
            await client.script_flush()
        assert await allowed(limiter, 6) == 5


async def test_a_server_that_is_away_neither_turns_away_nor_opens_the_gate(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis").start()
    async with limiter_at(server.url) as limiter:
        assert await allowed(limiter, 4) == 4
        server.kill()
        # Counted here, from the beginning.
        assert await allowed(limiter, 10) == 5
        assert await allowed(limiter, 10) == 0
        server.start()
        async with asyncio.timeout(30), Redis.from_url(server.url) as client:
            while not await client.keys("*"):
                await limiter.hit("reads", "bob")
        assert await allowed(limiter, 6, "cat") == 5
    server.stop()


async def test_a_server_that_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis").start()
    async with limiter_at(server.url) as limiter:
        await limiter.hit("writes", "ann")
        server.pause()
        # Waiting for each in turn would take longer than the bound here.
        async with asyncio.timeout(10):
            for _ in range(1000):
                await limiter.hit("writes", "ann")
        assert not (await limiter.hit("writes", "ann")).allowed
    server.stop()
