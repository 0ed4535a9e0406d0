"""One connection to Redis, as a line on which questions are answered in their order."""

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from projections.prefix import server_and_prefix
from projections.realtime.port import RealtimeError

#: Seconds in which the server answers, or the connection is given up.
ANSWERS_WITHIN = 2.0
FAILURES = (RedisError, OSError, TimeoutError)

Command = tuple[str | bytes, ...]


def pool_and_prefix(url: str) -> tuple[ConnectionPool, str]:
    """Where connections to the server of a URL are made, and what every name there begins with.

    Raises:
        ValueError: the URL is wrong.
    """
    server, prefix = server_and_prefix(url)
    if "db" in parse_qs(urlsplit(url).query):
        raise ValueError("a Redis URL names no database: it is always 0")
    pool = ConnectionPool.from_url(
        server,
        db=0,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        # Bounds are set here, around whole exchanges.
        socket_timeout=None,
        socket_connect_timeout=ANSWERS_WITHIN,
    )
    return pool, prefix


class Line:
    """A connection that commands go out on, those of one caller after those of another."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]
        self._free = asyncio.Lock()

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """The answers, one a command.

        Raises:
            RealtimeError: nobody can tell which of the commands were done.
        """
        connection = self._connection
        try:
            async with asyncio.timeout(ANSWERS_WITHIN), self._free:
                try:
                    await connection.connect()  # type: ignore[no-untyped-call]
                    packed = connection.pack_commands(commands)
                    await connection.send_packed_command(packed, check_health=False)
                    return [await connection.read_response() for _ in commands]
                except BaseException:
                    # An answer that was not read would be taken for one to the next command.
                    await connection.disconnect(nowait=True)
                    raise
        except FAILURES as error:
            raise RealtimeError(f"Redis: {error!r}") from error

    async def close(self) -> None:
        await self._connection.disconnect(nowait=True)
