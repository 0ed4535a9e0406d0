"""Where a Kafka log is: its URL, its topics and their settings, and who stands in which partition.

Everything that reads or writes the log computes partitions from here.
"""

import hashlib
import re
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from workers.log.port import LogError

COMMANDS, CHATS, USERS, OUTCOMES = "commands", "chats", "users", "outcomes"
#: The topics that have partitions. Those after the first are the log itself.
TOPICS = (COMMANDS, CHATS, USERS, OUTCOMES)
#: The topic of one partition that holds the log's identity.
IDENTITY = "log"

#: It is chosen once for the life of a log. Each partition has transactions of its own, and these
#: cost much of what they cost whatever is in them: on a small machine few partitions do more.
DEFAULT_PARTITIONS = 4
MAX_PARTITIONS = 1000

_PREFIX = re.compile(r"[A-Za-z0-9._-]{1,200}")
_DAY = 24 * 60 * 60 * 1000


class KafkaPlace(NamedTuple):
    """What a URL says. `partitions` is the number it asks for, if it asks."""

    servers: str
    prefix: str
    partitions: int | None = None

    def topic(self, kind: str) -> str:
        """The name of a topic on the server."""
        return f"{self.prefix}.{kind}"

    def group(self, name: str) -> str:
        """The consumer group of those who share some work."""
        return f"{self.prefix}-{name}"

    def __str__(self) -> str:
        return f"kafka://{self.servers}/{self.prefix}"


def parse_url(url: str) -> KafkaPlace:
    """Read `kafka://host:port,host:port/prefix?partitions=12`; all after the hosts may be left out.

    Raises:
        ValueError: it is another URL. The text does not quote it.
    """
    parts = urlsplit(url)
    query = parse_qs(parts.query, keep_blank_values=True)
    prefix = parts.path.strip("/") or "hansard"
    asked = query.pop("partitions", None)
    if parts.scheme != "kafka" or not parts.netloc or "@" in parts.netloc or query:
        raise ValueError("a Kafka log is named kafka://host:port/prefix?partitions=12")
    if not _PREFIX.fullmatch(prefix):
        raise ValueError("the prefix of a Kafka log has letters, digits, dots, - and _ only")
    if asked is None:
        return KafkaPlace(parts.netloc, prefix)
    if not asked[-1].isdecimal() or not 1 <= int(asked[-1]) <= MAX_PARTITIONS:
        raise ValueError(f"a Kafka log has 1 to {MAX_PARTITIONS} partitions")
    return KafkaPlace(parts.netloc, prefix, int(asked[-1]))


def partition_of(stream: str, count: int) -> int:
    """The partition, of `count`, of a stream's commands, events and outcomes.

    The first eight bytes of the SHA-256 of the stream's name in UTF-8, as a big-endian number,
    modulo the count: `users/ann` stands in partition 1 of 12. It must never change.
    """
    return int.from_bytes(hashlib.sha256(stream.encode()).digest()[:8]) % count


def topic_of(stream: str) -> str:
    """The kind of topic that a stream's events are in: `chats`, or `users` for all others."""
    return CHATS if stream.startswith("chats/") else USERS


def partition_name(kind: str, number: int) -> str:
    return f"{kind}-{number}"


def split_partition(name: str) -> tuple[str, int]:
    kind, _, number = name.rpartition("-")
    return kind, int(number)


def replication(brokers: int) -> tuple[int, int]:
    """How many replicas a partition has, and how many must have a record before it counts."""
    return (3, 2) if brokers >= 3 else (1, 1)


def settings_of(kind: str, brokers: int) -> dict[str, str]:
    """The settings of a topic, all of them written out, whatever the brokers' defaults are."""
    _, in_sync = replication(brokers)
    return {
        # Never compacted: every record is part of the record.
        "cleanup.policy": "delete",
        "retention.ms": str(7 * _DAY) if kind == COMMANDS else "-1",
        "retention.bytes": "-1",
        "message.timestamp.type": "LogAppendTime" if kind == COMMANDS else "CreateTime",
        "min.insync.replicas": str(in_sync),
        "unclean.leader.election.enable": "false",
        # A record has at most 1,000,000 bytes, and what Kafka keeps beside it.
        "max.message.bytes": "1048588",
    }


def faults(kind: str, found: dict[str, str], replicas: int, brokers: int) -> list[str]:
    """What is not as it should be with a topic. More replicas than asked for are none."""
    wanted_replicas, in_sync = replication(brokers)
    wrong = [
        f"{name} is {found.get(name)} and should be {value}"
        for name, value in settings_of(kind, brokers).items()
        if name != "min.insync.replicas" and found.get(name) != value
    ]
    if int(found.get("min.insync.replicas", 0)) < in_sync:
        wrong.append(f"min.insync.replicas is below {in_sync}")
    if replicas < wanted_replicas:
        wrong.append(f"it has {replicas} replicas and should have {wanted_replicas}")
    return wrong


def one_count(place: KafkaPlace, counts: dict[str, int]) -> int:
    """The number of partitions that all topics have, or will have; `counts` are of those there.

    Raises:
        LogError: they differ, or are not what the URL asks for.
    """
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{kind} {count}" for kind, count in counts.items())
        raise LogError(f"{place}: the topics have different numbers of partitions: {listed}")
    count = next(iter(counts.values()), place.partitions or DEFAULT_PARTITIONS)
    if place.partitions not in (None, count):
        raise LogError(
            f"{place}: the log has {count} partitions and the URL asks for {place.partitions};"
            " the number is chosen once"
        )
    return count
