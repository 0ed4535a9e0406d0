"""What a message costs the distributed edition does not grow with the members of its chat."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from tests.servers.clients import Connection, connected, make_chat, register, rest
from tests.servers.cluster import Backing, Cluster
from tests.servers.hansard import UNLIMITED
from tests.servers.process import Server
from tests.servers.push_service import push_service
from tests.servers.redis import RedisServer
from tests.waiting import until

MESSAGES = 10
SIZES = (2, 20, 200)
#: Collections that are written once a batch, and not once a message: how many batches there are
#: depends on time alone.
BY_BATCH = {"_checkpoints", "rounds"}

Counts = Counter[str]


@pytest.fixture
def backing(kafka_server: Server, mongo_server: Server, tmp_path: Path) -> Iterator[Backing]:
    # Its own, as a server of Redis counts for all who use it.
    redis = RedisServer(tmp_path / "redis").start()
    yield Backing(kafka_server, mongo_server, redis)
    redis.stop()


@contextmanager
def running(cluster: Cluster) -> Iterator[Cluster]:
    try:
        yield cluster.start()
    finally:
        cluster.kill()


class Books:
    """What the servers have done for a cluster so far, by kind."""

    def __init__(self, cluster: Cluster) -> None:
        self._log = urlsplit(cluster.environ["HANSARD_LOG_URL"])
        self._store = cluster.environ["HANSARD_STORE_URL"]
        self._realtime = cluster.environ["HANSARD_REALTIME_URL"]

    async def begin(self) -> None:
        async with AsyncMongoClient[dict[str, Any]](self._store) as client:
            db = client.get_default_database()
            await db.create_collection("system.profile", capped=True, size=64 * 2**20)
            await db.command("profile", 2)

    async def read(self) -> Counts:
        return await self._records() + await self._writes() + await self._publications()

    async def _records(self) -> Counts:
        """Of a command that was asked for twice one counts: that depends on time alone."""
        prefix = self._log.path.strip("/")
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._log.netloc, enable_auto_commit=False, auto_offset_reset="none"
        )
        topics = ("commands", "chats", "users", "outcomes")
        partitions = [TopicPartition(f"{prefix}.{topic}", 0) for topic in topics]
        consumer.assign(partitions)
        await consumer.start()
        found: set[tuple[str, bytes]] = set()
        try:
            ends = await consumer.end_offsets(partitions)
            for one in partitions:
                consumer.seek(one, 0)
            while any([await consumer.position(one) < ends[one] for one in partitions]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found |= {(record.topic, record.value or b"") for record in records}
        finally:
            await consumer.stop()
        return Counter(f"record in {topic.removeprefix(f'{prefix}.')}" for topic, _ in found)

    async def _writes(self) -> Counts:
        async with AsyncMongoClient[dict[str, Any]](self._store) as client:
            db = client.get_default_database()
            counts: Counts = Counter()
            async for entry in db["system.profile"].find(
                {"op": {"$in": ["insert", "update", "remove"]}}
            ):
                collection = entry["ns"].partition(".")[2]
                if collection not in BY_BATCH:
                    counts[f"write to {collection}"] += entry.get("ninserted", 1)
            return counts

    async def _publications(self) -> Counts:
        async with Redis.from_url(self._realtime) as client:
            stats = await client.info("commandstats")
            return Counter(publication=stats["cmdstat_publish"]["calls"])

    async def told(self, chat: str, seq: int) -> None:
        """Return once the members of a chat have been told of the message, and nobody is waiting to
        be told of anything."""
        async with AsyncMongoClient[dict[str, Any]](self._store) as client:
            db = client.get_default_database()

            async def all_told() -> bool:
                # A round that has ended has a `seq` of twice its message's and one more.
                ended = {"_id": chat, "seq": {"$gt": 2 * seq}}
                return bool(await db["rounds"].find_one(ended)) and not await db["pushes"].find_one(
                    {"waiting": True}
                )

            await until(all_told)


async def send(cluster: Cluster, connection: Connection, chat: str, **more: Any) -> int:
    """One message, until everybody has seen it and every read model has it; its seq."""
    ack = await connection.ask("send", chat=chat, kind="text", content="hi", **more)
    await connection.event("message.sent", stream=f"chats/{chat}", seq=ack["seq"])
    async with rest(cluster, "user0") as client:
        answer = await client.get(
            f"/v1/chats/{chat}/messages", headers={"Hansard-Position": ack["position"]}
        )
        answer.raise_for_status()
    return int(ack["seq"])


async def chats_of_every_size(cluster: Cluster) -> dict[int, str]:
    users = [f"user{number}" for number in range(max(SIZES))]
    for at in range(0, len(users), 20):
        await asyncio.gather(*(register(cluster, user) for user in users[at : at + 20]))
    return {
        size: await make_chat(cluster, *users[:size], kind="group", name="room") for size in SIZES
    }


async def test_a_message_costs_the_same_in_chats_of_every_size(
    backing: Backing, tmp_path: Path
) -> None:
    with running(Cluster(tmp_path / "grown", backing, partitions=1)) as cluster:
        books, costs = Books(cluster), dict[int, dict[str, int]]()
        chats = await chats_of_every_size(cluster)
        async with connected(cluster, "user0") as connection:
            for chat in chats.values():
                await send(cluster, connection, chat)
            await books.begin()
            for size, chat in chats.items():
                before = await books.read()
                for _ in range(MESSAGES):
                    await send(cluster, connection, chat)
                costs[size] = dict(await books.read() - before)
    # The event and the reply are published.
    each = {
        "record in commands": 1,
        "record in chats": 1,
        "write to chats": 1,
        "write to memberships": 1,
        "write to messages": 1,
        "write to message_words": 1,
        "write to feed": 1,
        "publication": 2,
    }
    cost = {kind: MESSAGES * count for kind, count in each.items()}
    assert costs == dict.fromkeys(SIZES, cost)


async def test_telling_costs_a_row_for_each_who_is_told(backing: Backing, tmp_path: Path) -> None:
    """One member has a device, one is mentioned, answered and reacted to."""
    costs = dict[int, dict[str, int]]()
    async with push_service(tmp_path) as push:
        environ = {
            **UNLIMITED,
            "HANSARD_PUSH_HOSTS": push.host,
            "HANSARD_PUSH_DELAY": "0",
            "SSL_CERT_FILE": str(push.certificate),
        }
        with running(Cluster(tmp_path / "told", backing, environ, partitions=1)) as cluster:
            books = Books(cluster)
            chats = await chats_of_every_size(cluster)
            phone = push.phone("phone")
            async with rest(cluster, "user1") as client:
                body = {"kind": "webpush", "subscription": phone.subscription}
                (await client.put("/v1/me/devices/phone", json=body)).raise_for_status()
            await books.begin()
            async with (
                connected(cluster, "user0") as connection,
                connected(cluster, "user1") as told,
            ):
                for size, chat in chats.items():
                    answered = await send(cluster, told, chat)
                    await books.told(chat, answered)
                    before, got = await books.read(), len(phone.got)
                    for more in ({}, {"mentions": ["user1", "nobody"]}, {"reply_to": answered}):
                        seq = await send(cluster, connection, chat, **more)
                        await books.told(chat, seq)
                    await connection.ask("react", chat=chat, seq=answered, emoji="+1")
                    await push.arrived(phone, got + 4)
                    await books.told(chat, seq)
                    costs[size] = dict(await books.read() - before)
    assert costs == dict.fromkeys(SIZES, costs[2])
    # A mention, an answer and a reaction.
    assert costs[2]["write to notifications"] == 3
