"""Redis breaks: connections stand, and each is shown all, once, in order. Presence comes back."""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis

from domain.ids import chat_stream
from tests.servers.clients import Connection, connected, make_chat, register, rest
from tests.servers.hansard import UNLIMITED, HansardServer
from tests.servers.redis import RedisServer

ROUNDS = int(os.environ.get("HANSARD_TEST_ROUNDS", "1"))
USERS = ("ann", "ben", "cid")


async def crash(redis: RedisServer) -> None:
    redis.kill()
    await asyncio.to_thread(redis.start)


async def lose_all_keys(redis: RedisServer) -> None:
    async with Redis.from_url(redis.url) as client:
        await client.flushall()


async def cut_connections(redis: RedisServer) -> None:
    async with Redis.from_url(redis.url) as client:
        await client.client_kill_filter(_type="pubsub")
        await client.client_kill_filter(_type="normal")


@pytest.mark.parametrize("seed", range(ROUNDS))
@pytest.mark.parametrize("fault", [crash, lose_all_keys, cut_connections])
async def test_what_redis_loses_comes_later(
    tmp_path: Path, fault: Callable[[RedisServer], Awaitable[None]], seed: int
) -> None:
    randomness = random.Random(seed)
    redis = RedisServer(tmp_path / "redis").start()
    environ = {**UNLIMITED, "HANSARD_REALTIME_URL": redis.url_for("faults")}
    server = HansardServer(tmp_path / "data", environ).start()
    try:
        await register(server, *USERS)
        chat = await make_chat(server, "ann", *USERS[1:], kind="group", name="room")
        async with (
            connected(server, "ann") as ann,
            connected(server, "ben") as ben,
            connected(server, "cid") as cid,
        ):
            connections = (ann, ben, cid)
            heads = [one.welcome["streams"][chat_stream(chat)] for one in connections]
            sent: list[int] = []

            async def write(connection: Connection, until: int) -> None:
                while len(sent) < until:
                    ack = await connection.ask("send", chat=chat, kind="text", content="hi")
                    sent.append(ack["seq"])

            for _ in range(3):
                goal = len(sent) + randomness.randrange(20, 200)
                await asyncio.gather(*(write(one, goal) for one in (ann, ben)))
                # What is written while it is away is part of it.
                await asyncio.gather(fault(redis), *(write(one, goal + 100) for one in (ann, ben)))
            last = max(sent)
            for one, head in zip(connections, heads, strict=True):
                await one.event("message.sent", seq=last)
                events = one.events(chat_stream(chat))
                assert [event["seq"] for event in events] == [*range(head + 1, last + 1)]
                assert not [frame for frame in one.frames if frame["op"] == "reset"]
            # Who is let in afterwards hears it.
            new = await make_chat(server, "ann", "cid")
            await cid.event("chat.created", stream=chat_stream(new))
    finally:
        server.kill()
        redis.stop()


async def test_presence_is_lost_for_a_while(tmp_path: Path) -> None:
    redis = RedisServer(tmp_path / "redis").start()
    environ = {**UNLIMITED, "HANSARD_REALTIME_URL": redis.url}
    server = HansardServer(tmp_path / "data", environ).start()
    try:
        await register(server, "ann", "ben")
        chat = await make_chat(server, "ann", "ben")
        async with (
            connected(server, "ben") as ben,
            connected(server, "ann") as ann,
            rest(server, "ben") as client,
        ):
            await ben.frame(lambda f: f["op"] == "presence" and f["status"] == "online")
            redis.kill()
            for answer in (
                await client.get("/v1/presence", params={"users": "ann"}),
                await client.put("/v1/me/presence", json={"status": "busy"}),
            ):
                assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
                assert answer.headers["retry-after"]
            await ann.say("presence", status="busy")
            sent = await ann.ask("send", chat=chat, kind="text", content="still there")
            assert sent["op"] == "ack"
            async with connected(server, "ann") as tab:
                await tab.quiet()
            await asyncio.to_thread(redis.start)
            await ben.frame(lambda f: f["op"] == "presence" and f["status"] == "busy")
            answer = await client.get("/v1/presence", params={"users": "ann,ben"})
            assert [one["status"] for one in answer.json()["items"]] == ["busy", "online"]
            for one in (ann, ben):
                await one.quiet()
    finally:
        server.kill()
        redis.stop()
