from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.contract.views.world import World

pytest.register_assert_rewrite("tests.contract.views.agreement")


@pytest.fixture(params=["sqlite", "mongo"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a read store can be made, of every adapter in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/read.db"
    new: Callable[[], str] = request.getfixturevalue("new_mongo_url")
    return new()


@pytest.fixture
async def world(store_url: str, tmp_path: Path) -> AsyncIterator[World]:
    world = await World.open(tmp_path, store_url)
    yield world
    await world.close()
