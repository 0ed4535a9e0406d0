"""Which partitions fall to this process among those that share some work."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from aiokafka import AIOKafkaConsumer, TopicPartition

from workers.log.kafka_identity import ANSWER, told_as_log_error
from workers.log.kafka_topics import CHATS, KafkaPlace

#: Seconds after which the others take over from a process that is not heard of.
SESSION = 6.0
HEARTBEAT = 1.0
#: Seconds between looks at what has been assigned.
LOOK = 0.1


async def shares(place: KafkaPlace, name: str) -> AsyncGenerator[frozenset[int], None]:
    """The numbers of the partitions that are this process's now, anew at every change; none while
    the group's coordinator has not answered for the time of a session.

    The consumer is a member of the group and nothing else: it is subscribed to one topic, whose
    partitions stand for those of the same number in all others, reads nothing and commits nothing.
    It has no rebalance listener, as one that waits can deadlock `getmany`.

    Raises:
        LogError: the cluster can't be reached, or denies the group.
    """
    topic = place.topic(CHATS)
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=place.servers,
        group_id=place.group(name),
        enable_auto_commit=False,
        auto_offset_reset="latest",
        session_timeout_ms=int(SESSION * 1000),
        heartbeat_interval_ms=int(HEARTBEAT * 1000),
        request_timeout_ms=int(ANSWER * 1000),
    )
    share: frozenset[int] | None = None
    try:
        with told_as_log_error(place):
            await consumer.start()
            while True:
                now = await _look(consumer, TopicPartition(topic, 0))
                if now != share:
                    share = now
                    yield share
    finally:
        # Leaving waits for the coordinator, which may be what is gone.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SESSION):
                await consumer.stop()


async def _look(consumer: AIOKafkaConsumer, any_partition: TopicPartition) -> frozenset[int]:
    try:
        async with asyncio.timeout(SESSION):
            # Waits while partitions are handed over.
            await consumer.getmany(timeout_ms=int(LOOK * 1000))
            # Asks the coordinator, who is the one that knows of a lost session.
            await consumer.committed(any_partition)
    except TimeoutError:
        return frozenset()
    assigned = consumer.assignment()
    consumer.pause(*assigned)
    return frozenset(partition.partition for partition in assigned)
