"""The log of the embedded edition: one SQLite file, one writer."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec
from eventsourcing.persistence import IntegrityError, PersistenceError, StoredEvent

from domain import envelope as wire
from domain.commands import Outcome
from domain.envelope import Envelope
from domain.state import Part, decode_part, encode_part
from workers.log.port import Conflict, Group, LogBatch, LogError, PartRef
from workers.log.sqlite_recorder import LogRecorder

EVENTS = "events"
OUTCOMES = "outcomes"

#: Events kept in memory for those who read along with the writer.
TAIL = 4096

T = TypeVar("T")


class SqliteLog:
    """Reads and writes go through threads; the event loop waits for neither.

    The newest events are kept decoded, so that projector and fan-out, which follow closely, cost
    no second read.
    """

    def __init__(self, recorder: LogRecorder, threads: tuple[ThreadPoolExecutor, ...]) -> None:
        self._recorder = recorder
        self._writer, self._readers = threads
        self.identity = recorder.identity()
        events, outcomes = recorder.ends()
        self._ends = {EVENTS: events, OUTCOMES: outcomes}
        self._tail: list[Envelope] = []
        self._grown = {EVENTS: asyncio.Event(), OUTCOMES: asyncio.Event()}
        self._decode_outcome = msgspec.json.Decoder(Outcome).decode

    @classmethod
    async def open(cls, path: str) -> "SqliteLog":
        threads = (ThreadPoolExecutor(1, "log-writer"), ThreadPoolExecutor(2, "log-reader"))

        def make() -> "SqliteLog":
            return cls(LogRecorder(path), threads)

        try:
            return await _call(threads[0], make)
        except LogError as error:
            for pool in threads:
                pool.shutdown(wait=False)
            raise LogError(f"{path}: {error.__cause__}") from error

    @property
    def partitions(self) -> Sequence[str]:
        return (EVENTS, OUTCOMES)

    def partition_of(self, stream: str) -> str:  # noqa: ARG002 (all stand in one)
        return EVENTS

    def reader(self) -> "SqliteLog":
        # It keeps nothing of where somebody reads.
        return self

    async def shares(self, name: str) -> AsyncGenerator[Sequence[str], None]:  # noqa: ARG002 (all)
        yield self.partitions
        await asyncio.get_running_loop().create_future()

    async def ends(self) -> dict[str, int]:
        return dict(self._ends)

    async def acknowledged(self) -> dict[str, int]:
        return dict(self._ends)

    def end(self, partition: str) -> int:
        return self._ends[partition]

    async def wait(self, partition: str, after: int) -> None:
        while self._ends[partition] <= after:
            await self._grown[partition].wait()

    async def read(self, partition: str, after: int, limit: int) -> LogBatch:
        if self._ends[partition] <= after:
            return LogBatch(partition, after)
        if partition == OUTCOMES:
            rows = await _call(self._readers, self._recorder.read_outcomes, after, limit)
            outcomes = [self._decode_outcome(outcome) for _, outcome in rows]
            return LogBatch(partition, rows[-1][0] if rows else after, outcomes=outcomes)
        first = self._ends[EVENTS] - len(self._tail) + 1
        if after + 1 >= first:
            events = self._tail[after + 1 - first : after + 1 - first + limit]
            return LogBatch(partition, after + len(events), events)
        rows = await _call(self._readers, self._recorder.read_events, after, limit)
        events = [wire.decode(record) for _, record in rows]
        return LogBatch(partition, rows[-1][0] if rows else after, events)

    async def read_stream(self, stream: str, after: int, limit: int) -> list[bytes]:
        def select() -> list[bytes]:
            found = self._recorder.select_events(stream, gt=after, limit=limit)
            return [bytes(event.state) for event in found]

        return await _call(self._readers, select)

    async def recall(
        self, parts: Sequence[PartRef], commands: Sequence[str]
    ) -> tuple[dict[PartRef, Part], dict[str, Outcome]]:
        if not parts and not commands:
            return {}, {}
        states, receipts = await _call(self._writer, self._recorder.recall, parts, commands)
        outcomes = [self._decode_outcome(receipt) for receipt in receipts]
        return (
            {(stream, part): decode_part(state) for stream, part, state in states},
            {outcome.command: outcome for outcome in outcomes},
        )

    async def commit(self, group: Group) -> None:
        stored = [
            StoredEvent(
                originator_id=record.envelope.stream,
                originator_version=record.envelope.seq,
                topic=record.envelope.type,
                state=record.value,
            )
            for record in group.records
        ]
        encode = msgspec.json.encode
        beside = {
            "receipts": [(o.command, encode(o).decode()) for o in group.receipts],
            "outcomes": [encode(o).decode() for o in group.outcomes],
            "parts": [(*ref, encode_part(part).decode()) for ref, part in group.changes.items()],
        }
        await _call(self._writer, lambda: self._recorder.insert_events(stored, **beside))
        self._tail.extend(record.envelope for record in group.records)
        if len(self._tail) > 2 * TAIL:
            del self._tail[:-TAIL]
        self._advance(EVENTS, len(group.records))
        self._advance(OUTCOMES, len(group.outcomes))

    async def close(self) -> None:
        for threads in (self._writer, self._readers):
            await asyncio.to_thread(threads.shutdown)
        self._recorder.datastore.close()

    def _advance(self, partition: str, count: int) -> None:
        if count:
            self._ends[partition] += count
            self._grown[partition].set()
            self._grown[partition] = asyncio.Event()


async def _call(threads: ThreadPoolExecutor, call: Callable[..., T], *args: Any) -> T:
    try:
        return await asyncio.get_running_loop().run_in_executor(threads, call, *args)
    except IntegrityError as error:
        raise Conflict(type(error).__name__) from error
    # What fails while a connection is made comes as the driver raises it.
    except (PersistenceError, sqlite3.Error) as error:
        raise LogError(type(error).__name__) from error
