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
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import (
    IllegalStateError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RecordListTooLargeError,
)

from domain import envelope as wire
from domain.commands import Outcome
from domain.decider import Record
from domain.envelope import CONTENT_TYPE, chain_next
from domain.state import Part
from workers.log.kafka_cache import CacheError, Place, StateCache, open_cache
from workers.log.kafka_codec import decode_outcome, encode_outcome, read_command
from workers.log.kafka_fold import Fold
from workers.log.kafka_topics import CHATS, COMMANDS, OUTCOMES, USERS, KafkaPlace, topic_of
from workers.log.port import Asked, Conflict, Fenced, Group, LogError, PartRef

log = structlog.get_logger()

#: Kafka ends a transaction that its owner leaves open for so long, in milliseconds.
TRANSACTION_TIMEOUT = 15_000
#: Seconds after which a step of the takeover or a commit counts as failed.
PATIENCE = 15.0
#: Seconds a thrown-away producer or consumer has to stop.
FAREWELL = 3.0
#: aiokafka waits so long (ms) when a request has to be repeated; its default of 100 ms strikes one
#: transaction in ten, because the one before is often just completing.
RETRY_BACKOFF = 5
FOLDED_AT_ONCE = 2_000

#: The name of the deciders' consumer group, and the beginning of their transactional ids.
DECIDERS = "decider"
_RECORDS = (CHATS, USERS, OUTCOMES)

T = TypeVar("T")

_EVENT_HEADERS = [("content-type", CONTENT_TYPE.encode())]


class KafkaTenure:
    def __init__(
        self, place: KafkaPlace, partition: int, producer: AIOKafkaProducer, cache_path: Path
    ) -> None:
        """Use `take`."""
        self.partition = partition
        self._place = place
        self._producer = producer
        self._thread = ThreadPoolExecutor(1, f"cache-{partition}")
        self._cache_path = cache_path
        self._cache: StateCache
        self._caching: asyncio.Future[None] | None = None
        self._commands = AIOKafkaConsumer(
            bootstrap_servers=place.servers,
            group_id=place.group(DECIDERS),
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=1_000,
        )

    @classmethod
    async def take(
        cls, place: KafkaPlace, partition: int, cache_path: Path, confirmed: Callable[[], bool]
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
            max_request_size=2_000_000,
        )
        tenure = cls(place, partition, producer, cache_path)
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

    async def close(self) -> None:
        """Let go. What was committed stays; an open transaction is ended by the next owner."""
        with suppress(LogError, CacheError):
            await self._cached()
        clients: tuple[Any, ...] = (self._producer, self._commands)
        for client in clients:
            # A producer that was fenced, or whose broker is gone, may wait for ever.
            with suppress(KafkaError, TimeoutError, IllegalStateError):
                async with asyncio.timeout(FAREWELL):
                    await client.stop()
        if hasattr(self, "_cache"):
            await asyncio.get_running_loop().run_in_executor(self._thread, self._cache.close)
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
            places[kind] = Place(metadata.offset, chain_next(value))
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
            try:
                await caching
            except CacheError as error:
                raise LogError(f"the decider's cache fails: {error}") from error

    async def _restore(self) -> None:
        """Fold what the log has and the cache lacks, then find the place among the commands."""
        place = self._place
        logs = {TopicPartition(place.topic(k), self.partition): k for k in _RECORDS}
        commands = TopicPartition(place.topic(COMMANDS), self.partition)
        self._commands.assign([commands])
        await self._commands.start()
        reader = AIOKafkaConsumer(
            bootstrap_servers=place.servers,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=4 * 1024 * 1024,
        )
        reader.assign(list(logs))
        await reader.start()
        try:
            offset = await self._commands.committed(commands)
            ends = await reader.end_offsets(list(logs))
            self._cache = await self._open_cache(reader)
            await self._fold(reader, logs, ends)
        finally:
            with suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(FAREWELL):
                    await reader.stop()
        if offset is None:
            # Receipts answer those among them that were decided already.
            await self._commands.seek_to_beginning(commands)
        else:
            self._commands.seek(commands, offset)

    async def _open_cache(self, reader: AIOKafkaConsumer) -> StateCache:
        """The cache, empty if what it has folded last is not what the log has there."""
        cache = await self._run(lambda: open_cache(self._cache_path))
        for kind, place in (await self._run(cache.places)).items():
            where = TopicPartition(self._place.topic(kind), self.partition)
            if not await _holds(reader, where, place):
                log.warning("cache_discarded", partition=self.partition, topic=where.topic)
                await self._run(cache.discard)
                return await self._run(lambda: open_cache(self._cache_path))
        return cache

    async def _fold(
        self,
        reader: AIOKafkaConsumer,
        logs: Mapping[TopicPartition, str],
        ends: Mapping[TopicPartition, int],
    ) -> None:
        places = await self._run(self._cache.places)
        fold = Fold(self._cache)
        for where in ends:
            place = places.get(logs[where])
            if place is None:
                await reader.seek_to_beginning(where)
            else:
                reader.seek(where, place.offset + 1)
        folded = 0
        # An end may lie behind a transaction's marker, which no record is read for: only the
        # position tells.
        while any([await reader.position(where) < end for where, end in ends.items()]):
            async with asyncio.timeout(PATIENCE):
                fetched = await reader.getmany(timeout_ms=200, max_records=FOLDED_AT_ONCE)
            for where, records in fetched.items():
                folded += len(records)
                await self._run(partial(_fold_run, fold, logs[where], records))
        await self._run(fold.flush)
        log.info("partition_restored", partition=self.partition, records=folded)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        await self._cached()
        try:
            return await self._run(call)
        except CacheError as error:
            raise LogError(f"the decider's cache fails: {error}") from error

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


def _fold_run(fold: Fold, kind: str, records: "Sequence[ConsumerRecord[bytes, bytes]]") -> None:
    values = [record.value or b"" for record in records]
    place = Place(records[-1].offset, chain_next(values[-1]))
    if kind == OUTCOMES:
        fold.outcomes(kind, [decode_outcome(value) for value in values], place)
    else:
        fold.events(kind, [Record(wire.decode(value), value) for value in values], place)


async def _holds(reader: AIOKafkaConsumer, where: TopicPartition, place: Place) -> bool:
    """Whether the log has at this place what was folded there."""
    [end] = (await reader.end_offsets([where])).values()
    [start] = (await reader.beginning_offsets([where])).values()
    if not start <= place.offset < end:
        return False
    others = reader.assignment() - {where}
    reader.pause(*others)
    reader.seek(where, place.offset)
    try:
        async with asyncio.timeout(PATIENCE):
            record = await reader.getone(where)
    finally:
        reader.resume(*others)
    return record.offset == place.offset and chain_next(record.value or b"") == place.hash


@contextmanager
def _log_errors(step: str) -> Iterator[None]:
    try:
        yield
    except ProducerFenced as error:
        raise Fenced(f"{step}: another process owns the partition") from error
    except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
        raise Conflict(f"{step}: {type(error).__name__}") from error
    except (KafkaError, IllegalStateError, TimeoutError) as error:
        raise LogError(f"{step}: {type(error).__name__}") from error
