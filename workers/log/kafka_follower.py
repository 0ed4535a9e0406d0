"""One consumer over the partitions of a Kafka log, and what it has fetched and nobody took yet."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from workers.log.kafka_identity import ANSWER, told_as_log_error
from workers.log.kafka_topics import KafkaPlace
from workers.log.port import LogError

#: Records of a partition that wait to be taken; with so many no more are fetched.
ROOM = 2000
#: Records handed over from the consumer at once: the event loop stands still meanwhile.
AT_ONCE = 1000
#: Seconds after which a partition that was not part of a fetch under way is part of the next.
TURN = 0.05

Record = ConsumerRecord[bytes | None, bytes | None]


class _Run:
    """The fetched records of a partition: `start` is the position before the first of them, `end`
    the one after the last and after the transaction markers that follow it."""

    def __init__(self, start: int) -> None:
        self.start = self.end = start
        self.records: deque[Record] = deque()
        self.grown = asyncio.Event()
        self.error: LogError | None = None

    def grow(self, records: Iterable[Record], end: int) -> None:
        if end > self.end:
            self.records.extend(records)
            self.end = end
            self.wake()

    def fail(self, error: LogError) -> None:
        self.error = error
        self.wake()

    def take(self, limit: int) -> list[Record]:
        taken = [self.records.popleft() for _ in range(min(limit, len(self.records)))]
        self.start = self.records[0].offset if self.records else self.end
        return taken

    def wake(self) -> None:
        self.grown.set()
        self.grown = asyncio.Event()


class Follower:
    """Reads each partition from one position on, committed records only.

    What was fetched is taken from the consumer at once and kept here: a partition whose records
    stay with aiokafka's consumer holds up all others, for 100 ms at each fetch. A read from
    another position throws away what is kept of that partition.
    """

    def __init__(self, place: KafkaPlace, ends: dict[TopicPartition, int]) -> None:
        """`ends` is what is known of the ends of all partitions, and is kept up to date."""
        self._place = place
        self._ends = ends
        self._runs: dict[TopicPartition, _Run] = {}
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=place.servers,
            isolation_level="read_committed",
            auto_offset_reset="none",
            enable_auto_commit=False,
            fetch_max_wait_ms=int(TURN * 1000),
            request_timeout_ms=int(ANSWER * 1000),
        )
        self._turns: defaultdict[TopicPartition, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._pump: asyncio.Task[None] | None = None
        #: Why it reads no more.
        self.failure: LogError | None = None

    async def start(self) -> None:
        """Raises LogError: the cluster can't be reached."""
        try:
            with told_as_log_error(self._place):
                await self._consumer.start()
        except BaseException:
            await self._consumer.stop()
            raise
        self._consumer.assign([*self._ends])
        for partition in self._ends:
            # What nobody reads is not fetched, but has a position, or aiokafka asks for one.
            self._consumer.seek(partition, 0)
            self._consumer.pause(partition)
        self._pump = asyncio.create_task(self._fetch())

    async def stop(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait([self._pump])
        await self._consumer.stop()

    async def wait(self, partition: TopicPartition, after: int) -> None:
        """Return once something was fetched from beyond the position.

        Raises:
            LogError: nothing more will be.
        """
        await self._grown(partition, self._at(partition, after), after)

    async def take(
        self, partition: TopicPartition, after: int, limit: int
    ) -> tuple[Sequence[Record], int]:
        """The records from a position on, at most `limit`, and the position to go on from.

        Raises:
            LogError: the partition can't be read.
        """
        async with self._turns[partition]:
            run = self._at(partition, after)
            if after < self._ends[partition]:
                try:
                    async with asyncio.timeout(ANSWER):
                        await self._grown(partition, run, after)
                except TimeoutError:
                    raise LogError(f"{self._place}: {partition.topic} does not answer") from None
            return run.take(limit), run.start

    async def _grown(self, partition: TopicPartition, run: _Run, after: int) -> None:
        while run.end == after and self._runs[partition] is run:
            if error := run.error or self.failure:
                raise error
            await run.grown.wait()

    def _at(self, partition: TopicPartition, after: int) -> _Run:
        run = self._runs.get(partition)
        if run is None or run.start != after or run.error is not None:
            if run is not None:
                run.wake()
            run = self._runs[partition] = _Run(after)
            self._consumer.seek(partition, after)
            self._consumer.resume(partition)
        return run

    async def _fetch(self) -> None:
        try:
            with told_as_log_error(self._place):
                while True:
                    await self._fetch_once()
        except LogError as error:
            self.failure = error
        except Exception as error:
            # Of aiokafka's own: another consumer may do better.
            self.failure = LogError(f"{self._place}: {type(error).__name__}")
            self.failure.__cause__ = error
        finally:
            self.failure = self.failure or LogError(f"{self._place}: closed")
            for run in self._runs.values():
                run.wake()

    async def _fetch_once(self) -> None:
        hungry = [p for p, run in self._runs.items() if len(run.records) < ROOM]
        if not hungry:
            await asyncio.sleep(TURN)
            return
        try:
            found = await self._consumer.getmany(
                *hungry, timeout_ms=int(TURN * 1000), max_records=AT_ONCE
            )
        except OffsetOutOfRangeError as error:
            for partition, position in error.args[0].items():
                self._consumer.pause(partition)
                text = f"{partition.topic} has no position {position} in {partition.partition}"
                self._runs[partition].fail(LogError(f"{self._place}: {text}"))
            return
        for partition in hungry:
            # Waits for nothing, as each has a position.
            position = await self._consumer.position(partition)
            self._runs[partition].grow(found.get(partition, ()), position)
            stable = self._consumer.last_stable_offset(partition)
            if stable is not None:
                self._ends[partition] = max(stable, self._ends[partition])
