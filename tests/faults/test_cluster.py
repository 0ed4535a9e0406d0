"""The distributed edition under load, with something broken: nothing is lost, nothing is doubled.

Each fault happens while writers write and a listener listens, ends, and is followed by as much load
again. Then the topics are read and compared with what was acknowledged, what was heard, and what
the read models show.
"""

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import redis.asyncio

from domain.ids import chat_stream
from tests.faults.load import (
    Listener,
    Writer,
    answers,
    lost_or_doubled,
    unread_counted,
    unread_shown,
)
from tests.servers.audit import Events, read_models_differ, read_topics
from tests.servers.clients import make_chat, register
from tests.servers.cluster import PARTITIONS, Backing, Cluster
from tests.servers.disk import SmallDisk
from tests.servers.hansard import HansardServer
from tests.servers.kafka import KafkaServer
from tests.servers.mongo import MongoServer
from tests.servers.process import ServerProcess
from tests.servers.proxy import Proxy
from tests.servers.redis import RedisServer
from workers.settings import read_settings

ROUNDS = int(os.environ.get("HANSARD_TEST_ROUNDS", "1"))
USERS = ("ann", "ben", "cid", "dot")
CHATS = 3
#: Acknowledged messages before a fault, and after it has ended.
BEFORE, AFTER = 60, 60
#: Seconds in which a bad network lets nothing through.
HELD = 2.0
#: What Kafka is given where its disk is to be filled.
DISK_MIB = 64


class Trio(NamedTuple):
    """Servers of these tests' own, to be killed."""

    kafka: KafkaServer
    mongo: MongoServer
    redis: RedisServer

    @property
    def backing(self) -> Backing:
        return Backing(*self)


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trio]:
    folder = tmp_path_factory.mktemp("trio")
    servers = Trio(
        KafkaServer(folder / "kafka"), MongoServer(folder / "mongo"), RedisServer(folder / "redis")
    )
    for server in servers:
        server.start()
    yield servers
    for server in servers:
        server.stop()


class Scene:
    """A cluster under load."""

    def __init__(
        self,
        cluster: Cluster,
        trio: Trio,
        network: Sequence[Proxy] = (),
        disk: SmallDisk | None = None,
    ) -> None:
        """`disk` is that of Kafka, if it is a small one."""
        self.cluster = cluster
        self.trio = trio
        self.network = network
        self.disk = disk
        self.random = random.Random()
        self.chats: list[str] = []
        self.writers: list[Writer] = []
        self.listener = Listener(USERS[0])
        self._moved = asyncio.Event()

    async def begin(self) -> None:
        await register(self.cluster, *USERS)
        self.chats = [
            await make_chat(self.cluster, USERS[0], *USERS[1:], kind="group", name=f"room {n}")
            for n in range(CHATS)
        ]
        self.writers = [Writer(user, self.chats, self._moved) for user in USERS]

    @property
    def acknowledged(self) -> int:
        return sum(len(writer.acknowledged) for writer in self.writers)

    async def more(self, count: int) -> None:
        """Wait until so many more messages are acknowledged."""
        goal = self.acknowledged + count
        async with asyncio.timeout(120):
            while self.acknowledged < goal:
                self._moved.clear()
                await self._moved.wait()


Fault = Callable[[Scene], Awaitable[None]]


def killing(role: str) -> Fault:
    async def fault(scene: Scene) -> None:
        process = scene.cluster.the(role)
        # The gateway alone: a cluster's own `kill` is that of all its processes.
        HansardServer.kill(process)
        await asyncio.to_thread(HansardServer.start, process)

    return fault


def crashing(name: str) -> Fault:
    async def fault(scene: Scene) -> None:
        server: ServerProcess = getattr(scene.trio, name)
        server.kill()
        await asyncio.to_thread(server.start)

    return fault


async def flushing_redis(scene: Scene) -> None:
    async with redis.asyncio.Redis(port=scene.trio.redis.port) as client:
        await client.flushall()


async def sleeping_decider(scene: Scene) -> None:
    """It sleeps until another has its partitions, then wakes."""
    other = scene.cluster.process("decider", "second decider")
    await asyncio.to_thread(other.start)
    try:
        await scene.more(20)
        scene.cluster.the("decider").pause()
        await scene.more(40)
        scene.cluster.the("decider").resume()
        await scene.more(40)
    finally:
        other.stop()


async def two_deciders(scene: Scene) -> None:
    """One more comes and goes: partitions are handed to and fro."""
    other = scene.cluster.process("decider", "passing decider")
    await asyncio.to_thread(other.start)
    await scene.more(40)
    other.kill()


async def full_disk(scene: Scene) -> None:
    """The brokers' disk is full, upon which Kafka gives up; then there is room again."""
    assert scene.disk is not None
    scene.disk.fill()
    await asyncio.to_thread(scene.trio.kafka.await_end)
    scene.disk.free()
    await asyncio.to_thread(scene.trio.kafka.start)


async def bad_network(scene: Scene) -> None:
    """It is slow, breaks every connection again and again, and for a while lets nothing through."""
    for proxy in scene.network:
        proxy.delay = 0.03
    await scene.more(15)
    for _ in range(3):
        scene.random.choice(scene.network).cut()
        await scene.more(10)
    for proxy in scene.network:
        proxy.hold()
    await asyncio.sleep(HELD)
    for proxy in scene.network:
        proxy.delay = 0.0
        proxy.release()


FAULTS: dict[str, Fault] = {
    **{f"kill {role}": killing(role) for role in ("decider", "projector", "fanout", "gateway")},
    **{f"crash {name}": crashing(name) for name in ("kafka", "mongo", "redis")},
    "flush redis": flushing_redis,
    "sleeping decider": sleeping_decider,
    "two deciders": two_deciders,
    "bad network": bad_network,
    "full disk": full_disk,
}


@pytest.fixture
async def scene(request: pytest.FixtureRequest, trio: Trio, tmp_path: Path) -> AsyncIterator[Scene]:
    with contextlib.ExitStack() as stack:
        network, disk = [], None
        match request.node.callspec.params["name"]:
            case "bad network":
                network = [stack.enter_context(Proxy(server)) for server in trio]
            case "full disk":
                disk = SmallDisk(tmp_path / "disk", DISK_MIB).mount()
                stack.callback(disk.unmount)
                trio = trio._replace(kafka=KafkaServer(tmp_path / "kafka", disk).start())
                stack.callback(trio.kafka.kill)
        backing = Backing(*network) if network else trio.backing
        cluster = Cluster(tmp_path / uuid4().hex, backing)
        scene = Scene(cluster, trio, network, disk)
        try:
            await asyncio.to_thread(cluster.start)
            await scene.begin()
            yield scene
        finally:
            cluster.kill()


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_under_load(name: str, scene: Scene, tmp_path: Path) -> None:
    cluster = scene.cluster
    for round in range(ROUNDS):
        scene.random.seed(round)
        events = await _under_load(scene, FAULTS[name])
        assert lost_or_doubled(events, scene.writers) == []
        for chat in scene.chats:
            stream = chat_stream(chat)
            seen = scene.listener.seen[stream]
            assert seen == list(range(seen[0], len(events[stream]) + 1)), (round, stream)
        await answers(cluster)
        for user in USERS:
            shown = await unread_shown(cluster, user)
            assert shown == unread_counted(events, user, scene.chats), (round, user)
    assert cluster.stop() == 0
    assert await read_models_differ(read_settings(cluster.environ), tmp_path) == []


async def _under_load(scene: Scene, fault: Fault) -> Events:
    """One round; all that is in the topics after it, and that the listener has seen."""
    cluster, stop = scene.cluster, asyncio.Event()
    async with asyncio.TaskGroup() as group:
        listening = group.create_task(scene.listener.listen(cluster))
        writing = [group.create_task(writer.write(cluster, stop)) for writer in scene.writers]
        await scene.more(BEFORE + scene.random.randrange(BEFORE))
        await fault(scene)
        await scene.more(AFTER)
        stop.set()
        await asyncio.wait_for(asyncio.gather(*writing), 60)
        events = await _topics(cluster)
        streams = map(chat_stream, scene.chats)
        await scene.listener.has_seen({stream: len(events[stream]) for stream in streams})
        listening.cancel()
    return events


async def _topics(cluster: Cluster) -> Events:
    url = urlsplit(cluster.environ["HANSARD_LOG_URL"])
    return await read_topics(url.netloc, url.path.strip("/"), PARTITIONS)
