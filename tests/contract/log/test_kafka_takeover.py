"""Taking a Kafka partition over: whoever does knows what was decided, and goes on from there."""

import asyncio
import random
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from domain.commands import Outcome
from tests.contract.log.kafka_writer import KafkaWriter
from tests.contract.log.random_commands import random_commands
from tests.contract.log.scribe import Scribe, naming
from tests.contract.log.seat import ANN, Seat, decide, kept, name_ann
from workers.log import kafka_commands
from workers.log.kafka_tenure import KafkaTenure
from workers.log.kafka_topics import OUTCOMES, USERS
from workers.log.port import Group, LogError, Tenure

SECONDS = 60


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
    await seat.stands_at(await seat.queued())


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
    await seat.stands_at(4)
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
