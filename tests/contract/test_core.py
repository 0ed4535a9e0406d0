"""The embedded core as a whole, on a data folder."""

import asyncio
from pathlib import Path

from domain import commands as c
from domain.ids import user_stream
from workers.core import Core, open_core, writing
from workers.secrets_file import open_secrets
from workers.settings import read_settings


async def register(core: Core, user: str) -> None:
    stream = user_stream(user)
    _, command = core.commander.identify(user, stream, "register")
    action = c.PutProfile(name=user)
    await core.commander.execute(await core.commander.command(user, stream, command, action))


async def test_a_core_that_has_nothing_to_do_is_settled(tmp_path: Path) -> None:
    settings = read_settings({"HANSARD_DATA_DIR": str(tmp_path / "data")})
    secrets = open_secrets(settings)
    async with open_core(settings, secrets) as core, writing(core):
        await register(core, "alice")
    async with open_core(settings, secrets) as core, writing(core), asyncio.timeout(10):
        await core.settle()
        assert await core.progress.heads(["users/alice"]) == {"users/alice": 1}


async def test_what_waits_is_decided_before_the_core_closes(tmp_path: Path) -> None:
    settings = read_settings({"HANSARD_DATA_DIR": str(tmp_path / "data")})
    secrets = open_secrets(settings)
    async with open_core(settings, secrets) as core, writing(core):
        waiting = [asyncio.create_task(register(core, f"user{n}")) for n in range(50)]
        await waiting[0]
    async with asyncio.timeout(10):
        await asyncio.gather(*waiting)
    async with open_core(settings, secrets) as core, writing(core):
        await core.settle()
        heads = await core.progress.heads([f"users/user{n}" for n in range(50)])
        assert set(heads.values()) == {1}
