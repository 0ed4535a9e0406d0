from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.contract.views.world import World

pytest.register_assert_rewrite("tests.contract.views.agreement")


@pytest.fixture
def store_url(new_store_url: Callable[[], str]) -> str:
    return new_store_url()


@pytest.fixture
async def world(store_url: str, tmp_path: Path) -> AsyncIterator[World]:
    world = await World.open(tmp_path, store_url)
    yield world
    await world.close()
