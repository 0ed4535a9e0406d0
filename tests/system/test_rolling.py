"""Restarts and stops of the distributed edition that are no faults: nobody should notice much."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from domain.ids import chat_stream
from tests.faults.load import Listener, Writer, answers, lost_or_doubled
from tests.servers.audit import read_models_differ, read_topics
from tests.servers.clients import connected, make_chat, register, rest
from tests.servers.cluster import PARTITIONS, ROLES, Backing, Cluster
from tests.servers.hansard import HansardServer
from workers.settings import read_settings

USERS = ("ann", "ben", "cid")
#: Acknowledged messages before each restart, and after it.
MESSAGES = 30


@pytest.fixture
async def cluster(tmp_path: Path, backing: Backing) -> AsyncIterator[Cluster]:
    running = Cluster(tmp_path / f"rolling{abs(hash(tmp_path.name))}", backing)
    try:
        await asyncio.to_thread(running.start)
        yield running
    finally:
        running.kill()


class Pulse:
    """Notes when messages are acknowledged."""

    def __init__(self, writers: list[Writer], moved: asyncio.Event) -> None:
        self._writers = writers
        self._moved = moved
        self._noted = asyncio.Event()
        self._last = time.monotonic()
        self.longest = 0.0

    @property
    def count(self) -> int:
        return sum(len(writer.acknowledged) for writer in self._writers)

    async def watch(self) -> None:
        while True:
            await self._moved.wait()
            self._moved.clear()
            self.longest = max(self.longest, time.monotonic() - self._last)
            self._last = time.monotonic()
            self._noted.set()

    async def more(self, count: int) -> None:
        goal = self.count + count
        async with asyncio.timeout(120):
            while self.count < goal:
                self._noted.clear()
                await self._noted.wait()


async def test_every_role_is_restarted_under_load(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One after the other, as an upgrade does it: the new one is there before the old one is told
    to go. Clients know but one gateway, which is away for a moment."""
    await register(cluster, *USERS)
    chat = await make_chat(cluster, USERS[0], *USERS[1:], kind="group", name="room")
    moved, stop = asyncio.Event(), asyncio.Event()
    writers = [Writer(user, [chat], moved) for user in USERS]
    listener = Listener(USERS[0])
    pulse = Pulse(writers, moved)
    longest = {}
    async with asyncio.TaskGroup() as group:
        background = [
            group.create_task(listener.listen(cluster)),
            group.create_task(pulse.watch()),
        ]
        writing = [group.create_task(writer.write(cluster, stop)) for writer in writers]
        for role in ROLES:
            await pulse.more(MESSAGES)
            pulse.longest = 0.0
            await asyncio.to_thread(_restart, cluster, role)
            await pulse.more(MESSAGES)
            longest[role] = pulse.longest
        stop.set()
        await asyncio.wait_for(asyncio.gather(*writing), 60)
        stream = chat_stream(chat)
        url = urlsplit(cluster.environ["HANSARD_LOG_URL"])
        events = await read_topics(url.netloc, url.path.strip("/"), PARTITIONS)
        await listener.has_seen({stream: len(events[stream])})
        for task in background:
            task.cancel()
    with capsys.disabled():
        waits = ", ".join(f"{role} {seconds:.2f}" for role, seconds in longest.items())
        print(f"\nwriters waited at most, in seconds, for {waits}", end=" ")
    assert lost_or_doubled(events, writers) == []
    seen = listener.seen[stream]
    assert seen == list(range(seen[0], len(events[stream]) + 1))
    await answers(cluster)
    assert cluster.stop() == 0
    assert await read_models_differ(read_settings(cluster.environ), tmp_path) == []


def _restart(cluster: Cluster, role: str) -> None:
    if role == "gateway":
        # Of the cluster only the one process, which the gateway is to it.
        assert HansardServer.stop(cluster) == 0
        HansardServer.start(cluster)
        return
    old = cluster.the(role)
    cluster.others.append(cluster.process(role, f"second {role}").start())
    cluster.others.remove(old)
    assert old.stop() == 0


async def test_what_was_taken_is_answered_before_a_gateway_goes(cluster: Cluster) -> None:
    await register(cluster, *USERS)
    chat = await make_chat(cluster, *USERS[:2])
    async with connected(cluster, USERS[0]) as connection:
        decider = cluster.the("decider")
        decider.pause()
        for number in range(20):
            await connection.say("send", id=f"k{number}", chat=chat, kind="text", content="kept")
        await connection.quiet()
        stopping = asyncio.create_task(asyncio.to_thread(HansardServer.stop, cluster))
        # It listens no more, but for what it was told.
        await _refused(cluster)
        decider.resume()
        code, reason = await connection.closed()
        acknowledged = [f["id"] for f in connection.frames if f["op"] == "ack"]
        assert acknowledged == [f"k{number}" for number in range(20)]
        assert (code, "come back in" in reason) == (1012, True)
        assert await stopping == 0


async def test_a_projector_that_stands_still_is_told_by_all(cluster: Cluster) -> None:
    """Waits for the bound, half a minute."""
    await register(cluster, *USERS)
    projector = cluster.the("projector")
    projector.pause()
    try:
        async with rest(cluster, "dot") as dot:
            await dot.put("/v1/me", json={"name": "Dot"})
        async with httpx.AsyncClient() as client:
            for process in (cluster, cluster.the("decider")):
                told = await _not_ready(client, process.url)
                assert (await client.get(f"{process.url}/healthz")).status_code == 200
                assert any(one["detail"].startswith("Nothing of users-") for one in told), told
            assert (
                "hansard_projection_behind 0.0"
                not in (await client.get(f"{cluster.url}/metrics")).text
            )
    finally:
        projector.resume()
    await answers(cluster)


async def _not_ready(client: httpx.AsyncClient, url: str) -> list[dict[str, str]]:
    async with asyncio.timeout(90):
        while True:
            answer = await client.get(f"{url}/readyz")
            if answer.status_code == 503:
                found: list[dict[str, str]] = answer.json()["errors"]
                if any(one["field"] == "dependencies" for one in found):
                    return found
            await asyncio.sleep(0.2)


async def _refused(cluster: Cluster) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", cluster.port)
            except OSError:
                return
            writer.close()
            await asyncio.sleep(0.05)
