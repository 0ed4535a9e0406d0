"""What the log says is destroyed is destroyed, whoever died in between."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain import commands as c
from domain.ids import chat_stream, user_stream
from tests.contract.scene import Scene, opened, until
from workers.core import running
from workers.keys import KeyDestroyer


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path / "data") as scene:
        yield scene


def destroyer(scene: Scene) -> KeyDestroyer:
    core = scene.core
    return KeyDestroyer(core.event_log, core.store, core.keyring, core.vault)


async def expired(scene: Scene) -> str:
    """The key of a message whose end is in the log."""
    action = c.SendMessage(kind="text", content="secret", expires_in=60)
    await scene.do("ann", chat_stream(scene.chat), action)
    scene.ahead += 61
    await scene.sweep()
    *_, (_, data) = await scene.events("message.sent")
    return str(data["content"]["sealed"])


async def gone(scene: Scene, key: str) -> bool:
    return not await scene.core.keyring.get([key])


async def test_the_key_goes_with_the_end_of_its_message(scene: Scene) -> None:
    one = destroyer(scene)
    await one.start()
    async with running(one.run()):
        key = await expired(scene)
        await until(lambda: gone(scene, key))
    [(sent, data)] = await scene.events("message.sent")
    await scene.core.vault.load([key])
    opened = scene.core.vault.open(
        chat_stream(scene.chat), sent.commandid, "content", data["content"]
    )
    assert opened == (None, True)
    assert not await gone(scene, user_stream("ann"))


async def test_it_is_destroyed_again_on_every_start(scene: Scene) -> None:
    keys = [await expired(scene), await expired(scene)]
    assert (await scene.core.keyring.get(keys)).keys() == set(keys)
    for _ in range(2):
        await destroyer(scene).start()
        assert await scene.core.keyring.get(keys) == {}


async def test_what_the_read_models_do_not_show_yet_is_found_in_the_log(scene: Scene) -> None:
    key = await expired(scene)
    # Not started, it knows of no position that the read models have reached.
    async with running(destroyer(scene).run()):
        await until(lambda: gone(scene, key))
