"""What only a tenure of a Kafka partition must do: be taken over whole, and write alone."""

import asyncio
import random
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from domain import account
from domain import commands as c
from domain.commands import Command, Outcome
from domain.ids import chat_stream, user_stream
from tests.contract.log.kafka_writer import KafkaWriter
from tests.contract.log.random_commands import random_commands
from tests.contract.log.scribe import Scribe, naming
from tests.contract.log.seat import NOW, TIME, Seat, decide, kept, seated
from tests.servers.process import Server
from workers.deciders.group import GroupDecider
from workers.log import kafka_commands, kafka_tenure
from workers.log.kafka_tenure import MAX_RECORD, KafkaTenure
from workers.log.kafka_topics import OUTCOMES, USERS
from workers.log.port import Conflict, Fenced, Group, LogError, Tenure

SECONDS = 60
ANN = user_stream("ann")


@pytest.fixture
async def seat(kafka_server: Server, tmp_path: Path) -> AsyncIterator[Seat]:
    async with seated(f"{kafka_server.url_for(uuid4().hex)}?partitions=1", tmp_path) as seat:
        yield seat


def name_ann(id: str, name: str | None = "Ann") -> Command:
    return Command(
        id=id,
        digest=f"digest of {id}",
        stream=ANN,
        actor="ann",
        time=TIME,
        action=c.PutProfile(name=name),
    )


def before(
    tenure: KafkaTenure, step: str, do: Callable[[], Awaitable[object]], after: bool = False
) -> None:
    """Have something done before each step of this kind of the tenure's producer, or after it."""
    producer: Any = tenure._producer
    take_step = getattr(producer, step)

    async def taken(*arguments: Any, **named: Any) -> Any:
        if not after:
            await do()
        done = await take_step(*arguments, **named)
        if after:
            await do()
        return done

    setattr(producer, step, taken)


async def doom() -> None:
    """Whatever this task waits for next, it waits in vain."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


async def die() -> None:
    await doom()
    await asyncio.sleep(0)


class Truth:
    """Everything that a tenure has committed, as the decider handed it over."""

    def __init__(self, tenure: KafkaTenure) -> None:
        self.parts: dict[tuple[str, str], Any] = {}
        self.receipts: dict[str, Outcome] = {}
        self._commit = tenure.commit
        tenure.commit = self.commit  # type: ignore[method-assign]

    async def commit(self, group: Group) -> None:
        await self._commit(group)
        self.parts |= group.changes
        self.receipts |= {outcome.command: outcome for outcome in group.receipts}


def spoil_last_hash(cache: Path) -> None:
    with closing(sqlite3.connect(cache)) as db, db:
        db.execute("UPDATE places SET hash = 'another' WHERE kind = 'chats'")
        # What is wrong must not be seen by anybody.
        db.execute('UPDATE parts SET state = \'["head",7,"",""]\' WHERE part = \'head\'')


def other_layout(cache: Path) -> None:
    with closing(sqlite3.connect(cache)) as db:
        db.executescript("DROP TABLE places; PRAGMA user_version=99")


def no_database(cache: Path) -> None:
    cache.write_bytes(b"something else " * 1000)


def torn(cache: Path) -> None:
    cache.write_bytes(cache.read_bytes()[:-5000])


def holes(cache: Path) -> None:
    whole = bytearray(cache.read_bytes())
    whole[4096:] = bytes(len(whole) - 4096)
    cache.write_bytes(whole)


def nothing_wrong(cache: Path) -> None:
    del cache


def no_file(cache: Path) -> None:
    cache.unlink()


@pytest.mark.parametrize("seed", range(3))
async def test_whoever_takes_over_knows_what_was_decided(seat: Seat, seed: int) -> None:
    dice = random.Random(seed)
    commands = random_commands(seed, 240)
    await seat.put(*commands)
    lagging = seat.folder / "lagging.db"
    async with asyncio.timeout(SECONDS), seat.taken() as tenure:
        truth = Truth(tenure)
        await decide(tenure, 120, lambda: dice.randrange(1, 20))
        await tenure.recall([], ["any"])
        with closing(sqlite3.connect(seat.cache)) as db:
            db.execute("VACUUM INTO ?", (str(lagging),))
        await decide(tenure, 120, lambda: dice.randrange(1, 20))
    whole = kept(seat.cache)
    assert len(truth.receipts) > 100

    scratch = seat.folder / "scratch.db"
    for source, spoil in [
        (seat.cache, nothing_wrong),
        (seat.cache, no_file),
        (lagging, nothing_wrong),
        (seat.cache, spoil_last_hash),
        (lagging, spoil_last_hash),
        (seat.cache, other_layout),
        (seat.cache, no_database),
        (seat.cache, torn),
        (seat.cache, holes),
    ]:
        shutil.copy(source, scratch)
        spoil(scratch)
        async with asyncio.timeout(SECONDS), seat.taken(scratch) as tenure:
            parts, receipts = await tenure.recall(list(truth.parts), list(truth.receipts))
        # Compared so that what differs is told, and not all.
        differences = [
            *(ref for ref, part in truth.parts.items() if parts.get(ref) != part),
            *(id for id, outcome in truth.receipts.items() if receipts.get(id) != outcome),
            *sorted(kept(scratch) ^ whole),
        ]
        assert differences == [], spoil

    # What is decided next goes on where the log ends.
    await seat.put(*random_commands(seed + 100, 40))
    async with asyncio.timeout(SECONDS), seat.taken(scratch) as tenure:
        await decide(tenure, 40)
    assert await seat.events()
    assert await seat.offset() == await seat.queued()


async def test_a_repeated_command_gets_its_first_outcome_from_whoever_is_asked(seat: Seat) -> None:
    first, refused = name_ann("first"), name_ann("refused", None)
    await seat.put(first, refused)
    async with asyncio.timeout(SECONDS), seat.taken() as tenure:
        outcomes = await decide(tenure, 2)
        await seat.put(first, refused)
        assert await decide(tenure, 2) == outcomes
    assert [outcome.status for outcome in outcomes] == ["accepted", "refused"]
    for cache in (seat.cache, seat.folder / "none.db"):
        await seat.put(refused, first, msgspec.structs.replace(first, digest="another"))
        async with asyncio.timeout(SECONDS), seat.taken(cache) as tenure:
            # What the one before repeated last has moved no offset: it comes again.
            again = await decide(tenure, await seat.queued() - (await seat.offset() or 0))
        assert again[-3:-1] == [outcomes[1], outcomes[0]]
        assert again[-1].code == "idempotency_key_reused"
    assert len((await seat.events())[ANN]) == 1


async def test_a_command_twice_in_a_group_is_decided_once(seat: Seat) -> None:
    await seat.put(name_ann("one"), name_ann("one"), name_ann("two", "Anna"), name_ann("one"))
    async with asyncio.timeout(SECONDS), seat.taken() as tenure:
        one, *others = await decide(tenure, 4)
    assert others == [one, others[1], one]
    assert [event["data"]["name"] for event in (await seat.events())[ANN]] == ["Ann", "Anna"]


async def test_an_old_tenure_commits_nothing_and_moves_nothing(seat: Seat) -> None:
    await seat.put(name_ann("one"), name_ann("two", "Anna"))
    async with asyncio.timeout(SECONDS), seat.taken() as old:
        await decide(old, 1, lambda: 1)
        place = await seat.offset() or 0
        asked = await old.next(1)
        async with seat.taken(seat.folder / "new.db") as new:
            decider = GroupDecider(old, lambda: NOW)
            with pytest.raises(Fenced):
                await decider.decide([one.command for one in asked], [one.place for one in asked])
            assert await seat.offset() == place
            assert len((await seat.events())[ANN]) == 1
            # Nor does it later on.
            with pytest.raises(LogError):
                await decider.decide([one.command for one in asked], [one.place for one in asked])
            assert [outcome.seq for outcome in await decide(new, 1)] == [2]
            assert await seat.offset() == place + 1


async def test_an_old_tenure_cannot_end_what_it_began(seat: Seat) -> None:
    await seat.put(name_ann("one"))
    async with asyncio.timeout(SECONDS), seat.taken() as old:
        asked = await old.next(1)
        taking: list[KafkaTenure] = []

        async def sleep() -> None:
            taking.append(await seat.take(seat.folder / "new.db"))

        before(old, "commit_transaction", sleep)
        with pytest.raises(Fenced):
            await GroupDecider(old, lambda: NOW).decide([asked[0].command], [asked[0].place])
        [new] = taking
        assert await seat.offset() is None
        assert await seat.events() == {}
        assert [outcome.seq for outcome in await decide(new, 1)] == [1]
        await new.close()


STEPS = ("begin_transaction", "send", "send_offsets_to_transaction", "commit_transaction")


@pytest.mark.parametrize("moment", ["before", "during", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_commit_that_dies_leaves_all_or_nothing(seat: Seat, step: str, moment: str) -> None:
    await seat.put(name_ann("one"), name_ann("none", None), name_ann("two", "Anna"))
    async with asyncio.timeout(SECONDS):
        old = await seat.take()
        asked = await old.next(3)
        before(old, step, doom if moment == "during" else die, moment == "after")
        commands, places = [one.command for one in asked], [one.place for one in asked]
        dead = asyncio.create_task(GroupDecider(old, lambda: NOW).decide(commands, places))
        await asyncio.wait([dead])
        assert dead.cancelled()
        async with seat.taken(seat.folder / "new.db") as new:
            await seat.put(*commands)
            places_left = await seat.queued() - (await seat.offset() or 0)
            outcomes = await decide(new, places_left)
            assert {(one.command, one.status, one.seq) for one in outcomes} == {
                ("one", "accepted", 1),
                ("none", "refused", 1),
                ("two", "accepted", 2),
            }
        await old.close()
    events = (await seat.events())[ANN]
    assert [event["commandid"] for event in events] == ["one", "two"]


async def test_without_an_offset_it_begins_with_the_earliest_command(seat: Seat) -> None:
    commands = [name_ann("one"), name_ann("none", None), name_ann("two", "Anna")]
    await seat.put(*commands)
    # Decided before, by someone whose group's offsets are lost.
    scribe = Scribe()
    async with KafkaWriter(seat.place, 1) as writer:
        group = scribe.group(("ann", "Ann"))
        [record], [receipt] = group.records, group.receipts
        await writer.commit(group)
    again = msgspec.structs.replace(
        naming(1, "ann", "Ann"), id=receipt.command, digest=receipt.digest
    )
    await seat.put(again)
    async with asyncio.timeout(SECONDS), seat.taken() as tenure:
        assert await seat.offset() is None
        outcomes = await decide(tenure, 4)
        assert [outcome.seq for outcome in outcomes[:3]] == [2, 2, 3]
        assert outcomes[3] == receipt
    assert await seat.offset() == 4
    assert len((await seat.events())[ANN]) == record.envelope.seq + 2


async def test_commands_that_were_deleted_undecided_do_not_stop_it(seat: Seat) -> None:
    await seat.put(name_ann("one"), name_ann("two"), name_ann("three"))
    async with asyncio.timeout(SECONDS), seat.taken() as tenure:
        await decide(tenure, 1, lambda: 1)
    admin = AIOKafkaAdminClient(bootstrap_servers=seat.place.servers)
    await admin.start()
    try:
        await admin.delete_records({seat.commands: RecordsToDelete(before_offset=2)})
    finally:
        await admin.close()
    async with asyncio.timeout(SECONDS), seat.taken() as tenure:
        assert [one.command.id for one in await tenure.next(10)] == ["three"]


HEADERS = [("id", b"garbage"), ("digest", b"d"), ("reply-to", b"mailbox 7")]


@pytest.mark.parametrize(
    ("value", "headers", "key"),
    [
        (b"no JSON", HEADERS, ANN.encode()),
        (b"no JSON", [], None),
        (b"", HEADERS, b""),
        (b"\xff\xfe", [("id", b"\xff"), ("reply-to", b"\xff x")], b"\xff\xff"),
        (b'{"id": 7}', HEADERS, ANN.encode()),
        (b"no JSON", [("id", b"\xff" * 300_000), ("digest", b"d" * 100_000)], b"\xff" * 400_000),
        (b"no JSON", [("reply-to", b"m" * 900_000 + b" 7")], None),
        (
            msgspec.json.encode(msgspec.structs.replace(name_ann("i" * 500_000), stream="users/x")),
            [],
            None,
        ),
        (msgspec.json.encode(msgspec.structs.replace(name_ann("x"), stream="")), [], None),
        (msgspec.json.encode(name_ann("x", "large" * 200_500)), [], None),
    ],
    ids=["garbage", "bare", "empty", "binary", "form", "long", "mailbox", "id", "nowhere", "large"],
)
async def test_what_is_no_command_is_refused_and_stops_nothing(
    seat: Seat,
    value: bytes,
    headers: list[tuple[str, bytes]],
    key: bytes | None,
) -> None:
    await seat.put(name_ann("one"))
    await seat.put_raw(value, headers, key)
    await seat.put(name_ann("two", "Anna"))
    async with asyncio.timeout(SECONDS), seat.taken() as tenure:
        one, garbage, two = await decide(tenure, 3)
        assert (garbage.status, garbage.code) == ("refused", "internal_error")
        assert (one.seq, two.seq) == (1, 2)
    assert await seat.offset() == 3
    # Its receipt answers whoever asks again.
    async with asyncio.timeout(SECONDS), seat.taken(seat.folder / "none.db") as tenure:
        _, receipts = await tenure.recall([], [garbage.command])
        assert receipts == {garbage.command: garbage}


async def test_a_decision_that_raises_refuses_its_command_alone(
    seat: Seat, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide_account = account.decide

    def poisoned(state: Any, command: Command, now: str) -> Any:
        if command.id == "poison":
            raise ZeroDivisionError
        return decide_account(state, command, now)

    monkeypatch.setattr(account, "decide", poisoned)
    await seat.put(name_ann("one"), name_ann("poison", "Nobody"), name_ann("two", "Anna"))
    async with asyncio.timeout(SECONDS), seat.taken() as tenure:
        outcomes = await decide(tenure, 3)
    assert [outcome.code for outcome in outcomes] == [None, "internal_error", None]
    assert [event["seq"] for event in (await seat.events())[ANN]] == [1, 2]


@pytest.mark.parametrize("size", [1_048_560, 2_500_000])
async def test_a_group_that_the_log_does_not_take_leaves_nothing(seat: Seat, size: int) -> None:
    """As the decider's own limit is lower, this takes a mistake in it."""
    scribe = Scribe()
    good, large = scribe.group(("ann", "Ann")), scribe.group(("bob", "B"), ("ann", "Anna"))
    [first, second] = large.records
    spoilt = large._replace(records=[first._replace(value=b"x" * size), second], upto=2)
    async with asyncio.timeout(SECONDS), seat.taken() as tenure:
        await tenure.commit(good._replace(upto=1))
        with pytest.raises(Conflict):
            await tenure.commit(spoilt)
        assert await seat.offset() == 1
        await tenure.commit(large._replace(upto=2))
        assert await seat.offset() == 2
    assert {stream: len(events) for stream, events in (await seat.events()).items()} == {
        ANN: 2,
        user_stream("bob"): 1,
    }


async def test_what_is_not_turned_away_here_the_broker_takes(seat: Seat) -> None:
    scribe = Scribe()
    group = scribe.group(("ann", "Ann"))
    [record] = group.records
    headers: list[tuple[str, bytes | None]] = [*kafka_tenure._EVENT_HEADERS]
    size = DefaultRecordBatchBuilder.estimate_size_in_bytes(ANN.encode(), b"x" * 1_000_000, headers)
    room = MAX_RECORD - (size - 1_000_000)
    async with asyncio.timeout(SECONDS), seat.taken() as tenure:
        with pytest.raises(Conflict):
            await tenure.commit(
                group._replace(records=[record._replace(value=b"x" * (room + 1))], upto=1)
            )
        await tenure.commit(group._replace(records=[record._replace(value=b"x" * room)], upto=1))
        assert await seat.offset() == 1


async def test_a_group_with_nothing_to_write_is_answered(seat: Seat) -> None:
    room = chat_stream("room")
    marks = [
        Command(
            id=f"mark {n}",
            digest="mark",
            stream=ANN,
            actor="ann",
            time=TIME,
            action=c.MarkRead(chat=room, up_to=3),
        )
        for n in range(3)
    ]
    await seat.put(name_ann("one"), *marks)
    async with asyncio.timeout(SECONDS), seat.taken() as tenure:
        await decide(tenure, 2)
        # It leaves no receipt, and nothing that its offset could be committed with.
        assert [one.status for one in await decide(tenure, 2)] == ["unchanged"] * 2
        assert await seat.offset() == 2
        await seat.put(name_ann("two", "Anna"))
        await decide(tenure, 1)
        assert await seat.offset() == 5
    assert len((await seat.events())[ANN]) == 3


async def test_what_is_no_event_does_not_stop_a_takeover(seat: Seat) -> None:
    await seat.put(name_ann("one"))
    async with asyncio.timeout(SECONDS), seat.taken() as tenure:
        await decide(tenure, 1)
    async with KafkaWriter(seat.place, 1) as writer:
        for value in (b"", b"no JSON", b'{"seq": 1}'):
            await writer.commit_raw(USERS, ANN, value)
            await writer.commit_raw(OUTCOMES, ANN, value)
    await seat.put(name_ann("two", "Anna"))
    for cache in (seat.cache, seat.folder / "none.db", seat.cache):
        async with asyncio.timeout(SECONDS), seat.taken(cache) as tenure:
            parts, _ = await tenure.recall([(ANN, "head")], [])
            assert parts[ANN, "head"].seq == 1  # type: ignore[union-attr]


async def test_a_cache_of_a_place_where_the_log_has_a_marker_is_thrown_away(seat: Seat) -> None:
    """As after a loss of the log's end, which others have written over."""
    scribe = Scribe()
    async with KafkaWriter(seat.place, 1) as writer:
        await writer.commit(scribe.group(("ann", "Ann")))
        await writer.begin(scribe.group(("ann", "Anna")))
        await writer.abort()
    async with asyncio.timeout(SECONDS):
        async with seat.taken():
            pass
        whole = kept(seat.cache)
        for offset in (4, 5, 1000):
            with closing(sqlite3.connect(seat.cache)) as db, db:
                db.execute("UPDATE places SET last = ?", (offset,))
                db.execute('UPDATE parts SET state = \'["head",7,"",""]\' WHERE part = \'head\'')
            async with seat.taken():
                pass
            assert kept(seat.cache) ^ whole == set()


async def test_a_cache_that_fails_later_ends_the_tenure_and_is_thrown_away(seat: Seat) -> None:
    await seat.put(name_ann("one"), name_ann("two", "Anna"))
    async with asyncio.timeout(SECONDS):
        async with seat.taken() as tenure:
            await decide(tenure, 1, lambda: 1)
            await tenure.recall([], ["any"])
            with closing(sqlite3.connect(seat.cache)) as db, db:
                db.execute("UPDATE parts SET state = '[\"no\"]'")
            with pytest.raises(LogError, match="cache"):
                await decide(tenure, 1)
        async with seat.taken() as tenure:
            assert [outcome.seq for outcome in await decide(tenure, 1)] == [2]


async def test_who_is_not_confirmed_starts_no_producer(seat: Seat) -> None:
    await seat.put(name_ann("one"))
    async with asyncio.timeout(SECONDS), seat.taken() as rightful:
        with pytest.raises(LogError, match="another process"):
            await seat.take(seat.folder / "woken.db", lambda: False)
        # It was not fenced.
        assert [outcome.seq for outcome in await decide(rightful, 1)] == [1]


async def test_a_log_that_does_not_answer_ends_the_tenure(
    seat: Seat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_tenure, "PATIENCE", 0.5)
    await seat.put(name_ann("one"))
    async with asyncio.timeout(SECONDS), seat.taken() as tenure:
        before(tenure, "send_offsets_to_transaction", asyncio.Event().wait)
        with pytest.raises(LogError, match="TimeoutError"):
            await decide(tenure, 1)
    async with asyncio.timeout(SECONDS), seat.taken() as tenure:
        assert [outcome.seq for outcome in await decide(tenure, 1)] == [1]


async def test_who_fails_leaves_the_group_and_joins_anew(seat: Seat) -> None:
    members: list[list[str]] = []
    again = asyncio.Event()

    async def work(tenure: Tenure) -> None:
        members.append(await seat.members())
        if len(members) == 1:
            raise LogError("commit: TimeoutError")
        again.set()
        await tenure.next(1)

    async with asyncio.timeout(SECONDS):
        holding = asyncio.create_task(seat.queue.hold(work))
        await again.wait()
        holding.cancel()
        await asyncio.wait([holding])
        [first], [second] = members
        assert first != second
        assert await seat.members() == []


async def test_what_the_group_gave_before_a_sleep_is_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Letting go of one partition takes long, or the process sleeps over it: meanwhile the group
    may have given the next one to another."""
    now = 0.0
    monkeypatch.setattr(kafka_commands, "time", SimpleNamespace(monotonic=lambda: now))
    asked: dict[int, bool] = {}
    working = asyncio.Event()

    async def take(partition: int, confirmed: Callable[[], bool]) -> KafkaTenure:
        asked[partition] = confirmed()
        if not asked[partition]:
            raise LogError("not confirmed")
        working.set()
        try:
            await asyncio.Event().wait()
        finally:
            nonlocal now
            now += kafka_commands.CONFIRMED_WITHIN
        raise AssertionError

    async def looks() -> AsyncIterator[set[int]]:
        yield {0}
        await working.wait()
        yield {1}
        await asyncio.Event().wait()

    async def work(_: Tenure) -> None:
        await asyncio.Event().wait()

    holdings = kafka_commands._Holdings(take, work)
    async with asyncio.timeout(SECONDS):
        with pytest.raises(LogError, match="not confirmed"):
            await holdings.follow(looks())
    assert asked == {0: True, 1: False}
