from pathlib import Path
from uuid import uuid4

import pytest

from projections.objects import Objects, open_objects
from tests.servers.process import Server


@pytest.fixture(params=["file", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where objects can be kept, of every kind in turn."""
    if request.param == "file":
        return f"file://{tmp_path}/objects"
    server: Server = request.getfixturevalue("s3_server")
    return server.url_for(uuid4().hex) + "&access_key_id=a&secret_access_key=b"


@pytest.fixture
def objects(url: str) -> Objects:
    return open_objects(url)
