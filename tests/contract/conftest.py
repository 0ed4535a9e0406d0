from collections.abc import Callable, Iterator
from itertools import count
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient

from tests.servers.process import Server, ServerProcess


@pytest.fixture(scope="session")
def new_mongo_url(mongo_server: Server) -> Iterator[Callable[[], str]]:
    """Names a database that does not exist yet, another at each call. None stays on a server that
    does."""
    run, numbers = f"test-{uuid4().hex[:8]}", count()
    names: list[str] = []

    def new() -> str:
        names.append(f"{run}-{next(numbers)}")
        return mongo_server.url_for(names[-1])

    yield new
    if isinstance(mongo_server, ServerProcess):
        return  # It goes with all it holds.
    client: MongoClient[Any] = MongoClient(mongo_server.url)
    with client:
        for name in names:
            client.drop_database(name)


@pytest.fixture(scope="session", params=["sqlite", "mongo"])
def new_store_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], str]:
    """Names a read store that does not exist yet, another at each call, of every adapter in
    turn."""
    if request.param == "mongo":
        new: Callable[[], str] = request.getfixturevalue("new_mongo_url")
        return new
    folder = tmp_path_factory.mktemp("stores")
    numbers = count()
    return lambda: f"sqlite:///{folder}/{next(numbers)}.db"
