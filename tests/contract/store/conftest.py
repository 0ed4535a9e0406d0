from collections.abc import AsyncIterator, Callable
from itertools import count

import pytest

from projections.store import open_store
from projections.store.port import ReadStore
from tests.contract.store.notes import COLLECTIONS


@pytest.fixture(scope="session", params=["sqlite", "mongo"])
def new_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], str]:
    """Names a store that does not exist yet, another at each call, of every adapter in turn."""
    if request.param == "mongo":
        new: Callable[[], str] = request.getfixturevalue("new_mongo_url")
        return new
    folder = tmp_path_factory.mktemp("stores")
    numbers = count()
    return lambda: f"sqlite:///{folder}/{next(numbers)}.db"


@pytest.fixture
def url(new_url: Callable[[], str]) -> str:
    return new_url()


@pytest.fixture
async def store(url: str) -> AsyncIterator[ReadStore]:
    store = await open_store(url, COLLECTIONS)
    yield store
    await store.close()
