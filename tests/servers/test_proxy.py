"""The proxy hands everything on, unless told to be a bad network."""

from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError, TimeoutError

from tests.servers.proxy import Proxy
from tests.servers.redis import RedisServer

#: Shorter than the delays of these tests.
IMPATIENCE = 0.2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("own") / "redis").start()
    yield server
    server.stop()


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[Proxy]:
    with Proxy(server) as proxy:
        yield proxy


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[Redis]:
    async with Redis.from_url(proxy.url, retry=None) as client:
        yield client


@pytest.fixture
async def impatient(proxy: Proxy) -> AsyncIterator[Redis]:
    async with Redis.from_url(proxy.url, retry=None, socket_timeout=IMPATIENCE) as client:
        yield client


async def test_everything_arrives_in_order(client: Redis) -> None:
    big = bytes(range(256)) * 40_000
    await client.set("big", big)
    assert await client.get("big") == big


async def test_a_cut_breaks_connections_and_lets_new_ones_through(
    proxy: Proxy, client: Redis
) -> None:
    async with client.pubsub() as subscription:
        await subscription.subscribe("channel")
        await subscription.get_message(timeout=None)
        proxy.cut()
        with pytest.raises(ConnectionError):
            await subscription.get_message(timeout=None)
    assert await client.ping()


async def test_refusing_spares_the_connections_that_stand(proxy: Proxy, client: Redis) -> None:
    await client.ping()
    proxy.refuse()
    await client.ping()
    async with Redis.from_url(proxy.url, retry=None) as late:
        with pytest.raises(ConnectionError):
            await late.ping()
        proxy.accept()
        await late.ping()


async def test_what_is_held_arrives_after_the_release(
    proxy: Proxy, client: Redis, impatient: Redis
) -> None:
    await impatient.ping()
    proxy.hold()
    with pytest.raises(TimeoutError):
        await impatient.incr("held")
    proxy.release()
    assert await client.get("held") == b"1"


async def test_a_delay_is_on_the_way_there_and_back(proxy: Proxy, impatient: Redis) -> None:
    await impatient.ping()
    proxy.delay = IMPATIENCE
    with pytest.raises(TimeoutError):
        await impatient.ping()
    proxy.delay = 0.0
    assert await impatient.ping()
