"""The queue of commands on Kafka: a gateway's way in, and the deciders' way out."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from domain.commands import Command
from workers.log.kafka_codec import encode_command
from workers.log.kafka_tenure import DECIDERS, FAREWELL, KafkaTenure
from workers.log.kafka_topics import COMMANDS, KafkaPlace, partition_of
from workers.log.port import Fenced, LogError, ReplyTo, Tenure

log = structlog.get_logger()

#: Seconds before a partition is tried again whose log failed.
RETRY = 0.5
#: Milliseconds after which a command that could not be appended is given up.
APPEND_TIMEOUT = 10_000

Work = Callable[[Tenure], Awaitable[None]]


class KafkaCommandLog:
    def __init__(self, place: KafkaPlace, identity: str, count: int, caches: Path) -> None:
        """`identity` and `count` are the log's and its partitions'; `caches` is the folder for what
        the deciders of this process keep."""
        self._place = place
        self._identity = identity
        self._count = count
        self._caches = caches
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def put(self, command: Command, reply_to: ReplyTo) -> None:
        value, headers = encode_command(command, reply_to)
        try:
            producer = self._producer or await self._start()
            await producer.send_and_wait(
                self._place.topic(COMMANDS),
                value,
                key=command.stream.encode(),
                partition=partition_of(command.stream, self._count),
                headers=headers,
            )
        except KafkaError as error:
            raise LogError(f"append: {type(error).__name__}") from error

    async def hold(self, work: Work) -> None:
        while True:
            # A new membership each time: who was fenced takes only what a new generation of the
            # group gives. A woken zombie that started producers for what it held before would
            # fence the rightful owners.
            holdings = _Holdings(self._take, work)
            try:
                await holdings.follow(shares(self._place, DECIDERS, COMMANDS))
            except Fenced as error:
                log.warning("fenced", error=str(error))
            finally:
                await holdings.release()

    async def close(self) -> None:
        if self._producer is not None:
            with suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(FAREWELL):
                    await self._producer.stop()

    async def _take(self, partition: int) -> KafkaTenure:
        cache = self._caches / f"{DECIDERS}-{self._identity}-{partition}.db"
        return await KafkaTenure.take(self._place, partition, cache)

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

    def __init__(self, take: Callable[[int], Awaitable[KafkaTenure]], work: Work) -> None:
        self._take = take
        self._work = work
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def follow(self, shares: AsyncIterator[Sequence[int]]) -> None:
        """Work on what falls to this process until it is fenced.

        Raises:
            Fenced: the membership has to be given up.
        """
        share: asyncio.Task[Sequence[int]] | None = None
        try:
            while True:
                share = share or asyncio.ensure_future(anext(shares))
                await asyncio.wait(
                    (share, *self._tasks.values()), return_when=asyncio.FIRST_COMPLETED
                )
                for task in [task for task in self._tasks.values() if task.done()]:
                    task.result()
                if share.done():
                    await self._hold(share.result())
                    share = None
        finally:
            if share is not None:
                share.cancel()
                with suppress(asyncio.CancelledError, LogError):
                    await share
            await shares.aclose()

    async def release(self) -> None:
        await self._hold(())

    async def _hold(self, partitions: Collection[int]) -> None:
        lost = {n: task for n, task in self._tasks.items() if n not in partitions}
        for task in lost.values():
            task.cancel()
        await asyncio.gather(*lost.values(), return_exceptions=True)
        self._tasks = {n: task for n, task in self._tasks.items() if n not in lost}
        for number in partitions:
            if number not in self._tasks:
                self._tasks[number] = asyncio.create_task(self._work_on(number))

    async def _work_on(self, partition: int) -> None:
        """Work on a partition for as long as the group gives it; the whole takeover again after
        every failure of the log."""
        while True:
            try:
                tenure = await self._take(partition)
                try:
                    await self._work(tenure)
                finally:
                    await tenure.close()
            except Fenced:
                raise
            except LogError as error:
                log.warning("tenure_ended", partition=partition, error=str(error))
                await asyncio.sleep(RETRY)
