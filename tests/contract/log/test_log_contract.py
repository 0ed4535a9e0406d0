"""What every log must do, for those who read it and for the decider that writes it."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from domain.envelope import decode
from domain.ids import user_stream
from tests.contract.log.scribe import Scribe, batches, contents, streams
from workers.log import EmbeddedLog, open_log
from workers.log.port import Conflict, Group, LogBatch

#: Text that any encoding on the way could spoil.
WORDS = [
    "Ann",
    'quotes " and \\',
    "a\nline\u2028end",
    "nul \x00 here",
    "żółć 漢字 👩‍👩‍👧",
    "1",
    "null",
    "",
]


async def fill(log: EmbeddedLog, scribe: Scribe, groups: int = 12) -> None:
    for number in range(groups):
        word = WORDS[number % len(WORDS)]
        await log.commit(scribe.group(("ann", word), (f"u{number % 5}", word), ("bob", None)))


async def test_what_is_committed_is_read_back(log: EmbeddedLog) -> None:
    scribe = Scribe()
    await fill(log, scribe)
    written: dict[str, list[object]] = {}
    for record in scribe.records:
        written.setdefault(record.envelope.stream, []).append(record.envelope)
    assert await streams(log) == written


async def test_outcomes_without_events_are_read_back(log: EmbeddedLog) -> None:
    scribe = Scribe()
    groups = [scribe.group((f"u{n}", "Name"), (f"v{n}", None)) for n in range(7)]
    for group in groups:
        await log.commit(group)
    read = [
        outcome
        for partition in log.partitions
        for batch in await batches(log, partition, 3)
        for outcome in batch.outcomes
    ]
    assert sorted(read, key=lambda o: o.stream) == [o for g in groups for o in g.outcomes]
    assert {outcome.status for outcome in read} == {"refused"}


@pytest.mark.parametrize("limit", [1, 2, 7, 1000])
async def test_a_reader_gets_at_most_its_limit_and_positions_only_rise(
    log: EmbeddedLog, limit: int
) -> None:
    scribe = Scribe()
    await fill(log, scribe)
    count = 0
    for partition in log.partitions:
        end = 0
        for batch in await batches(log, partition, limit):
            assert batch.partition == partition
            assert 1 <= len(batch.events) + len(batch.outcomes) <= limit
            assert batch.end > end
            end = batch.end
            count += len(batch.events)
        assert end == log.end(partition)
        assert await log.read(partition, end, limit) == LogBatch(partition, end)
    assert count == len(scribe.records)


async def test_ends_rise_with_what_is_committed(log: EmbeddedLog) -> None:
    scribe = Scribe()
    ends = {partition: log.end(partition) for partition in log.partitions}
    for number in range(5):
        await log.commit(scribe.group(("ann", str(number)), ("bob", None)))
        now = {partition: log.end(partition) for partition in log.partitions}
        assert all(now[partition] >= ends[partition] for partition in ends)
        assert sum(now[partition] > ends[partition] for partition in ends) == 2
        ends = now


async def test_waiting_ends_with_the_next_record(log: EmbeddedLog) -> None:
    scribe = Scribe()
    await fill(log, scribe, 2)
    waiting = {
        asyncio.create_task(log.wait(partition, log.end(partition))): partition
        for partition in log.partitions
    }
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    ends = {partition: log.end(partition) for partition in log.partitions}
    await log.commit(scribe.group(("ann", "Anna"), ("bob", None)))
    grown = {partition for partition in log.partitions if log.end(partition) > ends[partition]}
    async with asyncio.timeout(30):
        for task, partition in waiting.items():
            if partition in grown:
                await task
    for task, partition in waiting.items():
        assert task.done() == (partition in grown)
        task.cancel()


async def test_who_waits_for_what_is_there_does_not_wait(log: EmbeddedLog) -> None:
    await fill(log, Scribe())
    async with asyncio.timeout(30):
        for partition in log.partitions:
            if log.end(partition):
                await log.wait(partition, log.end(partition) - 1)


async def test_a_log_opened_anew_reads_as_before(url: str) -> None:
    log = await open_log(url)
    scribe = Scribe()
    await fill(log, scribe)
    before = await contents(log), {p: log.end(p) for p in log.partitions}, log.identity
    await log.close()
    log = await open_log(url)
    assert (await contents(log), {p: log.end(p) for p in log.partitions}, log.identity) == before
    # Some of it is old now, and some is new.
    await log.commit(scribe.group(("ann", "Anna"), ("bob", None)))
    after = await contents(log)
    assert [batch for batch in before[0] if batch not in after] == []
    assert len(after) == len(before[0]) + 2
    await log.close()


async def test_each_log_is_another(new_url: Callable[[], str]) -> None:
    logs = [await open_log(new_url()) for _ in range(2)]
    assert logs[0].identity != logs[1].identity
    for log in logs:
        await log.close()


async def test_a_stream_is_read_byte_for_byte(log: EmbeddedLog) -> None:
    scribe = Scribe()
    await fill(log, scribe)
    stream = user_stream("ann")
    values = [record.value for record in scribe.records if record.envelope.stream == stream]
    assert await log.read_stream(stream, 0, 1000) == values
    assert await log.read_stream(stream, 3, 4) == values[3:7]
    assert await log.read_stream(stream, len(values), 4) == []
    assert await log.read_stream(user_stream("nobody"), 0, 4) == []
    assert [decode(value).seq for value in values] == list(range(1, len(values) + 1))


@pytest.mark.parametrize("reopened", [False, True])
async def test_parts_and_receipts_are_recalled(url: str, reopened: bool) -> None:
    log = await open_log(url)
    scribe = Scribe()
    groups = [scribe.group((f"u{n % 3}", f"Name {n}"), (f"v{n}", None)) for n in range(9)]
    for group in groups:
        await log.commit(group)
    if reopened:
        await log.close()
        log = await open_log(url)
    receipts = {outcome.command: outcome for group in groups for outcome in group.receipts}
    unknown = [(user_stream("nobody"), "head"), (user_stream("u0"), "no-such-part")]
    assert await log.recall([*scribe.parts, *unknown], [*receipts, "other"]) == (
        scribe.parts,
        receipts,
    )
    some = next(iter(scribe.parts))
    assert await log.recall([some], []) == ({some: scribe.parts[some]}, {})
    assert await log.recall([], ["command-3"]) == ({}, {"command-3": receipts["command-3"]})
    assert await log.recall([], []) == ({}, {})
    await log.close()


def with_receipt_of(first: Group, second: Group) -> Group:
    receipt = msgspec.structs.replace(second.receipts[-1], command=first.receipts[0].command)
    return second._replace(receipts=[*second.receipts[:-1], receipt])


def with_event_of(first: Group, second: Group) -> Group:
    return second._replace(records=[*second.records, first.records[0]])


@pytest.mark.parametrize("spoil", [with_receipt_of, with_event_of])
async def test_a_group_that_repeats_something_leaves_nothing(
    log: EmbeddedLog, spoil: Callable[[Group, Group], Group]
) -> None:
    scribe = Scribe()
    first = scribe.group(("ann", "Ann"), ("bob", "Bob"), ("cid", None))
    await log.commit(first)
    refs, ids = list(scribe.parts), [f"command-{n}" for n in range(9)]
    before = await contents(log), await log.recall(refs, ids)
    ends = {partition: log.end(partition) for partition in log.partitions}
    second = scribe.group(("ann", "Anna"), ("dot", "Dot"), ("cid", None))
    with pytest.raises(Conflict):
        await log.commit(spoil(first, second))
    assert (await contents(log), await log.recall(refs, ids)) == before
    assert {partition: log.end(partition) for partition in log.partitions} == ends
    assert await log.recall(list(scribe.parts), []) == (before[1][0], {})
    # As it should have been, it is taken.
    await log.commit(second)
    assert await log.recall(list(scribe.parts), []) == (scribe.parts, {})
    assert len((await streams(log))[user_stream("ann")]) == 2


async def test_the_url_must_name_a_log() -> None:
    for url in ("", "sqlite", "sqlite:///", "other:///x"):
        with pytest.raises(ValueError, match="no log of this kind"):
            await open_log(url)
