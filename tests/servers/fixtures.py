"""The real servers as fixtures: one of each for the whole run, started when first asked for."""

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import pytest

from tests.servers.kafka import KafkaServer
from tests.servers.mongo import MongoServer
from tests.servers.process import Server, ServerProcess
from tests.servers.redis import RedisServer
from tests.servers.s3 import S3Server

_KINDS: Final[dict[str, type[ServerProcess]]] = {
    "kafka_server": KafkaServer,
    "mongo_server": MongoServer,
    "redis_server": RedisServer,
    "s3_server": S3Server,
}


class _Servers:
    """Every server starts in a thread of its own, so that they start side by side."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self._factory = factory
        self._pool = ThreadPoolExecutor(len(_KINDS), "start")
        self._starting: dict[str, Future[Server]] = {}
        self._processes: list[ServerProcess] = []

    def begin(self, name: str) -> Future[Server]:
        if name not in self._starting:
            self._starting[name] = self._pool.submit(self._start, name)
        return self._starting[name]

    def _start(self, name: str) -> Server:
        kind = name.removesuffix("_server")
        if url := os.environ.get(f"HANSARD_TEST_{kind.upper()}"):
            return Server(url)
        process = _KINDS[name](self._factory.mktemp(kind) / "server")
        self._processes.append(process)
        return process.start()

    def stop(self) -> None:
        self._pool.shutdown()
        for process in self._processes:
            process.stop()


@pytest.fixture(scope="session")
def _servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[_Servers]:
    servers = _Servers(tmp_path_factory)
    wanted = {
        name
        for item in request.session.items
        if isinstance(item, pytest.Function)
        for name in item.fixturenames
    }
    for name in wanted & _KINDS.keys():
        servers.begin(name)
    try:
        yield servers
    finally:
        servers.stop()


@pytest.fixture(scope="session")
def kafka_server(_servers: _Servers) -> Server:
    return _servers.begin("kafka_server").result()


@pytest.fixture(scope="session")
def mongo_server(_servers: _Servers) -> Server:
    return _servers.begin("mongo_server").result()


@pytest.fixture(scope="session")
def redis_server(_servers: _Servers) -> Server:
    return _servers.begin("redis_server").result()


@pytest.fixture(scope="session")
def s3_server(_servers: _Servers) -> Server:
    return _servers.begin("s3_server").result()
