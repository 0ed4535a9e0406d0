"""The embedded edition on a disk that is full for a while: refused is what can't be kept."""

import asyncio
import itertools
import shutil
from pathlib import Path

from tests.faults.load import DOUBT, Writer, answers, lost_or_doubled
from tests.servers.audit import read_log, read_models_differ
from tests.servers.clients import Connection, connected, make_chat, opened, register
from tests.servers.disk import SmallDisk
from tests.servers.hansard import UNLIMITED, HansardServer
from workers.settings import read_settings

USERS = ("ann", "ben", "cid")
DISK_MIB = 64
#: Acknowledged messages before the disk is full, and after there is room again.
MESSAGES = 200


async def test_a_full_disk_under_load(tmp_path: Path) -> None:
    disk = SmallDisk(tmp_path / "disk", DISK_MIB).mount()
    secret = {"HANSARD_JWT_SECRET": "a secret that is not on the small disk"}
    server = HansardServer(disk.folder, {**UNLIMITED, **secret})
    server.launcher = disk.launcher
    server.start()
    try:
        await register(server, *USERS)
        chat = await make_chat(server, *USERS, kind="group", name="room")
        moved, stop = asyncio.Event(), asyncio.Event()
        writers = [Writer(user, [chat], moved) for user in USERS]

        async def more() -> None:
            goal = sum(len(writer.acknowledged) for writer in writers) + MESSAGES
            async with asyncio.timeout(60):
                while sum(len(writer.acknowledged) for writer in writers) < goal:
                    moved.clear()
                    await moved.wait()

        async with asyncio.TaskGroup() as group:
            writing = [group.create_task(writer.write(server, stop)) for writer in writers]
            await more()
            async with connected(server, USERS[0]) as connection:
                disk.fill()
                await _is_refused(connection, chat)
            await _is_let_in_or_told(server)
            disk.free()
            await more()
            stop.set()
            await asyncio.wait_for(asyncio.gather(*writing), 60)
        await answers(server)
        assert server.stop() == 0
        # SQLite asks where a path really leads, which is nowhere for those who don't see the disk.
        copy = shutil.copytree(disk.from_outside, tmp_path / "copy")
        assert lost_or_doubled(read_log(copy), writers) == []
        settings = read_settings({**server.environ, "HANSARD_DATA_DIR": str(copy)})
        assert await read_models_differ(settings, tmp_path) == []
    finally:
        server.kill()
        disk.unmount()


async def _is_refused(connection: Connection, chat: str) -> None:
    """Send until a message is not taken."""
    async with asyncio.timeout(60):
        for number in itertools.count():
            content = "x" * 8000
            ack = await connection.ask(
                "send", id=f"filler-{number}", chat=chat, kind="text", content=content
            )
            if ack["op"] == "error":
                assert ack["code"] in DOUBT, ack
                return
            connection.frames.clear()


async def _is_let_in_or_told(server: HansardServer) -> None:
    async with opened(server) as connection:
        answer = await connection.hello(token=server.token(USERS[0]))
        assert answer["op"] == "welcome" or answer["code"] == "unavailable", answer
