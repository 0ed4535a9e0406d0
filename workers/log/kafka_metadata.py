"""What a Kafka cluster says of topics, with their ids: a topic deleted and made anew has another.

aiokafka asks for the version 5 of this answer, which has no ids yet (KIP-516 brought them).
"""

from io import BytesIO
from typing import NamedTuple
from uuid import UUID

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, LeaderNotAvailableError, NoError, for_code
from aiokafka.errors import UnknownTopicOrPartitionError as UnknownTopic
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)


class TopicMetadata(NamedTuple):
    """`replicas` counts those of the partition that has the fewest."""

    id: str
    partitions: int
    replicas: int


class _Uuid(AbstractType[UUID]):
    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


class _MetadataResponse(Response):
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataRequestStruct(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic_id", _Uuid), ("topic", CompactString("utf-8")), ("tags", TaggedFields)
            ),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataRequestStruct]):
    API_KEY = 3

    def __init__(self, topics: tuple[str, ...]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataRequestStruct]) -> _MetadataRequestStruct:
        topics: list[tuple[UUID, str, dict[int, bytes]]] = [
            (UUID(int=0), topic, {}) for topic in self._topics
        ]
        return request_struct_class(topics, False, False, {})


async def brokers_and_topics(
    client: AIOKafkaClient, *topics: str
) -> tuple[int, dict[str, TopicMetadata]]:
    """How many brokers there are, and what is known of these topics; those that do not exist are
    left out, and are not made by asking.

    Raises:
        KafkaError: the cluster does not answer, or not yet for all of them.
    """
    answer = await client.send(client.get_random_node(), _MetadataRequest(topics))
    found = {}
    for error_code, name, topic_id, _, partitions, *_ in answer.topics:
        error = for_code(error_code)
        if error is UnknownTopic:
            continue
        if error is not NoError:
            raise error(name)
        if any(partition[2] < 0 for partition in partitions):
            raise LeaderNotAvailableError(name)
        replicas = min(len(partition[4]) for partition in partitions)
        found[name] = TopicMetadata(str(topic_id), len(partitions), replicas)
    if not answer.brokers:
        raise KafkaError("no broker")
    return len(answer.brokers), found
