"""Being the single writer of one partition: taking it over, and group commits in transactions.

Taking over is one sequence, always whole: start the producer, which fences the previous owner and
ends its open transaction; only then read where the commands were left and where the log ends; fold
up to there; go on with the commands from there (KIP-98; the static transactional id of the
partition does the fencing). A place read before the fencing may be stale.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    IllegalStateError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RecordListTooLargeError,
)

from domain.commands import Outcome
from domain.envelope import CONTENT_TYPE, chain_next
from domain.state import Part
from projections.cancellation import BrokenOff, own_cancellation
from workers.log import kafka_snapshots
from workers.log.kafka_cache import CacheError, Place, StateCache
from workers.log.kafka_codec import encode_outcome, read_command
from workers.log.kafka_restore import FAREWELL, PATIENCE, Restorer
from workers.log.kafka_snapshots import Snapshots
from workers.log.kafka_topics import COMMANDS, OUTCOMES, KafkaPlace, topic_of
from workers.log.port import Asked, Conflict, Fenced, Group, LogError, PartRef

log = structlog.get_logger()

#: Kafka ends a transaction that its owner leaves open for so long, in milliseconds.
TRANSACTION_TIMEOUT = 15_000
#: aiokafka waits so long (ms) when a request has to be repeated; its default of 100 ms strikes one
#: transaction in ten, because the one before is often just completing.
RETRY_BACKOFF = 5

#: What the topics take, in bytes. It has to be turned away here: after a record that the broker has
#: turned away its sequence of records has a gap, and the producer can't go on.
MAX_RECORD = 1_048_588

#: The name of the deciders' consumer group, and the beginning of their transactional ids.
DECIDERS = "decider"

T = TypeVar("T")

_EVENT_HEADERS = [("content-type", CONTENT_TYPE.encode())]
_NOWHERE = Place(-1, "", 0)


class KafkaTenure:
    def __init__(
        self,
        place: KafkaPlace,
        partition: int,
        producer: AIOKafkaProducer,
        cache_path: Path,
        snapshots: Snapshots,
    ) -> None:
        """Use `take`."""
        self.partition = partition
        self._place = place
        self._producer = producer
        self._thread = ThreadPoolExecutor(1, f"cache-{partition}")
        self._cache_path = cache_path
        self._cache: StateCache
        self._cache_fails = False
        self._caching: asyncio.Future[None] | None = None
        self._places: dict[str, Place] = {}
        self._snapshots = snapshots
        self._snapshot: asyncio.Task[None] | None = None
        self._snapshots_due = 0
        self._commands = AIOKafkaConsumer(
            bootstrap_servers=place.servers,
            group_id=place.group(DECIDERS),
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=1_000,
        )

    @classmethod
    async def take(
        cls,
        place: KafkaPlace,
        partition: int,
        cache_path: Path,
        snapshots: Snapshots,
        confirmed: Callable[[], bool],
    ) -> "KafkaTenure":
        """Become the single writer of a partition that the deciders' group gave to this process,
        if `confirmed` still holds when it comes to that.

        Raises:
            LogError: it could not be taken; whoever holds it now does.
        """
        producer = AIOKafkaProducer(
            bootstrap_servers=place.servers,
            transactional_id=f"{place.group(DECIDERS)}-{partition}",
            transaction_timeout_ms=TRANSACTION_TIMEOUT,
            retry_backoff_ms=RETRY_BACKOFF,
            max_request_size=MAX_RECORD,
        )
        tenure = cls(place, partition, producer, cache_path, snapshots)
        try:
            if not confirmed():
                raise LogError("the group may have given the partition to another process")
            with _log_errors("take"):
                async with asyncio.timeout(PATIENCE):
                    await producer.start()
                await tenure._restore()
        except BaseException:
            await tenure.close()
            raise
        return tenure

    async def next(self, limit: int) -> list[Asked]:
        asked: list[Asked] = []
        while not asked:
            asked = await self._fetched(limit, 60_000)
        return asked

    async def waiting(self, limit: int) -> list[Asked]:
        return await self._fetched(limit, 0) if limit else []

    async def _fetched(self, limit: int, millis: int) -> list[Asked]:
        with _log_errors("read commands"):
            fetched = await self._commands.getmany(timeout_ms=millis, max_records=limit)
        return [read_command(record) for records in fetched.values() for record in records]

    async def recall(
        self, parts: Sequence[PartRef], commands: Sequence[str]
    ) -> tuple[dict[PartRef, Part], dict[str, Outcome]]:
        if not parts and not commands:
            return {}, {}
        return await self._in_thread(lambda: self._cache.recall(parts, commands))

    async def commit(self, group: Group) -> None:
        ids = [outcome.command for outcome in group.receipts]
        decided = bool(ids) and await self._in_thread(lambda: self._cache.holds_any(ids))
        if decided:
            raise Conflict("a command of the group was decided before")
        await self._cached()
        try:
            with _log_errors("commit"):
                async with asyncio.timeout(PATIENCE):
                    places = await self._transact(group)
        except Conflict:
            with _log_errors("abort"):
                async with asyncio.timeout(PATIENCE):
                    await self._producer.abort_transaction()
            raise
        # The log has it: the cache may follow while the replies are on their way. Whatever is
        # recalled next waits its turn behind this in the same thread.
        self._caching = asyncio.get_running_loop().run_in_executor(
            self._thread, self._cache.write, group.changes, group.receipts, places
        )
        self._places |= places
        self._keep_snapshot()

    async def close(self) -> None:
        """Let go. What was committed stays; an open transaction is ended by the next owner."""
        if self._snapshot is not None:
            self._snapshot.cancel()
            await asyncio.wait([self._snapshot])
        with suppress(LogError):
            await self._cached()
        clients: tuple[Any, ...] = (self._producer, self._commands)
        for client in clients:
            # A producer that was fenced, or whose broker is gone, may wait for ever.
            with suppress(LogError), _log_errors("farewell"):
                async with asyncio.timeout(FAREWELL):
                    await client.stop()
        if hasattr(self, "_cache"):
            await self._run(self._cache.discard if self._cache_fails else self._cache.close)
        self._thread.shutdown(wait=False)

    async def _transact(self, group: Group) -> dict[str, Place]:
        producer, place = self._producer, self._place
        await producer.begin_transaction()
        sent = []
        for record in group.records:
            stream = record.envelope.stream
            kind = topic_of(stream)
            future = await self._send(kind, stream, record.value, _EVENT_HEADERS)
            sent.append((kind, record.value, future))
        for outcome in group.outcomes:
            value = encode_outcome(outcome)
            future = await self._send(OUTCOMES, outcome.stream, value, [])
            sent.append((OUTCOMES, value, future))
        places: dict[str, Place] = {}
        for kind, value, future in sent:
            # `commit_transaction` does not look at the fate of single sends.
            metadata = await future
            before = places.get(kind) or self._places.get(kind) or _NOWHERE
            places[kind] = Place(metadata.offset, chain_next(value), before.records + 1)
        # Only now: a broker that is adding the group to the transaction turns records away that
        # come meanwhile (KIP-890), and they are sent again.
        commands = TopicPartition(place.topic(COMMANDS), self.partition)
        await producer.send_offsets_to_transaction({commands: group.upto}, place.group(DECIDERS))
        await producer.commit_transaction()
        return places

    async def _send(
        self, kind: str, stream: str, value: bytes, headers: list[tuple[str, bytes]]
    ) -> "asyncio.Future[Any]":
        future: asyncio.Future[Any] = await self._producer.send(
            self._place.topic(kind),
            value,
            key=stream.encode(),
            partition=self.partition,
            headers=headers,
        )
        return future

    async def _cached(self) -> None:
        """Wait for the cache to have what was committed last."""
        caching, self._caching = self._caching, None
        if caching is not None:
            with self._cache_errors():
                await caching

    async def _restore(self) -> None:
        """Fold what the log has and the cache lacks, and find the place among the commands."""
        place = self._place
        commands = TopicPartition(place.topic(COMMANDS), self.partition)
        self._commands.assign([commands])
        await self._commands.start()
        offset = await self._commands.committed(commands)
        [earliest] = (await self._commands.beginning_offsets([commands])).values()
        restorer = Restorer(place, self.partition, self._cache_path, self._snapshots, self._run)
        with self._cache_errors():
            await restorer.restore(self._opened)
            before = self._places
            self._places = await self._run(self._cache.places)
        self._snapshots_due = _snapshots_due(before)
        self._keep_snapshot()
        if offset is not None and offset < earliest:
            log.error("commands_lost", partition=self.partition, commands=earliest - offset)
        # Without an offset, receipts answer those that were decided already.
        self._commands.seek(commands, max(offset or 0, earliest))

    async def _opened(self, cache: StateCache) -> None:
        self._cache = cache
        self._places = await self._run(cache.places)

    def _keep_snapshot(self) -> None:
        due = _snapshots_due(self._places)
        if due > self._snapshots_due and (self._snapshot is None or self._snapshot.done()):
            self._snapshots_due = due
            self._snapshot = asyncio.create_task(
                self._snapshots.keep(self.partition, self._cache_path)
            )

    async def _in_thread(self, call: Callable[[], T]) -> T:
        await self._cached()
        with self._cache_errors():
            return await self._run(call)

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    @contextmanager
    def _cache_errors(self) -> Iterator[None]:
        try:
            yield
        except CacheError as error:
            # It may be spoilt: the next tenure is to begin without it.
            self._cache_fails = True
            raise LogError(f"the decider's cache fails: {error}") from error


def _snapshots_due(places: Mapping[str, Place]) -> int:
    """How many snapshots there should have been so far."""
    events = sum(place.records for kind, place in places.items() if kind != OUTCOMES)
    return events // kafka_snapshots.EVERY


@contextmanager
def _log_errors(step: str) -> Iterator[None]:
    try:
        with own_cancellation():
            yield
    except ProducerFenced as error:
        raise Fenced(f"{step}: another process owns the partition") from error
    except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
        raise Conflict(f"{step}: {type(error).__name__}") from error
    except (KafkaError, IllegalStateError, TimeoutError, AssertionError, BrokenOff) as error:
        # A producer that has failed for good asserts that nobody uses it any more.
        raise LogError(f"{step}: {type(error).__name__}") from error
