"""A running Hansard for the black-box tests, of both editions."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from tests.servers.cluster import Backing, Cluster
from tests.servers.hansard import UNLIMITED, HansardServer
from tests.servers.process import Server

MakeServer = Callable[[Mapping[str, str]], HansardServer]

EDITIONS = ("embedded", "distributed")


@pytest.fixture(scope="session")
def backing(request: pytest.FixtureRequest) -> Backing:
    names = ("kafka_server", "mongo_server", "redis_server")
    return Backing(*map(request.getfixturevalue, names))


@pytest.fixture(scope="session", params=EDITIONS)
def edition(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def server(
    edition: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HansardServer]:
    """One server for all tests that need no server of their own; rate limits are off."""
    folder = tmp_path_factory.mktemp("shared")
    if edition == "embedded":
        running = HansardServer(folder / "data").start()
    else:
        running = Cluster(folder / "shared", request.getfixturevalue("backing")).start()
    yield running
    assert running.stop() == 0


@pytest.fixture
def make_server(edition: str, request: pytest.FixtureRequest, tmp_path: Path) -> MakeServer:
    """Makes a server of the test's own of either edition, not started yet, with these settings."""

    def make(environ: Mapping[str, str]) -> HansardServer:
        folder = tmp_path / f"own-{uuid4().hex[:8]}"
        if edition == "embedded":
            return HansardServer(folder, environ)
        return Cluster(folder, request.getfixturevalue("backing"), environ)

    return make


@pytest.fixture(scope="session", params=["file", "s3"])
def media_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HansardServer]:
    """One server for each place where media can be."""
    environ = dict(UNLIMITED)
    if request.param == "s3":
        s3_server: Server = request.getfixturevalue("s3_server")
        url = s3_server.url_for("system")
        environ["HANSARD_MEDIA_URL"] = f"{url}&access_key_id=a&secret_access_key=b"
    running = HansardServer(tmp_path_factory.mktemp(request.param) / "data", environ).start()
    yield running
    assert running.stop() == 0


@pytest.fixture
def fresh_server(tmp_path: Path) -> Iterator[HansardServer]:
    """A server of the test's own, to be stopped and started at will."""
    running = HansardServer(tmp_path / "data").start()
    yield running
    running.stop()
