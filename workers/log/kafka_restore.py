"""Bringing a decider's cache up to where its partition of the log ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from domain import envelope as wire
from domain.commands import Outcome
from domain.decider import Record
from domain.envelope import chain_next
from workers.log.kafka_cache import CacheError, Place, StateCache, remove
from workers.log.kafka_codec import decode_outcome
from workers.log.kafka_fold import Fold
from workers.log.kafka_snapshots import Snapshots
from workers.log.kafka_topics import CHATS, OUTCOMES, USERS, KafkaPlace
from workers.log.port import LogError

log = structlog.get_logger()

#: Seconds after which a step of the takeover or a commit counts as failed.
PATIENCE = 15.0
#: Seconds a thrown-away producer or consumer has to stop.
FAREWELL = 3.0

_RECORDS = (CHATS, USERS, OUTCOMES)

T = TypeVar("T")


class Runner(Protocol):
    """Calls something in the thread that the cache belongs to."""

    def __call__(self, call: Callable[[], T]) -> Coroutine[Any, Any, T]: ...


class Restorer:
    """`restore` is used once, after the partition's previous owner was fenced."""

    def __init__(
        self,
        place: KafkaPlace,
        partition: int,
        cache_path: Path,
        snapshots: Snapshots,
        run: Runner,
    ) -> None:
        self._place = place
        self._partition = partition
        self._cache_path = cache_path
        self._snapshots = snapshots
        self._run = run
        self._logs = {TopicPartition(place.topic(k), partition): k for k in _RECORDS}
        self._reader = AIOKafkaConsumer(
            bootstrap_servers=place.servers,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=4 * 1024 * 1024,
        )
        self._reader.assign(list(self._logs))

    async def restore(self, opened: Callable[[StateCache], Awaitable[None]]) -> None:
        """Hand over a cache that goes with the log, whose owner closes it whatever happens, then
        fold what it lacks.

        Raises:
            KafkaError, TimeoutError: the log can't be read.
            LogError: it holds what this program does not know.
            CacheError: the cache can't be used.
        """
        async with self._reading():
            ends = await self._reader.end_offsets(list(self._logs))
            cache = await self._open_cache()
            await opened(cache)
            await self._fold(cache, ends)

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[None]:
        try:
            await self._reader.start()
            yield
        finally:
            with suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(FAREWELL):
                    await self._reader.stop()

    async def _open_cache(self) -> StateCache:
        """The local one, else the snapshot, else an empty one."""
        for bring in (self._is_here, self._fetch):
            if await bring():
                cache = await self._verified()
                if cache is not None:
                    return cache
        return await self._run(lambda: StateCache(self._cache_path))

    async def _is_here(self) -> bool:
        return await self._run(self._cache_path.exists)

    async def _fetch(self) -> bool:
        return await self._snapshots.fetch(self._partition, self._cache_path)

    async def _verified(self) -> StateCache | None:
        """The cache in the file, which is deleted if what it has folded last is not what the log
        has there."""
        try:
            cache = await self._run(lambda: StateCache(self._cache_path))
        except CacheError as error:
            await self._discard(lambda: remove(self._cache_path), str(error))
            return None
        try:
            for kind, place in (await self._run(cache.places)).items():
                if not await self._holds(kind, place):
                    raise CacheError(f"{kind} has something else")
        except CacheError as error:
            await self._discard(cache.discard, str(error))
            return None
        except BaseException:
            await self._run(cache.close)
            raise
        return cache

    async def _discard(self, discard: Callable[[], None], reason: str) -> None:
        log.warning("cache_discarded", partition=self._partition, reason=reason)
        await self._run(discard)

    async def _holds(self, kind: str, place: Place) -> bool:
        """Whether the log has at this place what was folded there."""
        reader, where = self._reader, TopicPartition(self._place.topic(kind), self._partition)
        [end] = (await reader.end_offsets([where])).values()
        [start] = (await reader.beginning_offsets([where])).values()
        if not start <= place.offset < end:
            return False
        others = reader.assignment() - {where}
        reader.pause(*others)
        reader.seek(where, place.offset)
        try:
            found: list[ConsumerRecord[bytes, bytes]] = []
            async with asyncio.timeout(PATIENCE):
                # There may be no record but a marker, and none after it.
                while not found and await reader.position(where) < end:
                    fetched = await reader.getmany(where, timeout_ms=200, max_records=1)
                    found = fetched.get(where, [])
        finally:
            reader.resume(*others)
        return [(one.offset, chain_next(one.value or b"")) for one in found] == [
            (place.offset, place.hash)
        ]

    async def _fold(self, cache: StateCache, ends: Mapping[TopicPartition, int]) -> None:
        reader = self._reader
        places = await self._run(cache.places)
        fold = Fold(cache, places)
        for where in ends:
            place = places.get(self._logs[where])
            if place is None:
                await reader.seek_to_beginning(where)
            else:
                reader.seek(where, place.offset + 1)
        folded = 0
        # An end may lie behind a transaction's marker, which no record is read for: only the
        # position tells.
        while any([await reader.position(where) < end for where, end in ends.items()]):
            async with asyncio.timeout(PATIENCE):
                # All of it: what stays with the consumer holds up its next fetch by 100 ms.
                fetched = await reader.getmany(timeout_ms=200)
            for where, records in fetched.items():
                folded += len(records)
                await self._run(partial(_fold_run, fold, self._logs[where], records))
        await self._run(fold.flush)
        log.info("partition_restored", partition=self._partition, records=folded)


def _fold_run(fold: Fold, kind: str, records: "Sequence[ConsumerRecord[bytes, bytes]]") -> None:
    # What is no record at all was written by no decider, and is part of no stream.
    if kind == OUTCOMES:
        fold.outcomes([one for one in map(_outcome, records) if one is not None])
    else:
        try:
            fold.events([one for one in map(_event, records) if one is not None])
        except CacheError:
            raise
        except Exception as error:
            # To decide on anything else than all that happened would write what can't be true.
            raise LogError(f"{kind} holds an event that can't be folded: {error!r}") from error
    fold.reach(kind, records[-1].offset, chain_next(records[-1].value or b""), len(records))


def _event(record: "ConsumerRecord[bytes, bytes]") -> Record | None:
    value = record.value or b""
    try:
        return Record(wire.decode(value), value)
    except msgspec.DecodeError:
        _tell_unreadable(record)
        return None


def _outcome(record: "ConsumerRecord[bytes, bytes]") -> Outcome | None:
    try:
        return decode_outcome(record.value or b"")
    except msgspec.DecodeError:
        _tell_unreadable(record)
        return None


def _tell_unreadable(record: "ConsumerRecord[bytes, bytes]") -> None:
    log.error("record_unreadable", topic=record.topic, place=record.offset)
