"""Writes groups to a Kafka log in transactions, and what a reader must never see beside them."""

import msgspec
from aiokafka import AIOKafkaProducer

from domain.envelope import CONTENT_TYPE
from workers.log.kafka_topics import OUTCOMES, KafkaPlace, partition_name, partition_of, topic_of
from workers.log.port import Group

HEADERS = [("content-type", CONTENT_TYPE.encode())]


class KafkaWriter:
    """The producer is a context manager's business: `async with KafkaWriter(…) as writer`."""

    def __init__(self, place: KafkaPlace, partitions: int, name: str = "writer") -> None:
        self._place = place
        self._partitions = partitions
        self._producer = AIOKafkaProducer(
            bootstrap_servers=place.servers,
            transactional_id=f"{place.prefix}-{name}",
            retry_backoff_ms=5,
        )

    async def __aenter__(self) -> "KafkaWriter":
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def commit(self, group: Group) -> dict[str, int]:
        """Commit a group, after an attempt at the same group that was given up. Says where its last
        record is in each partition. Readers see it a little later, when its markers are written.
        """
        await self.begin(group)
        await self.abort()
        written = await self.begin(group)
        await self.finish()
        return written

    async def begin(self, group: Group) -> dict[str, int]:
        """Write a group and leave its transaction open."""
        await self._producer.begin_transaction()
        written: dict[str, int] = {}
        for record in group.records:
            stream = record.envelope.stream
            written |= await self._send(topic_of(stream), stream, record.value)
        for outcome in group.outcomes:
            value = msgspec.json.encode(outcome)
            written |= await self._send(OUTCOMES, outcome.stream, value)
        return written

    async def finish(self) -> None:
        await self._producer.commit_transaction()

    async def abort(self) -> None:
        await self._producer.abort_transaction()

    async def commit_raw(self, kind: str, stream: str, value: bytes) -> None:
        """Commit one record of any bytes."""
        await self._producer.begin_transaction()
        await self._send(kind, stream, value)
        await self.finish()

    async def _send(self, kind: str, stream: str, value: bytes) -> dict[str, int]:
        number = partition_of(stream, self._partitions)
        sent = await self._producer.send_and_wait(
            self._place.topic(kind), value, stream.encode(), partition=number, headers=HEADERS
        )
        return {partition_name(kind, number): sent.offset}
