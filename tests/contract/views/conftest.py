from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.views.world import World

pytest.register_assert_rewrite("tests.contract.views.agreement")


@pytest.fixture(params=["sqlite"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a read store can be made, of every adapter in turn."""
    return {"sqlite": f"sqlite:///{tmp_path}/read.db"}[request.param]


@pytest.fixture
async def world(store_url: str, tmp_path: Path) -> AsyncIterator[World]:
    world = await World.open(tmp_path, store_url)
    yield world
    await world.close()
