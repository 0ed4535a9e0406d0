from collections.abc import AsyncIterator, Callable

import pytest

from projections.store import open_store
from projections.store.port import ReadStore
from tests.contract.store.notes import COLLECTIONS


@pytest.fixture
def url(new_store_url: Callable[[], str]) -> str:
    return new_store_url()


@pytest.fixture
async def store(url: str) -> AsyncIterator[ReadStore]:
    store = await open_store(url, COLLECTIONS)
    yield store
    await store.close()
