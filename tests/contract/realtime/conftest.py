from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import count

import pytest

from projections.realtime import open_realtime
from projections.realtime.port import Realtime
from tests.contract.realtime.ear import Ear
from tests.servers.process import Server

_numbers = count()

NewEar = Callable[..., Awaitable[Ear]]


@pytest.fixture(params=["memory", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    """Realtime in which nobody else is, of every adapter in turn."""
    if request.param == "memory":
        return "memory://"
    server: Server = request.getfixturevalue("redis_server")
    return server.url_for(f"realtime{next(_numbers)}")


@pytest.fixture
async def realtime(url: str) -> AsyncIterator[Realtime]:
    realtime = open_realtime(url)
    yield realtime
    await realtime.close()


@pytest.fixture
async def new_ear(url: str, realtime: Realtime) -> AsyncIterator[NewEar]:
    """Opens a gateway's side of the same realtime; in one process it is the other side too."""
    async with AsyncExitStack() as stack:

        async def open_ear(*channels: str) -> Ear:
            side = realtime
            if url != "memory://":
                side = open_realtime(url)
                stack.push_async_callback(side.close)
            ear = Ear(side)
            await side.subscribe(channels)
            return ear

        yield open_ear
