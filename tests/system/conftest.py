"""A running Hansard for the black-box tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.hansard import HansardServer


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HansardServer]:
    """One server for all tests that need no server of their own; rate limits are off."""
    running = HansardServer(tmp_path_factory.mktemp("shared") / "data").start()
    yield running
    assert running.stop() == 0


@pytest.fixture
def fresh_server(tmp_path: Path) -> Iterator[HansardServer]:
    """A server of the test's own, to be stopped and started at will."""
    running = HansardServer(tmp_path / "data").start()
    yield running
    running.stop()
