"""What the log says is destroyed is destroyed, whoever died in between."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from domain import commands as c
from domain.ids import chat_stream, user_stream
from tests.contract.scene import Scene, opened
from tests.waiting import until
from workers.core import Core, open_core, writing
from workers.secrets_file import open_secrets
from workers.settings import read_settings


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path / "data") as scene:
        yield scene


async def sent(scene: Scene) -> str:
    """The key of a message that destroys itself."""
    action = c.SendMessage(kind="text", content="secret", expires_in=60)
    await scene.do("ann", chat_stream(scene.chat), action)
    *_, (_, data) = await scene.events("message.sent")
    return str(data["content"]["sealed"])


async def end(scene: Scene) -> None:
    """Have its end come."""
    scene.ahead += 61
    await scene.sweep()


async def expired(scene: Scene) -> str:
    key = await sent(scene)
    await end(scene)
    return key


@asynccontextmanager
async def core_of(folder: Path) -> AsyncIterator[Core]:
    settings = read_settings({"HANSARD_DATA_DIR": str(folder)})
    async with open_core(settings, open_secrets(settings)) as core, writing(core):
        yield core


async def gone(scene: Scene, key: str) -> bool:
    return not await scene.core.keyring.get([key])


async def test_the_key_goes_with_the_end_of_its_message(scene: Scene) -> None:
    key = await expired(scene)
    await until(lambda: gone(scene, key))
    [(sent, data)] = await scene.events("message.sent")
    await scene.core.vault.load([key])
    opened = scene.core.vault.open(
        chat_stream(scene.chat), sent.commandid, "content", data["content"]
    )
    assert opened == (None, True)
    assert not await gone(scene, user_stream("ann"))


async def test_it_goes_again_when_the_keyring_is_put_back_from_a_backup(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with opened(folder) as scene:
        key = await sent(scene)
    shutil.copy(folder / "keys.db", tmp_path / "backup")
    async with core_of(folder) as core:
        scene.core = core
        await end(scene)
        await until(lambda: gone(scene, key))
    shutil.copy(tmp_path / "backup", folder / "keys.db")
    async with core_of(folder) as core:
        assert not await core.keyring.get([key])
