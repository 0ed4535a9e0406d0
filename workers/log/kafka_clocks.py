"""The clocks of the deciders, held against those of the brokers.

Brokers stamp commands when they append them, deciders stamp events when they send them. The least
time between the two, over many commands, is that by which the decider's clock is ahead, and what a
command takes at best.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from domain import envelope as wire
from workers.log.kafka_codec import read_command
from workers.log.kafka_identity import ANSWER, told_as_log_error
from workers.log.kafka_topics import CHATS, COMMANDS, USERS, KafkaPlace

#: Records at the end of each partition that are looked at.
NEWEST = 500


async def clocks(place: KafkaPlace, count: int) -> dict[int, float]:
    """See `SharedLog.clocks`; `count` is that of the log's partitions."""
    ahead = {}
    with told_as_log_error(place):
        async with _reading(place) as consumer:
            for number in range(count):
                appended: dict[str, int] = {}
                for record in await _newest(consumer, place, COMMANDS, number):
                    appended.setdefault(read_command(record).command.id, record.timestamp)
                times = [
                    record.timestamp - appended[command]
                    for kind in (CHATS, USERS)
                    for record in await _newest(consumer, place, kind, number)
                    if (command := _command_of(record)) in appended
                ]
                if times:
                    ahead[number] = min(times) / 1000
    return ahead


@contextlib.asynccontextmanager
async def _reading(place: KafkaPlace) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=place.servers,
        isolation_level="read_committed",
        enable_auto_commit=False,
        request_timeout_ms=int(ANSWER * 1000),
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


async def _newest(
    consumer: AIOKafkaConsumer, place: KafkaPlace, kind: str, number: int
) -> "list[ConsumerRecord[bytes, bytes]]":
    partition = TopicPartition(place.topic(kind), number)
    consumer.assign([partition])
    end = (await consumer.end_offsets([partition]))[partition]
    start = (await consumer.beginning_offsets([partition]))[partition]
    consumer.seek(partition, max(start, end - NEWEST))
    found: list[ConsumerRecord[bytes, bytes]] = []
    async with asyncio.timeout(ANSWER):
        while await consumer.position(partition) < end:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += records
    return found


def _command_of(record: "ConsumerRecord[bytes, bytes]") -> str:
    try:
        return wire.decode(record.value or b"").commandid
    except msgspec.DecodeError:
        return ""
