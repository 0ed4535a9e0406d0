"""`kill -9` of a server under load, at random moments: nothing acknowledged is lost or doubled."""

import asyncio
import os
import random
from collections import Counter
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from domain.ids import chat_stream, command_id
from tests.servers.audit import read_log, read_models_differ
from tests.servers.clients import Connection, connected, make_chat, register
from tests.servers.hansard import HansardServer
from workers.settings import read_settings

ROUNDS = int(os.environ.get("HANSARD_TEST_ROUNDS", "1"))
WRITERS = ("ann", "ben", "cid", "dot")


class Writer:
    """Sends under keys of its own and remembers which were acknowledged."""

    def __init__(self, user: str, chat: str) -> None:
        self.user = user
        self.chat = chat
        self.acknowledged: dict[str, int] = {}
        self.doubtful: list[str] = []
        self._count = 0

    async def write(self, server: HansardServer, enough: asyncio.Event) -> None:
        """Repeat what is in doubt, then go on until the connection dies."""
        try:
            async with connected(server, self.user) as connection:
                repeated, self.doubtful = self.doubtful, []
                for key in repeated:
                    await self._send(connection, key)
                while True:
                    self._count += 1
                    await self._send(connection, f"{self.user}-{self._count}")
                    if self._count % 5 == 0:
                        seq = self.acknowledged[f"{self.user}-{self._count}"]
                        await connection.say("read", chat=self.chat, up_to=seq)
                        await connection.say(
                            "react", id=f"r{seq}", chat=self.chat, seq=seq, emoji="x"
                        )
                    connection.frames.clear()
        except (ConnectionClosed, OSError):
            enough.set()

    async def settle(self, server: HansardServer) -> None:
        async with connected(server, self.user) as connection:
            repeated, self.doubtful = self.doubtful, []
            for key in repeated:
                await self._send(connection, key)

    async def _send(self, connection: Connection, key: str) -> None:
        self.doubtful.append(key)
        ack = await connection.ask("send", id=key, chat=self.chat, kind="text", content=key)
        assert ack["op"] == "ack", ack
        self.acknowledged[key] = ack["seq"]
        self.doubtful.remove(key)


@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_kill_under_load(tmp_path: Path, seed: int) -> None:
    randomness = random.Random(seed)
    server = HansardServer(tmp_path / "data").start()
    try:
        await register(server, *WRITERS)
        chat = await make_chat(server, "ann", *WRITERS[1:], kind="group", name="room")
        writers = [Writer(user, chat) for user in WRITERS]
        for _ in range(3):
            enough = asyncio.Event()
            tasks = [asyncio.create_task(writer.write(server, enough)) for writer in writers]
            goal = sum(len(w.acknowledged) for w in writers) + randomness.randrange(20, 400)
            while sum(len(w.acknowledged) for w in writers) < goal:
                await asyncio.sleep(0)
                assert not any(task.done() for task in tasks), [t for t in tasks if t.done()]
            server.kill()
            await asyncio.gather(*tasks)
            in_log = _sent(server.folder, chat)
            assert not [key for key, count in in_log.items() if count > 1]
            for writer in writers:
                assert all(in_log[_command(writer, key)] == 1 for key in writer.acknowledged)
            server.start()
        for writer in writers:
            await writer.settle(server)
    finally:
        server.kill()
    in_log = _sent(server.folder, chat)
    expected = {_command(w, key): 1 for w in writers for key in w.acknowledged}
    assert in_log == Counter(expected)
    server.start()
    assert server.stop() == 0
    assert await read_models_differ(read_settings(server.environ), tmp_path) == []


def _sent(folder: Path, chat: str) -> Counter[str]:
    """How often each command stands in the log as a message; the log is checked on the way."""
    events = read_log(folder)[chat_stream(chat)]
    return Counter(e["commandid"] for e in events if e["type"] == "message.sent")


def _command(writer: Writer, key: str) -> str:
    return command_id(writer.user, chat_stream(writer.chat), key)
