"""A Kafka log that is open: whether it still is what it was, and where its partitions end."""

import asyncio

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from workers.log.kafka_identity import (
    ANSWER,
    LogIdentity,
    compare,
    connected,
    current_topics,
    read_identity,
    told_as_log_error,
)
from workers.log.kafka_metadata import TopicMetadata
from workers.log.kafka_topics import CHATS, OUTCOMES, USERS, KafkaPlace, partition_name
from workers.log.port import LogError

log = structlog.get_logger()

#: Seconds between looks whether the topics are still those of the log.
WATCH = 5.0


class KafkaCluster:
    """`places` are the partitions of the log by their names, `ends` what is known of their ends."""

    def __init__(self, place: KafkaPlace, identity: LogIdentity) -> None:
        self.place = place
        self.log = identity
        self.places = {
            partition_name(kind, number): TopicPartition(place.topic(kind), number)
            for kind in (CHATS, USERS, OUTCOMES)
            for number in range(identity.partitions)
        }
        self.ends = dict.fromkeys(self.places.values(), 0)
        self._foreign: LogError | None = None
        # Connections of their own: an answer would stand in line behind a fetch that waits.
        self._asker = _asker(place, "read_committed")
        self._sounder = _asker(place, "read_uncommitted")
        self._watcher: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, place: KafkaPlace) -> "KafkaCluster":
        """Raises LogError: there is no log, it is not what it was, or it can't be reached."""
        self = cls(place, await read_identity(place))
        try:
            with told_as_log_error(place):
                await self._asker.start()
                await self._sounder.start()
            await self.ask_ends()
        except BaseException:
            await self._asker.stop()
            await self._sounder.stop()
            raise
        self._watcher = asyncio.create_task(self._watch())
        return self

    async def close(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
        await self._asker.stop()
        await self._sounder.stop()

    def refuse_foreign(self) -> None:
        """Raises LogError: the topics are no longer those of the log."""
        if self._foreign is not None:
            raise self._foreign

    async def ask_ends(self) -> dict[str, int]:
        """Ask where each partition ends for readers, and keep it."""
        self.refuse_foreign()
        with told_as_log_error(self.place):
            async with asyncio.timeout(ANSWER):
                self.ends.update(await self._asker.end_offsets([*self.ends]))
        return {name: self.ends[place] for name, place in self.places.items()}

    async def ask_high_water_marks(self) -> dict[str, int]:
        """The positions after the last record of each partition, committed or not. A transaction is
        acknowledged before its marker is written, and what comes after `ask_ends` may be of one."""
        self.refuse_foreign()
        with told_as_log_error(self.place):
            async with asyncio.timeout(ANSWER):
                marks = await self._sounder.end_offsets([*self.ends])
        return {name: marks[place] for name, place in self.places.items()}

    async def _watch(self) -> None:
        while True:
            try:
                async with connected(self.place) as client:
                    while True:
                        await asyncio.sleep(WATCH)
                        self._judge(await current_topics(client, self.place))
            except (KafkaError, OSError) as error:
                log.warning("log_not_watched", error=type(error).__name__)
                await asyncio.sleep(WATCH)

    def _judge(self, found: dict[str, TopicMetadata]) -> None:
        try:
            compare(self.place, self.log, found)
            self._foreign = None
        except LogError as error:
            if self._foreign is None:
                log.error("log_replaced", error=str(error))
            self._foreign = error


def _asker(place: KafkaPlace, isolation: str) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        bootstrap_servers=place.servers,
        isolation_level=isolation,
        enable_auto_commit=False,
        request_timeout_ms=int(ANSWER * 1000),
    )
