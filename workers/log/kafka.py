"""The log of the distributed edition, for those who read it."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Self

import msgspec
import structlog

from domain import envelope as wire
from domain.commands import Outcome
from domain.envelope import Envelope
from domain.instants import from_millis
from workers.log.kafka_clocks import clocks
from workers.log.kafka_cluster import KafkaCluster
from workers.log.kafka_follower import Follower, Record
from workers.log.kafka_shares import shares
from workers.log.kafka_topics import (
    OUTCOMES,
    KafkaPlace,
    partition_name,
    partition_of,
    split_partition,
    topic_of,
)
from workers.log.port import LogBatch

log = structlog.get_logger()

#: Records looked through at once for those of a stream.
_SCAN = 1000

_decode_outcome = msgspec.json.Decoder(Outcome).decode


class KafkaLog:
    """Reads `chats`, `users` and `outcomes`, whose partitions are named `{topic}-{number}`.

    A position is the offset of the next record to read, after transaction markers too. Each reader
    has a consumer of its own, made when it first reads; a connection that broke heals by itself.
    """

    def __init__(self, cluster: KafkaCluster, *, first: bool = False) -> None:
        self._cluster = cluster
        self._first = first
        self._readers: list[KafkaLog] = []
        self._follower: Follower | None = None
        self._following = asyncio.Lock()
        self._scanned = ("", 0, 0)

    @classmethod
    async def open(cls, place: KafkaPlace) -> Self:
        """Raises LogError: there is no log, it is not what it was, or it can't be reached."""
        return cls(await KafkaCluster.open(place), first=True)

    @property
    def identity(self) -> str:
        return self._cluster.log.identity

    @property
    def partitions(self) -> Sequence[str]:
        return [*self._cluster.places]

    @property
    def event_partitions(self) -> Sequence[str]:
        return [p for p in self.partitions if split_partition(p)[0] != OUTCOMES]

    def partition_of(self, stream: str) -> str:
        number = partition_of(stream, self._cluster.log.partitions)
        return partition_name(topic_of(stream), number)

    def reader(self) -> "KafkaLog":
        reader = KafkaLog(self._cluster)
        self._readers.append(reader)
        return reader

    async def ends(self) -> dict[str, int]:
        return await self._cluster.ask_ends()

    async def acknowledged(self) -> dict[str, int]:
        return await self._cluster.ask_high_water_marks()

    def end(self, partition: str) -> int:
        return self._cluster.ends[self._cluster.places[partition]]

    async def wait(self, partition: str, after: int) -> None:
        follower = await self._reading()
        await follower.wait(self._cluster.places[partition], after)

    async def read(self, partition: str, after: int, limit: int) -> LogBatch:
        records, end = await self._take(partition, after, limit)
        if split_partition(partition)[0] == OUTCOMES:
            return LogBatch(partition, end, outcomes=_outcomes(records))
        return LogBatch(partition, end, _events(records))

    async def read_records(
        self, partition: str, after: int, limit: int
    ) -> tuple[Sequence[tuple[str, bytes]], int]:
        records, end = await self._take(partition, after, limit)
        return [(_stream(record), record.value or b"") for record in records], end

    async def clocks(self) -> dict[int, float]:
        self._cluster.refuse_foreign()
        return await clocks(self._cluster.place, self._cluster.log.partitions)

    async def read_stream(self, stream: str, after: int, limit: int) -> list[bytes]:
        partition = self.partition_of(stream)
        # There is no index: all that stands before it is read, or since the page before.
        scanned, seq, position = self._scanned
        if scanned != stream or seq > after:
            seq, position = 0, 0
        key, found = stream.encode(), list[bytes]()
        end = (await self.ends())[partition]
        scanner = self.reader()
        try:
            while position < end and len(found) < limit:
                self._scanned = (stream, seq, position)
                records, position = await scanner._take(partition, position, _SCAN)
                own = [record.value or b"" for record in records if record.key == key]
                found += own[max(0, after - seq) :]
                seq += len(own)
        finally:
            self._readers.remove(scanner)
            await scanner.close()
        return found[:limit]

    async def shares(self, name: str) -> AsyncGenerator[Sequence[str], None]:
        self._cluster.refuse_foreign()
        async with contextlib.aclosing(shares(self._cluster.place, name)) as numbers:
            async for share in numbers:
                yield [p for p in self.partitions if split_partition(p)[1] in share]

    async def close(self) -> None:
        for reader in self._readers:
            await reader.close()
        if self._follower is not None:
            await self._follower.stop()
        if self._first:
            await self._cluster.close()

    async def _take(self, partition: str, after: int, limit: int) -> tuple[Sequence[Record], int]:
        follower = await self._reading()
        return await follower.take(self._cluster.places[partition], after, limit)

    async def _reading(self) -> Follower:
        self._cluster.refuse_foreign()
        async with self._following:
            if self._follower is not None and self._follower.failure is not None:
                await self._follower.stop()
                self._follower = None
            if self._follower is None:
                follower = Follower(self._cluster.place, self._cluster.ends)
                await follower.start()
                self._follower = follower
            return self._follower


def _events(records: Sequence[Record]) -> list[Envelope]:
    events = []
    for record in records:
        try:
            events.append(wire.decode(record.value or b""))
        except msgspec.DecodeError:
            _tell(record)
            if record.key:
                time = from_millis(record.timestamp)
                events.append(wire.unreadable(_stream(record), time))
    return events


def _outcomes(records: Sequence[Record]) -> list[Outcome]:
    outcomes = []
    for record in records:
        try:
            outcomes.append(_decode_outcome(record.value or b""))
        except (msgspec.DecodeError, UnicodeDecodeError):
            _tell(record)
    return outcomes


def _stream(record: Record) -> str:
    return (record.key or b"").decode(errors="replace")


def _tell(record: Record) -> None:
    log.error(
        "record_not_readable",
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
    )
