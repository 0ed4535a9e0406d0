"""The queue of commands on Kafka: a gateway's way in, and the deciders' way out."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import aclosing, suppress
from pathlib import Path

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from domain.commands import Command
from projections.cancellation import BrokenOff, own_cancellation
from projections.objects import Objects
from workers.log.kafka_codec import encode_command
from workers.log.kafka_identity import read_identity
from workers.log.kafka_restore import FAREWELL
from workers.log.kafka_shares import SESSION, shares
from workers.log.kafka_snapshots import Snapshots
from workers.log.kafka_tenure import DECIDERS, KafkaTenure
from workers.log.kafka_topics import COMMANDS, KafkaPlace, partition_of
from workers.log.port import LogError, ReplyTo, Tenure

log = structlog.get_logger()

#: Seconds before a partition is tried again whose log failed.
RETRY = 0.5
#: Milliseconds after which a command that could not be appended is given up.
APPEND_TIMEOUT = 10_000

#: Seconds for which a look at the group holds. Below the session's timeout, after which the group
#: gives the partitions to others.
CONFIRMED_WITHIN = SESSION / 2

Work = Callable[[Tenure], Awaitable[None]]
Take = Callable[[int, Callable[[], bool]], Awaitable[KafkaTenure]]


class KafkaCommandLog:
    def __init__(
        self, place: KafkaPlace, identity: str, count: int, caches: Path, objects: Objects
    ) -> None:
        """`identity` and `count` are the log's and its partitions'; `caches` is the folder for what
        the deciders of this process keep, and in `objects` are its snapshots."""
        self._place = place
        self._identity = identity
        self._count = count
        self._caches = caches
        self._snapshots = Snapshots(objects, identity)
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    @classmethod
    async def open(cls, place: KafkaPlace, caches: Path, objects: Objects) -> "KafkaCommandLog":
        """Raises LogError: there is no log, it is not what it was, or it can't be reached."""
        log = await read_identity(place)
        return cls(place, log.identity, log.partitions, caches, objects)

    async def put(self, command: Command, reply_to: ReplyTo) -> None:
        value, headers = encode_command(command, reply_to)
        try:
            with own_cancellation():
                producer = self._producer or await self._start()
                await producer.send_and_wait(
                    self._place.topic(COMMANDS),
                    value,
                    key=command.stream.encode(),
                    partition=partition_of(command.stream, self._count),
                    headers=headers,
                )
        except (KafkaError, BrokenOff) as error:
            raise LogError(f"append: {type(error).__name__}") from error

    async def hold(self, work: Work) -> None:
        while True:
            # A new membership each time: who was fenced or timed out takes only what a new
            # generation of the group gives. A woken zombie that started producers for what it held
            # before would fence the rightful owners.
            try:
                async with aclosing(shares(self._place, DECIDERS)) as looks:
                    await _Holdings(self._take, work).follow(looks)
            except LogError as error:
                log.warning("tenures_ended", error=str(error))
                await asyncio.sleep(RETRY)

    async def close(self) -> None:
        if self._producer is not None:
            with suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(FAREWELL):
                    await self._producer.stop()

    async def _take(self, partition: int, confirmed: Callable[[], bool]) -> KafkaTenure:
        cache = self._caches / f"{DECIDERS}-{self._identity}-{partition}.db"
        return await KafkaTenure.take(self._place, partition, cache, self._snapshots, confirmed)

    async def _start(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._place.servers,
                    enable_idempotence=True,
                    request_timeout_ms=APPEND_TIMEOUT,
                )
                await producer.start()
                self._producer = producer
            return self._producer


class _Holdings:
    """The partitions this process holds in one membership, each with its work as a task."""

    def __init__(self, take: Take, work: Work) -> None:
        self._take = take
        self._work = work
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._confirmed_at = 0.0

    async def follow(self, looks: AsyncIterator[Collection[int]]) -> None:
        """Work on what falls to this process, as looks at the group tell.

        Raises:
            LogError: a tenure has ended; the membership has to be given up.
        """
        look: asyncio.Task[Collection[int]] | None = None
        try:
            while True:
                look = look or asyncio.ensure_future(anext(looks))
                await asyncio.wait(
                    (look, *self._tasks.values()), return_when=asyncio.FIRST_COMPLETED
                )
                for task in [task for task in self._tasks.values() if task.done()]:
                    await task
                if look.done():
                    # Letting go of the others may take long, or the process sleep meanwhile.
                    self._confirmed_at = time.monotonic()
                    await self._hold(look.result())
                    look = None
        finally:
            # In this order: who is given the partitions begins by fencing whoever is not done.
            await self._hold(())
            if look is not None:
                look.cancel()
                await asyncio.wait([look])

    async def _hold(self, partitions: Collection[int]) -> None:
        lost = [number for number in self._tasks if number not in partitions]
        for number in lost:
            self._tasks[number].cancel()
        await asyncio.gather(*map(self._tasks.pop, lost), return_exceptions=True)
        for number in partitions:
            if number not in self._tasks:
                self._tasks[number] = asyncio.create_task(self._work_on(number))

    async def _work_on(self, partition: int) -> None:
        tenure = await self._take(partition, self._is_confirmed)
        try:
            await self._work(tenure)
        finally:
            await tenure.close()

    def _is_confirmed(self) -> bool:
        """Whether the group named this process the owner just now: it may have slept since."""
        return time.monotonic() - self._confirmed_at < CONFIRMED_WITHIN
