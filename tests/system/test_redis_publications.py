"""What a message costs Redis does not grow with the members of its chat."""

from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.servers.clients import connected, make_chat, register, rest
from tests.servers.hansard import UNLIMITED, HansardServer
from tests.servers.redis import RedisServer
from tests.waiting import until


@pytest.mark.parametrize("members", [2, 60])
async def test_one_publication_a_message(tmp_path: Path, members: int) -> None:
    redis = RedisServer(tmp_path / "redis").start()
    environ = {**UNLIMITED, "HANSARD_REALTIME_URL": redis.url}
    server = HansardServer(tmp_path / "data", environ).start()
    try:
        users = [f"user{number}" for number in range(members)]
        await register(server, *users)
        chat = await make_chat(server, *users, kind="group", name="room")
        async with connected(server, users[0]) as connection, Redis.from_url(redis.url) as client:

            async def published() -> int:
                stats = await client.info("commandstats")
                return int(stats["cmdstat_publish"]["calls"])

            async def send() -> None:
                ack = await connection.ask("send", chat=chat, kind="text", content="hi")
                await connection.event("message.sent", seq=ack["seq"])

            async def present() -> bool:
                async with rest(server, users[0]) as asker:
                    answer = await asker.get("/v1/presence", params={"users": users[0]})
                return bool(answer.json()["items"][0]["status"] == "online")

            # That one is there is published as well, once and before what follows.
            await until(present)
            await send()
            before = await published()
            for _ in range(10):
                await send()
            assert await published() - before == 10
    finally:
        server.kill()
        redis.stop()
