"""The identity of a Kafka log: made once, and compared with the cluster by every process.

It is the first record of the topic `{prefix}.log`. Whoever finds none writes one and then takes
the first that is there, so that two who make a log at once come to the same, and one who was
stopped in between left nothing that hinders the next.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from uuid import uuid4

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, NoError, TopicAlreadyExistsError, for_code

from projections.cancellation import BrokenOff, own_cancellation
from workers.log import kafka_topics as topics
from workers.log.kafka_metadata import TopicMetadata, brokers_and_topics
from workers.log.kafka_topics import IDENTITY, TOPICS, KafkaPlace
from workers.log.port import LogError, Migration

#: Seconds within which a broker that works has answered a request.
ANSWER = 10.0
#: Seconds within which topics that were made have leaders.
MADE = 30.0

_ALL = (*TOPICS, IDENTITY)


class LogIdentity(msgspec.Struct, frozen=True):
    """`topics` holds the id of each topic, by kind."""

    identity: str
    partitions: int
    topics: dict[str, str]


@contextmanager
def told_as_log_error(place: KafkaPlace) -> Iterator[None]:
    try:
        with own_cancellation():
            yield
    except (KafkaError, OSError, BrokenOff) as error:
        raise LogError(f"{place}: {type(error).__name__}") from error


@asynccontextmanager
async def connected(place: KafkaPlace) -> AsyncIterator[AIOKafkaClient]:
    client = AIOKafkaClient(bootstrap_servers=place.servers, request_timeout_ms=int(ANSWER * 1000))
    try:
        await client.bootstrap()
        yield client
    finally:
        await client.close()


async def read_identity(place: KafkaPlace) -> LogIdentity:
    """The identity of the log, which the topics of the cluster have been compared with.

    Raises:
        LogError: there is no log, the topics are not those it was made with, or the cluster does
            not answer.
    """
    with told_as_log_error(place):
        async with asyncio.timeout(3 * ANSWER), connected(place) as client:
            _, found = await _topics(client, place)
            identity = await _first_record(place) if IDENTITY in found else None
    if identity is None:
        raise LogError(f"{place}: there is no log yet; hansard migrate makes it")
    compare(place, identity, found)
    return identity


def compare(place: KafkaPlace, identity: LogIdentity, found: dict[str, TopicMetadata]) -> None:
    """Raises LogError: the topics are not those that the log was made with."""
    for kind, topic_id in identity.topics.items():
        topic = place.topic(kind)
        if kind not in found:
            raise LogError(f"{place}: the topic {topic} is gone")
        if found[kind].id != topic_id:
            raise LogError(f"{place}: the topic {topic} was deleted and made anew")
        count = 1 if kind == IDENTITY else identity.partitions
        if found[kind].partitions != count:
            raise LogError(
                f"{place}: the topic {topic} has {found[kind].partitions} partitions and not"
                f" {count}; the number is chosen once"
            )
    topics.one_count(place, dict.fromkeys(TOPICS, identity.partitions))


async def current_topics(client: AIOKafkaClient, place: KafkaPlace) -> dict[str, TopicMetadata]:
    """What the cluster says of the log's topics now, by kind. Raises KafkaError."""
    _, found = await _topics(client, place)
    return found


async def migrate(place: KafkaPlace) -> Migration:
    """Make what is missing of a log and say what is wrong with what is there, which is left as it
    is. May be repeated, and done twice at once.

    Raises:
        LogError: the topics do not belong together, or the cluster does not answer.
    """
    with told_as_log_error(place):
        async with asyncio.timeout(MADE + 3 * ANSWER), connected(place) as client:
            brokers, found = await _topics(client, place)
            counts = {kind: found[kind].partitions for kind in TOPICS if kind in found}
            count = topics.one_count(place, counts)
            admin = AIOKafkaAdminClient(bootstrap_servers=place.servers)
            await admin.start()
            try:
                made = await _make(admin, place, set(_ALL) - found.keys(), count, brokers)
                while len(found) < len(_ALL):
                    await asyncio.sleep(0.1)
                    found = await _topics_so_far(client, place)
                topics.one_count(place, {kind: found[kind].partitions for kind in TOPICS})
                identity = await _first_record(place)
                if identity is None:
                    await _offer(place, count, found)
                    identity = await _first_record(place)
                    assert identity is not None
                compare(place, identity, found)
                wrong = await _faults(admin, place, found, brokers)
            finally:
                await admin.close()
    return Migration(identity.identity, identity.partitions, made, wrong)


async def examine(place: KafkaPlace) -> Migration:
    """What is wrong with a log, which is left as it is.

    Raises:
        LogError: there is none, or `read_identity` refuses it.
    """
    identity = await read_identity(place)
    with told_as_log_error(place):
        async with asyncio.timeout(3 * ANSWER), connected(place) as client:
            brokers, found = await _topics(client, place)
            admin = AIOKafkaAdminClient(bootstrap_servers=place.servers)
            await admin.start()
            try:
                wrong = await _faults(admin, place, found, brokers)
            finally:
                await admin.close()
    return Migration(identity.identity, identity.partitions, [], wrong)


async def _topics(
    client: AIOKafkaClient, place: KafkaPlace
) -> tuple[int, dict[str, TopicMetadata]]:
    brokers, found = await brokers_and_topics(client, *map(place.topic, _ALL))
    return brokers, {k: found[place.topic(k)] for k in _ALL if place.topic(k) in found}


async def _topics_so_far(client: AIOKafkaClient, place: KafkaPlace) -> dict[str, TopicMetadata]:
    try:
        return await current_topics(client, place)
    except KafkaError as error:
        if error.retriable:
            return {}
        raise


async def _make(
    admin: AIOKafkaAdminClient, place: KafkaPlace, kinds: set[str], count: int, brokers: int
) -> list[str]:
    if not kinds:
        return []
    replicas, _ = topics.replication(brokers)
    wanted = [
        NewTopic(
            name=place.topic(kind),
            num_partitions=1 if kind == IDENTITY else count,
            replication_factor=replicas,
            topic_configs=topics.settings_of(kind, brokers),
        )
        for kind in _ALL
        if kind in kinds
    ]
    answer = await admin.create_topics(wanted)
    made = []
    for topic in answer.to_object()["topic_errors"]:
        error = for_code(topic["error_code"])
        if error is NoError:
            made.append(topic["topic"])
        elif error is not TopicAlreadyExistsError:
            raise error(topic["topic"])
    return made


async def _first_record(place: KafkaPlace) -> LogIdentity | None:
    partition = TopicPartition(place.topic(IDENTITY), 0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=place.servers, auto_offset_reset="none", enable_auto_commit=False
    )
    await consumer.start()
    try:
        consumer.assign([partition])
        consumer.seek(partition, 0)
        if not (await consumer.end_offsets([partition]))[partition]:
            return None
        async with asyncio.timeout(ANSWER):
            record = await consumer.getone()
    finally:
        await consumer.stop()
    try:
        return msgspec.json.decode(record.value or b"", type=LogIdentity)
    except msgspec.DecodeError as error:
        raise LogError(f"{place}: the topic {partition.topic} holds something else") from error


async def _offer(place: KafkaPlace, count: int, found: dict[str, TopicMetadata]) -> None:
    identity = LogIdentity(str(uuid4()), count, {kind: found[kind].id for kind in _ALL})
    producer = AIOKafkaProducer(bootstrap_servers=place.servers, enable_idempotence=True)
    await producer.start()
    try:
        topic = place.topic(IDENTITY)
        await producer.send_and_wait(topic, msgspec.json.encode(identity), partition=0)
    finally:
        await producer.stop()


async def _faults(
    admin: AIOKafkaAdminClient,
    place: KafkaPlace,
    found: dict[str, TopicMetadata],
    brokers: int,
) -> list[str]:
    resources = [
        ConfigResource(ConfigResourceType.TOPIC, place.topic(kind), configs=None) for kind in _ALL
    ]
    wrong = []
    [answer] = await admin.describe_configs(resources)
    for resource in answer.to_object()["resources"]:
        topic = resource["resource_name"]
        if (error := for_code(resource["error_code"])) is not NoError:
            raise error(topic)
        kind = topic.removeprefix(f"{place.prefix}.")
        values = {
            entry["config_names"]: entry["config_value"] for entry in resource["config_entries"]
        }
        wrong += [
            f"{topic}: {fault}"
            for fault in topics.faults(kind, values, found[kind].replicas, brokers)
        ]
    return wrong
