"""How soon a new decider answers for a partition that others have filled."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec
import structlog
import uvloop
from rich import box
from rich.table import Table

from benchmarks import Stop
from benchmarks.newcomer import Answered
from domain import commands as c
from domain.commands import Command
from domain.ids import chat_stream, command_id, user_stream
from projections.objects import open_objects
from workers.core import now, now_millis
from workers.deciders.group import GroupDecider
from workers.log import migrate_log, open_command_log
from workers.log.port import LogError, Tenure

_CHATS, _MEMBERS, _USERS = 200, 20, 400
_GROUP = 500
_START_S = 600.0
#: As large as a sealed text of about 75 characters.
_CONTENT = {"sealed": "k" * 36, "commit": "c" * 64, "nonce": "n" * 16, "box": "b" * 124}


class Takeover(msgspec.Struct):
    with_: str = msgspec.field(name="with")
    found: Answered


class Takeovers(msgspec.Struct):
    """`fill_s` seconds were spent writing `events` events and their snapshots."""

    scenario: str
    events: int
    fill_s: float
    runs: list[Takeover]


def measure(log_url: str, events: int) -> Takeovers:
    """Fill a partition of a log of its own on the server of this URL, then let a new process take
    it in each of the three ways.

    Raises Stop when the log can't be used.
    """
    url = f"{urlsplit(log_url)._replace(path=f'/bench-{uuid4().hex[:8]}', query='').geturl()}"
    url += "?partitions=1"
    with tempfile.TemporaryDirectory(prefix="hansard-benchmark-") as home:
        owner, objects = Path(home, "owner"), Path(home, "objects")
        began = time.monotonic()
        try:
            uvloop.run(_fill(url, owner, objects.as_uri(), events))
        except LogError as error:
            raise Stop(str(error)) from error
        fill_s = round(time.monotonic() - began, 1)
        empty = Path(home, "nothing").as_uri()
        runs: list[Takeover] = []
        for name, kept, place in (
            ("its local cache", True, objects.as_uri()),
            ("a snapshot", False, objects.as_uri()),
            ("neither", False, empty),
        ):
            caches = Path(home, f"newcomer-{len(runs)}")
            if kept:
                shutil.copytree(owner, caches)
            runs.append(Takeover(name, _newcomer(url, caches, place)))
    return Takeovers("takeover", events, fill_s, runs)


def table(found: Takeovers) -> Table:
    view = Table(box=box.SIMPLE_HEAD, title=f"takeover of {found.events:,} events")
    for heading in ("with", "records folded", "taken s", "answered s", "CPU s"):
        view.add_column(heading, justify="left" if heading == "with" else "right")
    for run in found.runs:
        one = run.found
        figures = (one.taken_s, one.answered_s, one.cpu_s)
        view.add_row(run.with_, f"{one.folded:,}", *(f"{figure:.1f}" for figure in figures))
    return view


def _newcomer(url: str, caches: Path, objects: str) -> Answered:
    command = [sys.executable, "-m", "benchmarks.newcomer", url, str(caches), objects]
    done = subprocess.run(
        [*command, str(time.time())], capture_output=True, text=True, timeout=_START_S, check=False
    )
    if done.returncode:
        raise Stop(f"the newcomer ended with {done.returncode}: {done.stderr[-1000:]}")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Answered)


async def _fill(url: str, caches: Path, objects: str, events: int) -> None:
    await migrate_log(url)
    commands = await open_command_log(url, caches, open_objects(objects))

    async def work(tenure: Tenure) -> None:
        decider, written, group = GroupDecider(tenure, now_millis), 0, []
        for command in _commands():
            group.append(command)
            if len(group) == _GROUP or written + len(group) == events:
                verdicts = await decider.decide(group)
                written += sum(len(verdict.records) for verdict in verdicts)
                group.clear()
            if written == events:
                raise _Filled

    with suppress(_Filled), structlog.testing.capture_logs():
        await commands.hold(work)
    await commands.close()


class _Filled(Exception):
    """There are as many events as there shall be."""


def _commands() -> Iterator[Command]:
    """What users of some groups do: messages above all, some reactions and marks. Each writes one
    event."""
    for user in range(_USERS):
        yield _command(user, user_stream(f"user-{user}"), c.PutProfile(name="N" * 100))
    for chat in range(_CHATS):
        members = tuple(f"user-{user}" for user in _members(chat))
        create = c.CreateChat(kind="group", members=members, name="N" * 100)
        yield _command(_members(chat)[0], chat_stream(f"chat-{chat}"), create)
    turn = 1
    while True:
        turn += 1
        for chat in range(_CHATS):
            user, stream = _members(chat)[turn % _MEMBERS], chat_stream(f"chat-{chat}")
            if turn % 10 == 0:
                emoji = str(turn)
                yield _command(user, stream, c.React(message=2, emoji=emoji))
            elif turn % 10 == 5:
                mark = c.MarkRead(chat=f"chat-{chat}", up_to=turn)
                yield _command(user, user_stream(f"user-{user}"), mark)
            else:
                yield _command(user, stream, c.SendMessage(kind="text", content=_CONTENT))


def _members(chat: int) -> list[int]:
    return [(chat * 7 + number * 13) % _USERS for number in range(_MEMBERS)]


def _command(user: int, stream: str, action: c.AnyAction) -> Command:
    key = uuid4().hex
    return Command(
        id=command_id(f"user-{user}", stream, key),
        digest=key * 2,
        stream=stream,
        actor=f"user-{user}",
        time=now(),
        action=action,
    )
