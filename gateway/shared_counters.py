"""Counters that all gateways share, in Redis."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from limits.aio.storage import RedisStorage, Storage
from limits.aio.storage.redis.redispy import RedispyBridge

from projections.prefix import server_and_prefix

log = structlog.get_logger()

#: Seconds in which the shared counters answer, or this process counts on its own.
ANSWERS_WITHIN = 0.25
#: Seconds until they are asked again.
PAUSE = 1.0
#: Connections to them, and so requests that they are asked about at once.
CONNECTIONS = 16

T = TypeVar("T")


class SharedCounters(Storage):
    """While the shared counters are out of reach, each process counts by itself: a user may then
    have as many times the limit as there are gateways, and nobody waits or is turned away for it.
    """

    STORAGE_SCHEME = None

    def __init__(
        self, url: str, local: Storage, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """
        Raises:
            ValueError: the URL is wrong.
        """
        super().__init__()
        server, prefix = server_and_prefix(url)
        self._shared = RedisStorage(
            f"async+{server}",
            implementation="redispy",
            key_prefix=f"{prefix}:limits",
            db=0,
            protocol=2,
            max_connections=CONNECTIONS,
            socket_connect_timeout=ANSWERS_WITHIN,
        )
        self._failures = (self._shared.bridge.dependency.RedisError, OSError, TimeoutError)
        self._local = local
        self._clock = clock
        self._away_until = 0.0
        self._free = asyncio.Semaphore(CONNECTIONS)

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        return await self._ask(lambda counters: counters.incr(key, expiry, amount))

    async def get(self, key: str) -> int:
        return await self._ask(lambda counters: counters.get(key))

    async def get_expiry(self, key: str) -> float:
        """When the window ends, or up to a second later: Redis says it in seconds, rounded."""
        return 0.5 + await self._ask(lambda counters: counters.get_expiry(key))

    async def check(self) -> bool:
        return await self._shared.check()

    async def reset(self) -> int | None:
        return await self._ask(lambda counters: counters.reset())

    async def clear(self, key: str) -> None:
        await self._ask(lambda counters: counters.clear(key))

    async def aclose(self) -> None:
        bridge = self._shared.bridge
        assert isinstance(bridge, RedispyBridge)
        await bridge.storage.aclose()

    async def _ask(self, question: Callable[[Storage], Awaitable[T]]) -> T:
        now = self._clock()
        if now >= self._away_until:
            if self._away_until:
                # One finds out whether they are back; the others do not wait for it.
                self._away_until = now + PAUSE
            try:
                async with asyncio.timeout(ANSWERS_WITHIN), self._free:
                    answer = await question(self._shared)
            except self._failures as error:
                self._away_until = self._clock() + PAUSE
                log.warning("limits_counted_here", error=repr(error))
            else:
                self._away_until = 0.0
                return answer
        return await question(self._local)
