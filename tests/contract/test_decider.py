"""The decider on a real log: groups, receipts, durability, and what goes wrong."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from domain import chat, decider
from domain import commands as c
from domain.commands import Command, Outcome
from domain.decider import Verdict
from domain.ids import chat_stream, user_stream
from domain.instants import from_millis
from domain.state import Part
from workers.deciders.group import MAX_GROUP
from workers.deciders.local import MAX_WAITING, LocalDecider
from workers.deciders.port import Overloaded
from workers.log import open_embedded_log
from workers.log.port import Group, LogBatch, PartRef
from workers.log.sqlite import SqliteLog

NOW = 1_700_000_000_000
ROOM = chat_stream("room")


class Noted:
    """The log, with a note of what the decider hands it and when that stands."""

    def __init__(self, log: SqliteLog) -> None:
        self.log = log
        self.groups: list[Group] = []
        self.committed = 0
        self.committing = asyncio.Event()

    async def recall(
        self, parts: Sequence[PartRef], commands: Sequence[str]
    ) -> tuple[dict[PartRef, Part], dict[str, Outcome]]:
        return await self.log.recall(parts, commands)

    async def commit(self, group: Group) -> None:
        self.groups.append(group)
        self.committing.set()
        await self.log.commit(group)
        self.committed += 1


class Desk:
    """A decider at work, and its replies in the order in which they came."""

    def __init__(self, log: SqliteLog) -> None:
        self.log = log
        self.ledger = Noted(log)
        self.now = NOW
        self.decider = LocalDecider(self.ledger, lambda: self.now)
        self.replies: list[tuple[Command, Verdict | None]] = []
        self._answered = asyncio.Event()

    def submit(self, *commands: Command) -> None:
        for command in commands:
            self.decider.submit(command, self._reply_to(command))

    async def ask(self, *commands: Command) -> list[Verdict | None]:
        """Submit commands together; their verdicts, once all are there."""
        first = len(self.replies)
        self.submit(*commands)
        await self.answered(first + len(commands))
        return [verdict for _, verdict in self.replies[first:]]

    async def answered(self, count: int) -> None:
        """Wait until so many replies have come."""
        async with asyncio.timeout(60):
            while len(self.replies) < count:
                self._answered.clear()
                await self._answered.wait()

    async def outcomes(self, *commands: Command) -> list[Outcome]:
        verdicts = await self.ask(*commands)
        assert None not in verdicts
        return [verdict.outcome for verdict in verdicts if verdict is not None]

    async def events(self, stream: str) -> list[bytes]:
        return await self.log.read_stream(stream, 0, 100_000)

    def _reply_to(self, command: Command) -> Callable[[Verdict | None], None]:
        def reply(verdict: Verdict | None) -> None:
            self.replies.append((command, verdict))
            self._answered.set()

        return reply


@asynccontextmanager
async def at_work(path: Path) -> AsyncIterator[Desk]:
    log = await open_embedded_log(f"sqlite:///{path}")
    assert isinstance(log, SqliteLog)
    desk = Desk(log)
    running = asyncio.create_task(desk.decider.decide())
    yield desk
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await log.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
async def desk(path: Path) -> AsyncIterator[Desk]:
    async with at_work(path) as desk:
        yield desk


def command(
    id: str, stream: str, action: c.AnyAction, *, at: int = NOW, rights: c.Rights = "client"
) -> Command:
    return Command(
        id=id,
        digest=f"digest of {id}",
        stream=stream,
        actor="ann",
        time=from_millis(at),
        action=action,
        rights=rights,
    )


def creating(stream: str = ROOM) -> Command:
    action = c.CreateChat(kind="group", members=("ann", "bob"), name="Room")
    return command(f"create {stream}", stream, action)


def sending(id: str, content: str = "hi", *, stream: str = ROOM, at: int = NOW) -> Command:
    return command(id, stream, c.SendMessage(kind="text", content=content), at=at)


def naming(id: str, name: str | None, *, user: str = "ann") -> Command:
    return command(id, user_stream(user), c.PutProfile(name=name))


async def outcomes_in_log(log: SqliteLog) -> list[Outcome]:
    batch: LogBatch = await log.read("outcomes", 0, 100_000)
    return list(batch.outcomes)


# Groups


async def test_what_is_submitted_together_is_one_transaction(desk: Desk) -> None:
    outcomes = await desk.outcomes(creating(), *(sending(f"s{n}") for n in range(100)))
    assert desk.ledger.committed == 1
    assert [outcome.seq for outcome in outcomes] == list(range(1, 102))
    assert [outcome.ordinal for outcome in outcomes[1:]] == list(range(1, 101))
    assert len(await desk.events(ROOM)) == 101


async def test_what_comes_during_a_commit_is_the_next_group(desk: Desk) -> None:
    await desk.ask(creating())
    desk.ledger.committing.clear()
    desk.submit(sending("first"))
    await desk.ledger.committing.wait()
    assert desk.ledger.committed == 1
    await desk.ask(*(sending(f"s{n}") for n in range(20)))
    assert [len(group.records) for group in desk.ledger.groups] == [1, 1, 20]


async def test_groups_have_a_size(desk: Desk) -> None:
    await desk.ask(creating(), *(sending(f"s{n}") for n in range(MAX_GROUP + 10)))
    assert [len(group.receipts) for group in desk.ledger.groups] == [MAX_GROUP, 11]


async def test_each_is_decided_on_what_those_before_it_leave(desk: Desk) -> None:
    early, created, late = await desk.outcomes(sending("a"), creating(), sending("b"))
    assert (early.status, early.seq) == ("refused", 0)
    assert (created.status, created.seq) == ("accepted", 1)
    assert (late.status, late.seq) == ("accepted", 2)


async def test_replies_come_after_durability_and_in_the_order_of_the_commits(
    desk: Desk,
) -> None:
    seen: list[tuple[int, int]] = []
    done = asyncio.Event()

    def check(number: int) -> Callable[[Verdict | None], None]:
        def reply(verdict: Verdict | None) -> None:
            assert verdict is not None
            # Another connection of the file sees only what is committed.
            with sqlite3.connect(desk.log._recorder.datastore.pool.db_name) as other:
                [(stored,)] = other.execute("SELECT count(*) FROM stored_events").fetchall()
            other.close()
            seen.append((verdict.outcome.seq, stored))
            if number == 29:
                done.set()

        return reply

    await desk.ask(creating())
    for number in range(30):
        desk.decider.submit(sending(f"s{number}"), check(number))
        if number % 7 == 0:
            await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await done.wait()
    assert [seq for seq, _ in seen] == list(range(2, 32))
    assert all(stored >= seq for seq, stored in seen)


# Receipts


async def test_an_id_given_a_hundred_times_is_one_event(path: Path) -> None:
    async with at_work(path) as desk:
        await desk.ask(creating())
        first, *again = await desk.ask(*(sending("once") for _ in range(100)))
    assert first is not None
    assert not first.replayed
    for restart in range(3):
        async with at_work(path) as desk:
            # With and without company in its group.
            again += await desk.ask(sending("once"), *(sending("once") for _ in range(9)))
            again += await desk.ask(sending("once"))
            again += (await desk.ask(sending(f"other {restart}"), sending("once")))[1:]
            assert len(await desk.events(ROOM)) == 3 + restart
    for verdict in again:
        assert verdict is not None
        assert (verdict.outcome, verdict.replayed) == (first.outcome, True)


async def test_refusals_and_what_changes_nothing_are_kept_too(path: Path) -> None:
    commands = [
        naming("registers", "Ann"),
        command("changes nothing", user_stream("ann"), c.PutProfile()),
        naming("refused", None),
    ]
    async with at_work(path) as desk:
        first = await desk.outcomes(*commands)
        assert [outcome.status for outcome in first] == ["accepted", "unchanged", "refused"]
        assert await outcomes_in_log(desk.log) == first[1:]
    async with at_work(path) as desk:
        assert await desk.outcomes(*commands) == first
        assert await outcomes_in_log(desk.log) == first[1:]


@pytest.mark.parametrize("restarted", [False, True])
async def test_an_id_for_something_else_is_refused_and_leaves_nothing(
    path: Path, restarted: bool
) -> None:
    async with at_work(path) as desk:
        [_, first] = await desk.outcomes(creating(), sending("once"))
        if not restarted:
            await assert_reuse_is_refused(desk, first)
    if restarted:
        async with at_work(path) as desk:
            await assert_reuse_is_refused(desk, first)


async def assert_reuse_is_refused(desk: Desk, first: Outcome) -> None:
    other = Command(
        id="once",
        digest="another",
        stream=ROOM,
        actor="ann",
        time=from_millis(NOW),
        action=c.SendMessage(kind="text", content="something else"),
    )
    refused, again = await desk.outcomes(other, sending("once"))
    assert (refused.status, refused.code) == ("refused", "idempotency_key_reused")
    assert again == first
    assert await outcomes_in_log(desk.log) == []
    assert (await desk.log.recall([], ["once"]))[1] == {"once": first}
    assert len(await desk.events(ROOM)) == 2


async def test_marks_leave_no_receipt(desk: Desk) -> None:
    await desk.ask(naming("registers", "Ann"))
    mark = command("mark", user_stream("ann"), c.MarkRead(chat="room", up_to=3))
    first, again = await desk.outcomes(mark, mark)
    assert (first.status, again.status) == ("accepted", "unchanged")
    assert (await desk.log.recall([], ["mark"]))[1] == {}


async def test_what_comes_too_late_can_be_sent_anew(desk: Desk) -> None:
    await desk.ask(creating())
    desk.now = NOW + 60_001
    refused, in_time = await desk.outcomes(sending("late"), sending("in time", at=NOW + 1))
    assert (refused.status, refused.code) == ("refused", "too_late")
    assert in_time.status == "accepted"
    assert (await desk.log.recall([], ["late"]))[1] == {}
    assert await outcomes_in_log(desk.log) == []
    [accepted] = await desk.outcomes(sending("late", at=desk.now))
    assert (accepted.status, accepted.seq) == ("accepted", 3)


@pytest.mark.parametrize("rights", ["operator", "system"])
async def test_import_and_scheduler_are_never_too_late(desk: Desk, rights: c.Rights) -> None:
    old = command("old", ROOM, creating().action, at=NOW - 10**9, rights=rights)
    assert [outcome.status for outcome in await desk.outcomes(old)] == ["accepted"]


# What goes wrong


async def test_a_decision_that_raises_refuses_its_command_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide = chat.decide

    def broken(state: Mapping[str, Part], command: Command, now: str) -> chat.Decision:
        if command.id == "poison":
            raise ZeroDivisionError
        return decide(state, command, now)

    monkeypatch.setattr(chat, "decide", broken)
    outcomes = await desk.outcomes(creating(), sending("a"), sending("poison"), sending("b"))
    assert desk.ledger.committed == 1
    assert [(o.status, o.code) for o in outcomes] == [
        ("accepted", None),
        ("accepted", None),
        ("refused", "internal_error"),
        ("accepted", None),
    ]
    assert outcomes[3].seq == 3
    monkeypatch.undo()
    # It has its receipt like every other.
    assert await desk.outcomes(sending("poison")) == [outcomes[2]]


async def test_a_record_that_is_too_large_is_refused_alone(desk: Desk) -> None:
    huge = "x" * decider.MAX_RECORD_BYTES
    outcomes = await desk.outcomes(creating(), sending("huge", huge), sending("a"))
    assert [o.code for o in outcomes] == [None, "internal_error", None]
    assert [o.seq for o in outcomes] == [1, 1, 2]


async def test_more_than_can_wait_is_turned_away(desk: Desk) -> None:
    desk.submit(creating(), *(sending(f"s{n}") for n in range(MAX_WAITING - 1)))
    assert desk.decider.waiting == MAX_WAITING
    with pytest.raises(Overloaded):
        desk.submit(sending("one too many"))
    await desk.answered(MAX_WAITING)
    [last] = await desk.outcomes(sending("when there is room"))
    assert (last.status, last.seq) == ("accepted", MAX_WAITING + 1)
    assert desk.decider.waiting == 0


@contextmanager
def full_disk(log: SqliteLog) -> Iterator[None]:
    def limit(pages: int) -> None:
        with log._recorder.datastore.get_connection(commit=True) as connection:
            connection.cursor().execute(f"PRAGMA max_page_count = {pages}")

    limit(1)
    yield
    limit(1_000_000)


async def test_a_log_that_fails_is_told_and_the_decider_goes_on(desk: Desk) -> None:
    await desk.ask(creating())
    much = [sending(f"much {n}", "x" * 50_000) for n in range(5)]
    with full_disk(desk.log):
        for _ in range(3):
            assert await desk.ask(*much, naming("a", None)) == [None] * 6
    assert len(await desk.events(ROOM)) == 1
    assert await outcomes_in_log(desk.log) == []
    outcomes = await desk.outcomes(*much, sending("more"))
    assert [(o.status, o.seq) for o in outcomes] == [("accepted", n) for n in range(2, 8)]


async def test_a_stream_that_is_wrong_in_the_log_does_not_stop_the_others(
    desk: Desk, path: Path
) -> None:
    """Its folded state lacks an event, so that whatever it is to write next is there already."""
    other = chat_stream("other")
    await desk.ask(creating(), creating(other))
    with sqlite3.connect(path) as damaging:
        damaging.execute("INSERT INTO stored_events VALUES (?, 2, 'x', x'00')", (ROOM,))
    damaging.close()
    verdicts = await desk.ask(
        sending("a", stream=other), sending("b"), sending("c", stream=other), naming("d", "Ann")
    )
    assert [verdict and verdict.outcome.code for verdict in verdicts] == [
        None,
        "internal_error",
        None,
        None,
    ]
    assert len(await desk.events(other)) == 3


# The end


async def stop_by_cancelling(_: Desk, running: asyncio.Task[None]) -> None:
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()


async def stop_by_draining(desk: Desk, running: asyncio.Task[None]) -> None:
    await desk.decider.drain()
    assert len(desk.replies) == 2_001
    await stop_by_cancelling(desk, running)


@pytest.mark.parametrize("stop", [stop_by_cancelling, stop_by_draining])
@pytest.mark.parametrize("turns", [0, 1, 2, 3, 10])
async def test_what_was_submitted_is_answered_before_it_ends(
    path: Path, stop: Callable[[Desk, asyncio.Task[None]], Awaitable[None]], turns: int
) -> None:
    log = await open_embedded_log(f"sqlite:///{path}")
    assert isinstance(log, SqliteLog)
    desk = Desk(log)
    running = asyncio.create_task(desk.decider.decide())
    await asyncio.sleep(0)
    commands = [creating(), *(sending(f"s{n}") for n in range(2_000))]
    desk.submit(*commands)
    for _ in range(turns):
        await asyncio.sleep(0)
    await stop(desk, running)
    assert [command for command, _ in desk.replies] == commands
    seqs = [verdict.outcome.seq for _, verdict in desk.replies if verdict is not None]
    assert seqs == list(range(1, 2_002))
    # No group was decided on a state that another was about to change.
    assert len(desk.ledger.groups) == desk.ledger.committed
    await log.close()
