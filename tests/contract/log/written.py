"""A log of any edition to read from, and a way to write groups into it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from tests.contract.log.kafka_writer import KafkaWriter
from workers.log import migrate_log, open_embedded_log
from workers.log.kafka import KafkaLog
from workers.log.kafka_topics import parse_url
from workers.log.port import EventLog, Group


class WrittenLog(EventLog, Protocol):
    async def commit(self, group: Group) -> None: ...


class WrittenKafkaLog(KafkaLog):
    writer: KafkaWriter

    async def commit(self, group: Group) -> None:
        """Leaves an aborted transaction before the group. Returns when its end is known."""
        written = await self.writer.commit(group)
        ends = await self.ends()
        while any(ends[partition] <= place for partition, place in written.items()):
            ends = await self.ends()


@asynccontextmanager
async def open_written_log(url: str) -> AsyncIterator[WrittenLog]:
    """Open a log, made where there is none."""
    if not url.startswith("kafka:"):
        embedded = await open_embedded_log(url)
        try:
            yield embedded
        finally:
            await embedded.close()
        return
    place, made = parse_url(url), await migrate_log(url)
    log = await WrittenKafkaLog.open(place)
    try:
        async with KafkaWriter(place, made.partitions) as log.writer:
            yield log
    finally:
        await log.close()
