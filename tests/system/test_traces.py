"""Traces: from the request to the delivery, to a real receiver of OTLP."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.servers.clients import connected
from tests.servers.hansard import UNLIMITED, HansardServer
from tests.servers.otlp import Collector, Span
from tests.system.conftest import MakeServer
from tests.system.rest_support import people, shown
from tests.system.sight_support import line, process_of
from tests.waiting import until

PARENT = "00f067aa0ba902b7"
#: As many messages as make more spans than wait to be sent, of which there are 2,048 at most.
QUEUED = 600


@pytest.fixture
def collector() -> Iterator[Collector]:
    running = Collector().start()
    yield running
    running.stop()


@pytest.fixture
def traced(make_server: MakeServer, collector: Collector) -> Iterator[HansardServer]:
    environ = {**UNLIMITED, **collector.environ, "HANSARD_LOG_LEVEL": "debug"}
    running = make_server(environ).start()
    yield running
    running.stop()


async def spans(collector: Collector, trace: str, *names: str) -> dict[str, Span]:
    """The spans of these names in a trace, once all are there."""

    async def are_there() -> bool:
        return set(names) <= {span.name for span in collector.of(trace)}

    await until(are_there)
    found = {span.name: span for span in collector.of(trace)}
    assert len(found) == len(collector.of(trace)), "a span came twice"
    # The libraries make none, which would hold paths and queries.
    assert all(span.scope.startswith("hansard.") for span in collector.spans)
    return found


async def test_a_send_is_one_trace_from_the_request_to_the_delivery(
    traced: HansardServer, collector: Collector
) -> None:
    trace = uuid4().hex
    async with people(traced, "ann", "bob") as (ann, bob):
        chat = await ann.chat(bob)
        async with connected(traced, bob.user) as socket:
            answer = await ann.post(
                f"/v1/chats/{chat}/messages",
                json={"kind": "text", "content": "Hi"},
                headers={"traceparent": f"00-{trace}-{PARENT}-01"},
            )
            seq = shown(answer, 201)["seq"]
            await socket.event("message.sent", seq=seq)
    asked, decided, projected, published, delivered = (
        "POST /v1/chats/{chat}/messages",
        "decide send_message",
        "projector message.sent",
        "fanout message.sent",
        "deliver message.sent",
    )
    names = (asked, decided, projected, published, delivered)
    found = await spans(collector, trace, *names)
    parents = {asked: PARENT, decided: found[asked].id, delivered: found[published].id}
    parents |= dict.fromkeys((projected, published), found[decided].id)
    assert {name: found[name].parent for name in names} == parents
    scopes = ("gateway", "decider", "projector", "fanout", "gateway")
    assert [found[name].scope for name in names] == [f"hansard.{scope}" for scope in scopes]
    assert found[asked].attributes["http.response.status_code"] == 201
    assert found[published].attributes["hansard.seq"] == seq
    # The lines of the logs name the trace.
    gateway, decider = process_of(traced, "gateway"), process_of(traced, "decider")
    request = await line(gateway, "request", trace_id=trace)
    command = await line(decider, "command", trace_id=trace)
    assert request["commands"] == [command["command"]]
    for role, event in (("projector", "projected"), ("fanout", "published")):
        told = await line(process_of(traced, role), event, trace_id=trace)
        assert told["command"] == command["command"]


async def test_a_frame_begins_a_trace(traced: HansardServer, collector: Collector) -> None:
    async with people(traced, "ann") as (ann,):
        chat = await ann.chat()
        async with connected(traced, ann.user) as socket:
            await socket.ask("send", chat=chat, kind="text", content="Hi")
            event = await socket.event("message.sent")
    command = await line(process_of(traced, "decider"), "command", command=event["command"])
    found = await spans(
        collector, command["trace_id"], "frame send", "decide send_message", "fanout message.sent"
    )
    assert found["frame send"].parent == ""
    assert found["decide send_message"].parent == found["frame send"].id


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "00-abc-def-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"ff-{'a' * 32}-{PARENT}-01",
        f"00-{'A' * 32}-{PARENT}-01",
        f"00-{'a' * 32}-{PARENT}-01-more",
    ],
)
async def test_without_a_trace_the_record_names_none(server: HansardServer, wrong: str) -> None:
    async with people(server, "ann") as (ann,):
        answer = await ann.put("/v1/me", json={"name": "Ann B"}, headers={"traceparent": wrong})
        shown(answer)
        request = await line(
            process_of(server, "gateway"), "request", request_id=answer.headers["x-request-id"]
        )
        assert "trace_id" not in request


async def test_a_caller_s_trace_is_carried_where_nothing_is_sent(server: HansardServer) -> None:
    trace = uuid4().hex
    async with people(server, "ann") as (ann,):
        header = {"traceparent": f"00-{trace}-{PARENT}-00"}
        shown(await ann.put("/v1/me", json={"name": "Ann B"}, headers=header))
    command = await line(process_of(server, "decider"), "command", trace_id=trace)
    assert command["user"] == ann.user


async def test_a_collector_that_does_not_answer_holds_up_nothing(
    tmp_path: Path, collector: Collector
) -> None:
    collector.held.set()
    server = HansardServer(tmp_path / "data", {**UNLIMITED, **collector.environ}).start()
    async with people(server, "ann") as (ann,):
        chat = await ann.chat()
        assert await asyncio.to_thread(collector.asked.wait, 20)
        async with connected(server, ann.user) as socket:
            # More spans than the queue holds: four and more of each.
            for _ in range(QUEUED):
                await socket.ask("send", chat=chat, kind="text", content="Hi")
    assert server.stop() == 0
    assert collector.spans == []


async def test_a_collector_that_is_not_there_holds_up_nothing(tmp_path: Path) -> None:
    gone = Collector().start()
    gone.stop()
    server = HansardServer(tmp_path / "data", {**UNLIMITED, **gone.environ}).start()
    async with people(server, "ann") as (ann,):
        chat = await ann.chat()
        for _ in range(20):
            await ann.say(chat, "Hi")
    assert server.stop() == 0
