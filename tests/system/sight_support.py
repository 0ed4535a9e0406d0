"""What operators see of a running Hansard: the log lines and measurements of its processes."""

import json
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.servers.cluster import Cluster
from tests.servers.hansard import HansardServer
from tests.waiting import until

Line = dict[str, Any]


def processes(server: HansardServer) -> list[HansardServer]:
    return [server, *server.others] if isinstance(server, Cluster) else [server]


def process_of(server: HansardServer, role: str) -> HansardServer:
    """The process that has a role."""
    return server.the(role) if isinstance(server, Cluster) else server


def lines(process: HansardServer, event: str) -> list[Line]:
    """The lines of this name that a process has logged, the whole ones."""
    whole = [text for text in process.log.splitlines(keepends=True) if text.endswith("}\n")]
    found = [json.loads(text) for text in whole if text.startswith("{")]
    return [line for line in found if line["event"] == event]


async def line(process: HansardServer, event: str, **fields: Any) -> Line:
    """The one line of this name with these fields, which is there or will be."""
    found: list[Line] = []

    async def is_there() -> bool:
        nonlocal found
        logged = lines(process, event)
        found = [one for one in logged if fields.items() <= one.items()]
        return bool(found)

    await until(is_there)
    assert len(found) == 1, found
    return found[0]


def measured(process: HansardServer) -> str:
    return httpx.get(f"{process.url}/metrics").text


def exposed(process: HansardServer) -> set[str]:
    """The names of all samples that a process exposes, or will once there is something to say."""
    names: set[str] = set()
    for family in text_string_to_metric_families(measured(process)):
        match family.type:
            case "counter":
                names.add(f"{family.name}_total")
            case "histogram":
                names |= {f"{family.name}_{part}" for part in ("bucket", "sum", "count")}
            case _:
                names.add(family.name)
    return names


def value(process: HansardServer, name: str, **labels: str) -> float:
    """The sum of a process's samples of this name with these labels."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(measured(process))
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )
