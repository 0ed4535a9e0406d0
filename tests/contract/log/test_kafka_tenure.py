"""A tenure of a Kafka partition: it alone writes, all or nothing, and nothing stops it for ever."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from domain import account
from domain import commands as c
from domain.commands import Command
from domain.ids import chat_stream, user_stream
from tests.contract.log.scribe import Scribe
from tests.contract.log.seat import ANN, NOW, TIME, Seat, decide, name_ann
from workers.deciders.group import GroupDecider
from workers.log import kafka_tenure
from workers.log.kafka_tenure import MAX_RECORD, KafkaTenure
from workers.log.port import Conflict, Fenced, LogError

SECONDS = 60


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
            await seat.stands_at(place + 1)


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
    await seat.stands_at(3)
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
        await seat.stands_at(1)
        with pytest.raises(Conflict):
            await tenure.commit(spoilt)
        assert await seat.offset() == 1
        await tenure.commit(large._replace(upto=2))
        await seat.stands_at(2)
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
        await seat.stands_at(1)


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
        await seat.stands_at(2)
        await seat.put(name_ann("two", "Anna"))
        await decide(tenure, 1)
        await seat.stands_at(5)
    assert len((await seat.events())[ANN]) == 3


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
