from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from projections.objects import Objects, open_objects
from tests.contract.views.world import World
from tests.servers.process import Server


@pytest.fixture(params=["file", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    """A store of objects, of every kind in turn."""
    if request.param == "file":
        return open_objects(f"file://{tmp_path}/objects")
    server: Server = request.getfixturevalue("s3_server")
    return open_objects(server.url_for(uuid4().hex) + "&access_key_id=a&secret_access_key=b")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = await World.open(tmp_path, f"sqlite:///{tmp_path}/read.db")
    yield world
    await world.close()
