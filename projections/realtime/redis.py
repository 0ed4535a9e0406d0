"""Realtime through Redis: one connection hears, another publishes.

Both are plain connections of redis-py. Its PubSub connects anew on its own and tells nobody, and
what was published meanwhile would be missed in silence.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import structlog
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection

from projections.realtime.losses import Losses
from projections.realtime.port import (
    Interrupted,
    Listener,
    MailListener,
    Publication,
    RealtimeError,
)
from projections.realtime.redis_line import ANSWERS_WITHIN, Command, Line, pool_and_prefix

log = structlog.get_logger()

#: Seconds of quiet after which the server is asked whether it is still there.
PING_EVERY = 2.0
#: Seconds between attempts to connect.
AGAIN_AFTER = 0.2
#: Commands sent in one go.
PIPELINE = 1000

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Publication).decode
_decode_mail = msgspec.msgpack.Decoder(list[bytes]).decode


class RedisRealtime:
    def __init__(self, url: str, losses: Losses) -> None:
        """
        Raises:
            ValueError: the URL is wrong.
        """
        pool, self._prefix = pool_and_prefix(url)
        self._line = Line(pool)
        self._ear = _Ear(pool, losses)
        self._failures = losses.failures

    async def publish(self, publications: Sequence[Publication]) -> None:
        commands = [("PUBLISH", self._name(p.channel), _encode(p)) for p in publications]
        for start in range(0, len(commands), PIPELINE):
            await self._say(commands[start : start + PIPELINE])

    def listen(self, listener: Listener, interrupted: Interrupted) -> None:
        def hear(body: bytes) -> None:
            listener((_decode(body),))

        self._ear.otherwise = hear
        self._ear.interrupted.append(interrupted)

    async def subscribe(self, channels: Iterable[str]) -> None:
        await self._ear.open([self._name(channel) for channel in channels])

    def unsubscribe(self, channels: Iterable[str]) -> None:
        self._ear.shut([self._name(channel) for channel in channels])

    async def send(self, mailbox: str, messages: Sequence[bytes]) -> None:
        await self._say([("PUBLISH", self._name(f"mail/{mailbox}"), _encode(messages))])

    async def receive(self, mailbox: str, listener: MailListener, interrupted: Interrupted) -> None:
        def hear(body: bytes) -> None:
            listener(_decode_mail(body))

        name = self._name(f"mail/{mailbox}")
        self._ear.hearers[name] = hear
        self._ear.interrupted.append(interrupted)
        await self._ear.open([name])

    async def close(self) -> None:
        await self._ear.close()
        await self._line.close()

    async def _say(self, commands: Sequence[Command]) -> None:
        try:
            await self._line.send(commands)
        except RealtimeError:
            self._failures.inc()
            raise

    def _name(self, channel: str) -> bytes:
        return f"{self._prefix}:{channel}".encode()


class _Ear:
    """The connection that hears. It is opened for the first channel, and again whenever it breaks.

    `_wanted` is what is to be heard, `_standing` what the server has confirmed. While `_away`,
    there is no connection, and nobody waits for one.
    """

    def __init__(self, pool: ConnectionPool, losses: Losses) -> None:
        self._interruptions = losses.interruptions
        self.hearers: dict[bytes, Any] = {}
        self.otherwise: Any = None
        self.interrupted: list[Interrupted] = []
        self._pool = pool
        self._wanted: set[bytes] = set()
        self._standing: set[bytes] = set()
        self._changes: set[bytes] = set()
        self._changed = asyncio.Event()
        self._moved = asyncio.Event()
        self._unanswered = 0
        self._answered = asyncio.Event()
        self._away = False
        self._task: asyncio.Task[None] | None = None

    async def open(self, names: Sequence[bytes]) -> None:
        self._wanted.update(names)
        self._change(names)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        while not self._away and any(
            name in self._wanted and name not in self._standing for name in names
        ):
            await self._moved.wait()

    def shut(self, names: Sequence[bytes]) -> None:
        self._wanted.difference_update(names)
        self._change(names)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _change(self, names: Iterable[bytes]) -> None:
        self._changes.update(names)
        self._changed.set()

    def _tell(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def _run(self) -> None:
        while True:
            connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
            try:
                async with asyncio.timeout(ANSWERS_WITHIN):
                    await connection.connect()
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._hear(connection))
                    group.create_task(self._ask(connection))
            except* Exception as errors:
                self._interruptions.inc()
                log.warning("realtime_interrupted", error=repr(errors.exceptions[0]))
            finally:
                await connection.disconnect(nowait=True)
            self._standing.clear()
            self._away = True
            self._tell()
            await asyncio.sleep(AGAIN_AFTER)

    async def _hear(self, connection: AbstractConnection) -> None:
        while True:
            answer = await connection.read_response()
            if answer[0] == b"message":
                _, name, body = answer
                try:
                    self.hearers.get(name, self.otherwise)(body)
                except msgspec.DecodeError as error:
                    log.error("publication_unreadable", channel=name.decode(), error=str(error))
            else:
                self._unanswered -= 1
                if not self._unanswered:
                    self._answered.set()

    async def _ask(self, connection: AbstractConnection) -> None:
        self._changes = set(self._wanted)
        while True:
            # What comes while an answer is awaited is asked together in the next round.
            changes, self._changes = self._changes, set()
            new = [n for n in changes if n in self._wanted and n not in self._standing]
            old = [n for n in changes if n in self._standing and n not in self._wanted]
            self._standing.difference_update(old)
            if old:
                await self._exchange(connection, ("UNSUBSCRIBE", *old))
            if new:
                await self._exchange(connection, ("SUBSCRIBE", *new))
            self._standing.update(new)
            if self._away:
                self._away = False
                for interrupted in self.interrupted:
                    interrupted()
            self._tell()
            try:
                async with asyncio.timeout(PING_EVERY):
                    await self._changed.wait()
            except TimeoutError:
                # A connection whose other end has vanished is silent for ever.
                await self._exchange(connection, ("PING",))
            self._changed.clear()

    async def _exchange(self, connection: AbstractConnection, command: Command) -> None:
        self._answered.clear()
        self._unanswered = max(len(command) - 1, 1)
        async with asyncio.timeout(ANSWERS_WITHIN):
            await connection.send_command(*command, check_health=False)
            await self._answered.wait()
