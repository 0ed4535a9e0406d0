from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path
from uuid import uuid4

import pytest

from tests.contract.log.seat import Seat, seated
from tests.contract.log.written import WrittenLog, open_written_log
from tests.servers.process import Server
from workers.log import open_embedded_log
from workers.log.port import EmbeddedLog

_numbers = count()


@pytest.fixture(scope="session")
def new_embedded_url(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    folder = tmp_path_factory.mktemp("logs")
    return lambda: f"sqlite:///{folder}/{next(_numbers)}.db"


@pytest.fixture(scope="session", params=["sqlite", "kafka"])
def new_url(
    request: pytest.FixtureRequest, new_embedded_url: Callable[[], str]
) -> Callable[[], str]:
    """Names a log that does not exist yet, another at each call, of every adapter in turn."""
    if request.param == "sqlite":
        return new_embedded_url
    return request.getfixturevalue("new_kafka_url")  # type: ignore[no-any-return]


@pytest.fixture
def url(new_url: Callable[[], str]) -> str:
    return new_url()


@pytest.fixture
async def log(url: str) -> AsyncIterator[WrittenLog]:
    async with open_written_log(url) as log:
        yield log


@pytest.fixture
def embedded_url(new_embedded_url: Callable[[], str]) -> str:
    return new_embedded_url()


@pytest.fixture
async def embedded_log(embedded_url: str) -> AsyncIterator[EmbeddedLog]:
    log = await open_embedded_log(embedded_url)
    yield log
    await log.close()


@pytest.fixture
async def seat(kafka_server: Server, tmp_path: Path) -> AsyncIterator[Seat]:
    async with seated(f"{kafka_server.url_for(uuid4().hex)}?partitions=1", tmp_path) as seat:
        yield seat
