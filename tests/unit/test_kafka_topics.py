import pytest

from workers.log import kafka_topics as topics
from workers.log.kafka_topics import KafkaPlace, parse_url, partition_of
from workers.log.port import LogError


# The vector of docs/decisions/kafka-log.md: other languages must come to the same.
@pytest.mark.parametrize(
    ("stream", "of_7", "of_12"),
    [
        ("users/ann", 1, 1),
        ("users/żółć", 4, 4),
        ("operators/ann", 3, 0),
        ("chats/3ed3acef-3566-5d4c-a6e5-52204805ed8a", 5, 3),
    ],
)
def test_a_streams_partition_never_changes(stream: str, of_7: int, of_12: int) -> None:
    assert partition_of(stream, 1) == 0
    assert partition_of(stream, 7) == of_7
    assert partition_of(stream, 12) == of_12


def test_streams_spread_over_the_partitions() -> None:
    counts = [0] * 12
    for number in range(12_000):
        counts[partition_of(f"users/u{number}", 12)] += 1
    assert min(counts) > 850
    assert max(counts) < 1150


def test_chats_stand_apart_from_all_else() -> None:
    streams = ["chats/c", "users/u", "operators/o"]
    assert [topics.topic_of(stream) for stream in streams] == ["chats", "users", "users"]


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("kafka://h:9092", KafkaPlace("h:9092", "hansard")),
        ("kafka://h:9092/", KafkaPlace("h:9092", "hansard")),
        ("kafka://a:1,b:2/live?partitions=24", KafkaPlace("a:1,b:2", "live", 24)),
    ],
)
def test_a_url_names_servers_prefix_and_partitions(url: str, place: KafkaPlace) -> None:
    assert parse_url(url) == place


@pytest.mark.parametrize(
    "url",
    [
        "kafka://",
        "kafka:///hansard",
        "redis://h/hansard",
        "kafka://user:secret@h/hansard",
        "kafka://h/a/b",
        "kafka://h/a%20b",
        "kafka://h/a?partitions=0",
        "kafka://h/a?partitions=",
        "kafka://h/a?partitions=-1",
        "kafka://h/a?partitions=1001",
        "kafka://h/a?replicas=2",
    ],
)
def test_a_wrong_url_is_told_without_quoting_it(url: str) -> None:
    with pytest.raises(ValueError, match="Kafka log") as error:
        parse_url(url)
    assert "secret" not in str(error.value)


def test_names_on_the_server() -> None:
    place = parse_url("kafka://h:9092/live")
    assert place.topic("chats") == "live.chats"
    assert place.group("projector") == "live-projector"
    assert topics.split_partition(topics.partition_name("chats", 11)) == ("chats", 11)


@pytest.mark.parametrize("brokers", [1, 2, 3, 5])
def test_a_topic_as_it_is_made_has_no_faults(brokers: int) -> None:
    replicas, _ = topics.replication(brokers)
    for kind in topics.TOPICS:
        assert topics.faults(kind, topics.settings_of(kind, brokers), replicas, brokers) == []


def test_three_brokers_keep_three_replicas_of_what_one_keeps_once() -> None:
    alone, three = topics.settings_of("chats", 1), topics.settings_of("chats", 3)
    assert topics.faults("chats", three, 3, 1) == []
    assert topics.faults("chats", alone, 1, 3) == [
        "min.insync.replicas is below 2",
        "it has 1 replicas and should have 3",
    ]


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("chats", "cleanup.policy", "compact"),
        ("users", "retention.ms", "604800000"),
        ("outcomes", "retention.bytes", "1073741824"),
        ("commands", "message.timestamp.type", "CreateTime"),
        ("commands", "retention.ms", "-1"),
    ],
)
def test_a_setting_that_has_drifted_is_named(kind: str, name: str, value: str) -> None:
    found = topics.settings_of(kind, 1) | {name: value}
    [fault] = topics.faults(kind, found, 1, 1)
    assert name in fault
    assert value in fault


def test_all_topics_have_one_number_of_partitions() -> None:
    place = parse_url("kafka://h/live")
    assert topics.one_count(place, {}) == topics.DEFAULT_PARTITIONS
    assert topics.one_count(place._replace(partitions=5), {}) == 5
    assert topics.one_count(place, {"chats": 7, "users": 7}) == 7
    with pytest.raises(LogError, match="chats 7, users 8"):
        topics.one_count(place, {"chats": 7, "users": 8})
    with pytest.raises(LogError, match="has 7 partitions and the URL asks for 5"):
        topics.one_count(place._replace(partitions=5), {"chats": 7})
