from collections.abc import Callable
from uuid import uuid4

import pytest

from tests.servers.process import Server


@pytest.fixture(scope="session")
def new_kafka_url(kafka_server: Server) -> Callable[[], str]:
    """Names a log of three partitions that does not exist yet, another at each call."""
    return lambda: f"{kafka_server.url_for(uuid4().hex)}?partitions=3"
