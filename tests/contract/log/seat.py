"""A log of one partition on Kafka: its queue of commands, its tenures, and what they leave."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from domain import commands as c
from domain.commands import Command, Outcome
from domain.ids import user_stream
from domain.instants import from_millis
from projections.objects import open_objects
from tests.servers.audit import Events, read_topics
from workers.deciders.group import GroupDecider
from workers.log import migrate_log
from workers.log.kafka_commands import KafkaCommandLog
from workers.log.kafka_snapshots import Snapshots
from workers.log.kafka_tenure import DECIDERS, KafkaTenure
from workers.log.kafka_topics import COMMANDS, KafkaPlace, parse_url
from workers.log.port import ReplyTo

NOW = 1_700_000_000_000
TIME = from_millis(NOW)
#: Seconds within which an acknowledged commit can be read.
SETTLED = 10.0

Kept = set[tuple[Any, ...]]


ANN = user_stream("ann")


def name_ann(id: str, name: str | None = "Ann") -> Command:
    return Command(
        id=id,
        digest=f"digest of {id}",
        stream=ANN,
        actor="ann",
        time=TIME,
        action=c.PutProfile(name=name),
    )


class Seat:
    """The seat of the single writer. Use `seated`."""

    def __init__(
        self, place: KafkaPlace, folder: Path, queue: KafkaCommandLog, snapshots: Snapshots
    ) -> None:
        self.place = place
        self.folder = folder
        self.queue = queue
        self.snapshots = snapshots
        self.commands = TopicPartition(place.topic(COMMANDS), 0)

    @property
    def cache(self) -> Path:
        return self.folder / "cache.db"

    async def put(self, *commands: Command) -> None:
        for command in commands:
            await self.queue.put(command, ReplyTo("mailbox", 1))

    async def put_raw(
        self, value: bytes, headers: Sequence[tuple[str, bytes]] = (), key: bytes | None = None
    ) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.place.servers)
        await producer.start()
        try:
            await producer.send_and_wait(self.commands.topic, value, key, 0, headers=headers)
        finally:
            await producer.stop()

    async def take(
        self, cache: Path | None = None, confirmed: Callable[[], bool] = lambda: True
    ) -> KafkaTenure:
        return await KafkaTenure.take(self.place, 0, cache or self.cache, self.snapshots, confirmed)

    @asynccontextmanager
    async def taken(self, cache: Path | None = None) -> AsyncIterator[KafkaTenure]:
        tenure = await self.take(cache)
        try:
            yield tenure
        finally:
            await tenure.close()

    async def offset(self) -> int | None:
        """Where the deciders' group stands."""
        async with self._asking(self.place.group(DECIDERS)) as consumer:
            offset: int | None = await consumer.committed(self.commands)
            return offset

    async def stands_at(self, offset: int) -> None:
        """Wait for the deciders' group to stand there: a commit is acknowledged before its offset
        can be read."""
        async with asyncio.timeout(SETTLED):
            while await self.offset() != offset:
                pass

    async def queued(self) -> int:
        """The end of the queue."""
        async with self._asking(None) as consumer:
            [end] = (await consumer.end_offsets([self.commands])).values()
            return int(end)

    async def members(self) -> list[str]:
        """Who is in the deciders' group."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.place.servers)
        await admin.start()
        try:
            [answer] = await admin.describe_consumer_groups([self.place.group(DECIDERS)])
        finally:
            await admin.close()
        [group] = answer.to_object()["groups"]
        return [member["member_id"] for member in group["members"]]

    async def events(self) -> Events:
        """The committed events by stream, after a check of seq and chain."""
        return await read_topics(self.place.servers, self.place.prefix, 1)

    @asynccontextmanager
    async def _asking(self, group: str | None) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.place.servers, group_id=group, enable_auto_commit=False
        )
        consumer.assign([self.commands])
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()


@asynccontextmanager
async def seated(url: str, folder: Path, objects_url: str | None = None) -> AsyncIterator[Seat]:
    identity = (await migrate_log(url)).identity
    place = parse_url(url)
    objects = open_objects(objects_url or f"file://{folder}/objects")
    queue = await KafkaCommandLog.open(place, folder, objects)
    try:
        yield Seat(place, folder, queue, Snapshots(objects, identity))
    finally:
        await queue.close()


async def decide(
    tenure: KafkaTenure, count: int, group: Callable[[], int] = lambda: 512
) -> list[Outcome]:
    """What becomes of the next `count` commands, in groups of at most what `group` says."""
    decider = GroupDecider(tenure, lambda: NOW)
    outcomes: list[Outcome] = []
    while len(outcomes) < count:
        asked = await tenure.next(min(group(), count - len(outcomes)))
        verdicts = await decider.decide(
            [one.command for one in asked], [one.place for one in asked]
        )
        outcomes += [verdict.outcome for verdict in verdicts]
    return outcomes


def kept(cache: Path) -> Kept:
    """All that a cache holds: its rows, each with its table."""
    with closing(sqlite3.connect(cache)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema")]
        return {(table, *row) for table in tables for row in db.execute(f"SELECT * FROM {table}")}
