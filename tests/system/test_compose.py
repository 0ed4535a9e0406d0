"""compose.yaml: that it is well formed, and that the processes it names work as it starts them.

No container engine is asked. Every service of Hansard is started as a process, with the command and
the environment that it has there, on the servers of the tests.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from ruamel.yaml import YAML

from tests.files import picture
from tests.servers.clients import connected, make_chat, register, rest
from tests.servers.cluster import ROLES, Backing
from tests.servers.hansard import HansardServer
from tests.servers.process import Server

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose.yaml"
DOCKERFILE = (ROOT / "Dockerfile").read_text()

Service = dict[str, Any]


@pytest.fixture(scope="module")
def services() -> dict[str, Service]:
    loaded: dict[str, Service] = YAML(typ="safe", pure=True).load(COMPOSE)["services"]
    return loaded


@pytest.fixture(scope="module")
def ours(services: dict[str, Service]) -> dict[str, Service]:
    """The services that run Hansard, in the order in which they start."""
    order = TopologicalSorter({name: one.get("depends_on", {}) for name, one in services.items()})
    return {n: services[n] for n in order.static_order() if services[n]["image"] == "hansard"}


def test_it_is_a_compose_file() -> None:
    check = ("check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE))
    checked = subprocess.run([sys.executable, "-m", *check], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_what_it_names_is_there(services: dict[str, Service]) -> None:
    volumes = YAML(typ="safe", pure=True).load(COMPOSE)["volumes"]
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            healthy = how["condition"] == "service_healthy"
            assert not healthy or "test" in services[other]["healthcheck"], (name, other)
        for volume in service.get("volumes", ()):
            assert volume.startswith("/") or volume.partition(":")[0] in volumes, (name, volume)
        limits = service["deploy"]["resources"]["limits"]
        assert limits.keys() == {"cpus", "memory"}, name


def test_there_is_one_service_for_each_role(ours: dict[str, Service]) -> None:
    assert set(ours) == {"migrate", *ROLES}
    for name, service in ours.items():
        assert service["command"] == [name]
        assert 'ENTRYPOINT ["hansard"]' in DOCKERFILE
    bucket = urlsplit(_environment(ours["gateway"])["HANSARD_MEDIA_URL"]).netloc
    assert (
        bucket
        == _environment(YAML(typ="safe", pure=True).load(COMPOSE)["services"]["s3"])["S3_BUCKET"]
    )


def _environment(service: Service) -> dict[str, str]:
    """With the defaults of the variables that it takes from the shell."""
    given = service["environment"].items()
    return {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for name, value in given}


class Engine:
    """What a container engine does for the services, as far as it matters here."""

    def __init__(self, folder: Path, backing: Backing, s3: Server) -> None:
        self._folder = folder
        self._servers = {"kafka": backing.kafka, "mongodb": backing.mongo, "redis": backing.redis}
        self._s3 = s3
        # A container has no other folders to write to.
        self._read_only = folder / "read-only"
        self._read_only.touch()

    def process(self, name: str, service: Service) -> HansardServer:
        """The service as a process, with an address of its own."""
        assert service["read_only"]
        environ = {
            variable: self._here(name, service, value)
            for variable, value in _environment(service).items()
            if variable not in ("HANSARD_HOST", "HANSARD_PORT")
        }
        return HansardServer(self._folder / name, environ, *service["command"])

    def _here(self, name: str, service: Service, value: str) -> str:
        if value.startswith("/"):
            return str(self._mounted(name, service, value))
        url = urlsplit(value)
        if url.scheme in self._servers:
            # A name of the test's own on the shared servers.
            path = url.path.replace("hansard", self._folder.name)
            netloc = urlsplit(self._servers[url.scheme].url).netloc
            return url._replace(netloc=netloc, path=path).geturl()
        if url.scheme == "s3":
            query = parse_qs(url.query) | parse_qs(urlsplit(self._s3.url).query)
            return url._replace(query=urlencode(query, doseq=True)).geturl()
        return value

    def _mounted(self, name: str, service: Service, path: str) -> Path:
        for volume in service["volumes"]:
            source, _, target = volume.rpartition(":")
            if target == path:
                return self._folder / "volumes" / (source or f"of {name}")
        return self._read_only / path[1:]


@pytest.fixture
def engine(tmp_path: Path, backing: Backing, s3_server: Server) -> Engine:
    folder = tmp_path / f"compose{os.getpid()}"
    (folder / "volumes").mkdir(parents=True)
    return Engine(folder, backing, s3_server)


@pytest.fixture
def up(engine: Engine, ours: dict[str, Service]) -> Iterator[dict[str, HansardServer]]:
    """All that stay, ready."""
    running: dict[str, HansardServer] = {}
    for name, service in ours.items():
        process = engine.process(name, service)
        process.folder.mkdir()
        if service["restart"] == "no":
            command = [sys.executable, "-m", "workers.cli", process.command]
            subprocess.run(command, env=process.environ, check=True, timeout=60)
        else:
            running[name] = process
    for process in running.values():
        process.spawn()
    try:
        for process in running.values():
            process.await_ready()
        yield running
    finally:
        for process in running.values():
            process.kill()


async def test_what_it_starts_is_a_hansard(up: Mapping[str, HansardServer]) -> None:
    gateway = up["gateway"]
    await register(gateway, "ann", "ben")
    chat = await make_chat(gateway, "ann", "ben")
    async with rest(gateway, "ann") as ann, connected(gateway, "ben") as ben:
        sent = await ann.post(
            f"/v1/chats/{chat}/messages", json={"kind": "text", "content": "by REST"}
        )
        sent.raise_for_status()
        heard = await ben.event("message.sent", stream=f"chats/{chat}")
        assert heard["data"]["content"] == "by REST"
        answer = await ben.ask("send", chat=chat, kind="text", content="by WebSocket")
        assert answer["op"] == "ack"
        position = {"Hansard-Position": answer["position"]}
        shown = await ann.get(f"/v1/chats/{chat}/messages", headers=position)
        contents = [item["content"] for item in shown.json()["items"] if item["ordinal"]]
        assert contents == ["by REST", "by WebSocket"]
        uploaded = await ann.post("/v1/media", files={"file": ("a.png", picture(), "image/png")})
        assert uploaded.status_code == 201, uploaded.text
        kept = await ann.get(f"/v1/media/{uploaded.json()['id']}/content")
        assert kept.status_code == 200
    assert _healthy(gateway)
    codes = await asyncio.gather(*(asyncio.to_thread(one.stop) for one in up.values()))
    assert dict(zip(up, codes, strict=True)) == dict.fromkeys(up, 0)
    assert not _healthy(gateway)


def _healthy(process: HansardServer) -> bool:
    """What the image's health check says of it."""
    found = re.search(r"HEALTHCHECK .*\\\n *CMD (\[.*\])\n", DOCKERFILE)
    assert found is not None
    [python, *arguments] = json.loads(found[1])
    assert python == "python"
    checked = subprocess.run(
        [sys.executable, *arguments], env=process.environ, stderr=subprocess.DEVNULL
    )
    return checked.returncode == 0
