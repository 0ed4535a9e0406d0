"""The fan-out shows nothing of a message whose time is over, whether or not the event has come."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from domain import commands as c
from domain.ids import chat_stream
from projections.realtime import open_realtime
from tests.contract.scene import Scene, opened
from workers.fanout import Fanout


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path / "data") as scene:
        yield scene


async def frames(scene: Scene, *types: str, ahead: int) -> list[Any]:
    """What the fan-out makes of the events of these types, so many seconds later."""
    scene.ahead = ahead
    core = scene.core
    realtime = open_realtime("memory://")
    fanout = Fanout(core.event_log, realtime, core.store, core.vault, scene.clock, anew=True)
    published = await fanout.frames([envelope for envelope, _ in await scene.events(*types)])
    return [json.loads(one.frame) for one in published]


async def brief(scene: Scene) -> None:
    """A message of a minute that is edited and reacted to."""
    stream = chat_stream(scene.chat)
    sent = await scene.do("ann", stream, c.SendMessage(kind="text", content="1", expires_in=60))
    await scene.do("ann", stream, c.EditMessage(message=sent.seq, content="2"))
    await scene.do("bob", stream, c.React(message=sent.seq, emoji="x"))
    await scene.core.settle()


ALL = ("message.sent", "message.edited", "reaction.set")


async def test_before_its_end_all_is_shown(scene: Scene) -> None:
    await brief(scene)
    shown = await frames(scene, *ALL, ahead=0)
    assert [frame.get("redacted") for frame in shown] == [None] * 3
    assert [frame["data"].get("content") for frame in shown] == ["1", "2", None]


@pytest.mark.parametrize("types", [ALL, ALL[1:], ALL[2:]])
async def test_after_its_end_nothing_is(scene: Scene, types: tuple[str, ...]) -> None:
    await brief(scene)
    for frame in await frames(scene, *types, ahead=61):
        assert frame["redacted"]
        assert frame["data"].keys() <= {"message", "ordinal", "kind"}
