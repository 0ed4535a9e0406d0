"""The real servers: what was written is there after a crash, and none outlives the test run."""

import os
import select
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import obstore
import pytest
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from obstore.store import S3Store
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.servers.kafka import KafkaServer
from tests.servers.mongo import MongoServer
from tests.servers.process import STOP_WITHIN, Server
from tests.servers.proxy import Proxy
from tests.servers.redis import RedisServer

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    server = KafkaServer(tmp_path_factory.mktemp("own") / "kafka")
    yield server.start()
    server.stop()


async def make_topic(server: Server) -> str:
    topic = uuid.uuid4().hex
    admin = AIOKafkaAdminClient(bootstrap_servers=urlsplit(server.url).netloc)
    try:
        await admin.start()
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()
    return topic


async def produce(server: Server, topic: str, *values: bytes) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=urlsplit(server.url).netloc,
        transactional_id=topic,
        request_timeout_ms=2000,
    )
    try:
        await producer.start()
        async with producer.transaction():
            for value in values:
                await producer.send_and_wait(topic, value, partition=0)
    finally:
        await producer.stop()


async def consume(server: Server, topic: str, count: int) -> list[bytes | None]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=urlsplit(server.url).netloc,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    )
    try:
        await consumer.start()
        consumer.assign([TopicPartition(topic, 0)])
        return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


def test_kafka_keeps_what_was_committed(kafka: KafkaServer) -> None:
    topic = uvloop.run(make_topic(kafka))
    uvloop.run(produce(kafka, topic, b"one", b"two"))
    kafka.kill()
    kafka.start()
    assert uvloop.run(consume(kafka, topic, 2)) == [b"one", b"two"]
    uvloop.run(produce(kafka, topic, b"three"))
    kafka.stop()
    kafka.start()
    assert uvloop.run(consume(kafka, topic, 3)) == [b"one", b"two", b"three"]


async def test_kafka_tells_clients_of_a_proxy_its_address(kafka: KafkaServer) -> None:
    with Proxy(kafka) as proxy:
        topic = await make_topic(proxy)
        await produce(proxy, topic, b"one")
        proxy.refuse()
        proxy.cut()
        with pytest.raises(KafkaError):
            await produce(proxy, topic, b"lost")
        proxy.accept()
        await produce(proxy, topic, b"two")
        assert await consume(proxy, topic, 2) == [b"one", b"two"]


async def test_mongo_keeps_what_the_majority_has(tmp_path: Path) -> None:
    server = MongoServer(tmp_path / "mongo").start()
    try:
        client = AsyncMongoClient[dict[str, Any]](server.url_for("chats"))
        messages = client.get_default_database()["messages"]
        await messages.insert_one({"_id": 1, "content": "one"})
        server.kill()
        server.start()
        assert await messages.find_one({"_id": 1}) == {"_id": 1, "content": "one"}
        await client.close()

        with Proxy(server) as proxy:
            client = AsyncMongoClient(proxy.url_for("chats"), serverSelectionTimeoutMS=500)
            messages = client.get_default_database()["messages"]
            await messages.insert_one({"_id": 2})
            proxy.refuse()
            proxy.cut()
            with pytest.raises(PyMongoError):
                await messages.insert_one({"_id": 3})
            proxy.accept()
            assert await messages.count_documents({}) == 2
            await client.close()
    finally:
        server.stop()


async def test_redis_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis").start()
    try:
        async with Redis.from_url(server.url) as client:
            await client.set("key", "value")
        server.kill()
        server.start()
        async with Redis.from_url(server.url) as client:
            assert await client.get("key") == b"value"
    finally:
        server.stop()


async def test_a_paused_server_answers_when_it_goes_on(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis").start()
    try:
        async with Redis.from_url(server.url, socket_timeout=0.2, retry=None) as client:
            server.pause()
            with pytest.raises(RedisError):
                await client.ping()
            server.resume()
            await client.ping()
    finally:
        server.stop()


async def test_s3_keeps_objects(s3_server: Server) -> None:
    url = urlsplit(s3_server.url_for("media"))
    store = S3Store(
        url.netloc,
        prefix=url.path.strip("/"),
        endpoint=url.query.removeprefix("endpoint="),
        access_key_id="any",
        secret_access_key="any",
        client_options={"allow_http": True},
    )
    await obstore.put_async(store, "picture", b"pixels")
    got = await obstore.get_async(store, "picture")
    assert bytes(await got.bytes_async()) == b"pixels"


async def test_the_servers_of_the_run_have_names_of_ones_own(
    kafka_server: Server, mongo_server: Server, redis_server: Server
) -> None:
    for server in (kafka_server, mongo_server, redis_server):
        mine = urlsplit(server.url_for("mine"))
        assert mine.path == "/mine"
        assert mine._replace(path="") == urlsplit(server.url)._replace(path="")


def test_a_killed_run_leaves_no_server(tmp_path: Path) -> None:
    script = """
import asyncio, sys
from pathlib import Path
from tests.servers.redis import RedisServer

async def main():
    server = RedisServer(Path(sys.argv[1]))
    await asyncio.to_thread(server.start)
    return server.pid

# The loop and the thread that asked for the server are gone by now; the server is not.
print(asyncio.run(main()), flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "redis")],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as run:
        assert run.stdout is not None
        server = os.pidfd_open(int(run.stdout.readline()))
        try:
            assert select.select([server], [], [], 0) == ([], [], [])
            run.kill()
            assert select.select([server], [], [], STOP_WITHIN) == ([server], [], [])
        finally:
            os.close(server)
