"""What is told of groups of commands, decided on a real log."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog
from prometheus_client import CollectorRegistry

from domain import commands as c
from domain import envelope as wire
from domain.commands import Command
from domain.ids import chat_stream, user_stream
from domain.instants import from_millis
from workers.deciders.group import GroupDecider
from workers.deciders.observer import Observer
from workers.log import open_embedded_log
from workers.log.port import EmbeddedLog, LogError
from workers.metrics import Metrics

NOW = 1_700_000_000_000
ROOM = chat_stream("room")
TRACED = f"00-{'a' * 32}-{'b' * 16}-01"


class Watched:
    """A decider, and its measurements."""

    def __init__(self, log: EmbeddedLog) -> None:
        self.log = log
        self.registry = CollectorRegistry()
        observer = Observer(Metrics(self.registry), lambda: NOW)
        self.decider = GroupDecider(log, lambda: NOW, observer)

    async def decide(self, *commands: Command) -> list[str]:
        return [verdict.outcome.status for verdict in await self.decider.decide(commands)]

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"hansard_{name}", labels)


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    log = await open_embedded_log(f"sqlite:///{tmp_path / 'log.db'}")
    yield Watched(log)
    await log.close()


def command(id: str, action: c.AnyAction, stream: str = ROOM, **fields: str) -> Command:
    given = {"time": from_millis(NOW - 2000), "actor": "ann", **fields}
    return Command(id=id, digest=f"digest of {id}", stream=stream, action=action, **given)  # type: ignore[arg-type]


CREATE = command("make", c.CreateChat(kind="group", members=("ann",), name="Room"))
SEND = command("send", c.SendMessage(kind="text", content="hi"))


async def test_commands_are_counted_by_kind_and_outcome(watched: Watched) -> None:
    stranger = command("no", c.ChangeChat(name="x"), actor="bob")
    with structlog.testing.capture_logs() as told:
        statuses = await watched.decide(CREATE, SEND, SEND, stranger)
    assert statuses == ["accepted", "accepted", "accepted", "refused"]
    for kind, outcome in (
        ("create_chat", "accepted"),
        ("send_message", "accepted"),
        ("send_message", "replayed"),
        ("change_chat", "refused"),
    ):
        assert watched.value("commands_total", kind=kind, outcome=outcome) == 1, (kind, outcome)
    code = told[-1]["code"]
    assert watched.value("commands_refused_total", code=code) == 1
    assert watched.value("group_commands_sum") == 4
    assert watched.value("commit_seconds_count") == 1
    assert watched.value("command_age_seconds_sum") == 2
    assert [line["command"] for line in told] == ["make", "send", "send", "no"]
    assert {line["event"] for line in told} == {"command"}
    assert "hi" not in str(told)
    assert "Room" not in str(told)


async def test_an_import_s_commands_are_told_at_debug(watched: Watched) -> None:
    old = command("make", CREATE.action, time=from_millis(0), rights="operator")
    with structlog.testing.capture_logs() as told:
        await watched.decide(old)
    assert [line["log_level"] for line in told] == ["debug"]
    # Nor does their age count.
    assert watched.value("command_age_seconds_count") == 0


async def test_a_log_that_fails_is_counted_and_nothing_is_told(watched: Watched) -> None:
    await watched.log.close()
    with structlog.testing.capture_logs() as told, pytest.raises((LogError, RuntimeError)):
        await watched.decide(CREATE)
    assert told == []
    assert watched.value("commit_failures_total") == 1
    assert watched.value("group_seconds_count") == 0


@pytest.mark.parametrize("time", ["", "nonsense", "9999-99-99T99:99:99.999Z"])
async def test_a_time_that_is_none_stops_nothing(watched: Watched, time: str) -> None:
    wrong = command("wrong", c.PutProfile(name="Ann"), user_stream("ann"), time=time)
    await watched.decide(wrong)
    assert await watched.decide(CREATE, SEND) == ["accepted", "accepted"]


async def test_the_record_names_a_trace_where_there_is_one(watched: Watched) -> None:
    traced = command("traced", SEND.action, traceparent=TRACED)
    with structlog.testing.capture_logs() as told:
        await watched.decide(CREATE, SEND, traced)
    records = await watched.log.read_stream(ROOM, 0, 10)
    assert [wire.decode(record).traceparent for record in records] == [None, None, TRACED]
    assert [b"traceparent" in record for record in records] == [False, False, True]
    assert [line.get("trace_id") for line in told] == [None, None, "a" * 32]
