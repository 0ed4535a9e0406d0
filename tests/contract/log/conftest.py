from collections.abc import AsyncIterator, Callable
from itertools import count

import pytest

from workers.log import EmbeddedLog, open_log


@pytest.fixture(scope="session", params=["sqlite"])
def new_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], str]:
    """Names a log that does not exist yet, another at each call, of every adapter in turn."""
    folder = tmp_path_factory.mktemp("logs")
    numbers = count()
    urls = {"sqlite": lambda: f"sqlite:///{folder}/{next(numbers)}.db"}
    return urls[request.param]


@pytest.fixture
def url(new_url: Callable[[], str]) -> str:
    return new_url()


@pytest.fixture
async def log(url: str) -> AsyncIterator[EmbeddedLog]:
    log = await open_log(url)
    yield log
    await log.close()
