"""What every log must do for those who read it."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import pytest

from domain.envelope import decode
from domain.ids import user_stream
from tests.contract.log.scribe import Scribe, batches, contents, streams, values
from tests.contract.log.written import WrittenLog, open_written_log
from workers.log import open_log

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


async def fill(log: WrittenLog, scribe: Scribe, groups: int = 12) -> None:
    for number in range(groups):
        word = WORDS[number % len(WORDS)]
        await log.commit(scribe.group(("ann", word), (f"u{number % 5}", word), ("bob", None)))


async def test_what_is_committed_is_read_back(log: WrittenLog) -> None:
    scribe = Scribe()
    await fill(log, scribe)
    written: dict[str, list[object]] = {}
    for record in scribe.records:
        written.setdefault(record.envelope.stream, []).append(record.envelope)
    assert await streams(log) == written


async def test_outcomes_without_events_are_read_back(log: WrittenLog) -> None:
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
    log: WrittenLog, limit: int
) -> None:
    scribe = Scribe()
    await fill(log, scribe)
    count = 0
    for partition in log.partitions:
        end = 0
        for batch in await batches(log, partition, limit):
            assert batch.partition == partition
            assert len(batch.events) + len(batch.outcomes) <= limit
            assert batch.end > end
            end = batch.end
            count += len(batch.events)
        assert end == log.end(partition)
        at_the_end = await log.read(partition, end, limit)
        assert (at_the_end.end, values([at_the_end])) == (end, [])
    assert count == len(scribe.records)


async def test_ends_rise_with_what_is_committed(log: WrittenLog) -> None:
    scribe = Scribe()
    ends = {partition: log.end(partition) for partition in log.partitions}
    for number in range(5):
        await log.commit(scribe.group(("ann", str(number)), ("bob", None)))
        now = {partition: log.end(partition) for partition in log.partitions}
        assert all(now[partition] >= ends[partition] for partition in ends)
        assert sum(now[partition] > ends[partition] for partition in ends) == 2
        ends = now


async def test_waiting_ends_with_the_next_record(log: WrittenLog) -> None:
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


async def test_who_waits_for_what_is_there_does_not_wait(log: WrittenLog) -> None:
    await fill(log, Scribe())
    async with asyncio.timeout(30):
        for partition in log.partitions:
            if log.end(partition):
                await log.wait(partition, log.end(partition) - 1)


async def test_a_log_opened_anew_reads_as_before(url: str) -> None:
    scribe = Scribe()
    async with open_written_log(url) as log:
        await fill(log, scribe)
        before = await contents(log), {p: log.end(p) for p in log.partitions}, log.identity
    async with open_written_log(url) as log:
        ends = {p: log.end(p) for p in log.partitions}
        assert (await contents(log), ends, log.identity) == before
        # Some of it is old now, and some is new.
        await log.commit(scribe.group(("ann", "Anna"), ("bob", None)))
        after = await contents(log)
        assert values(after)[: len(values(before[0]))] != []
        assert [value for value in values(before[0]) if value not in values(after)] == []
        assert len(values(after)) == len(values(before[0])) + 2


async def test_each_log_is_another(new_url: Callable[[], str]) -> None:
    async with open_written_log(new_url()) as one, open_written_log(new_url()) as other:
        assert one.identity != other.identity


async def test_the_ends_are_those_of_everything_committed(log: WrittenLog) -> None:
    scribe = Scribe()
    assert await log.ends() == dict.fromkeys(log.partitions, 0)
    for number in range(3):
        await log.commit(scribe.group(("ann", str(number)), ("bob", None)))
        ends = await log.ends()
        assert ends == {partition: log.end(partition) for partition in log.partitions}
    for partition, end in ends.items():
        found = await batches(log, partition)
        assert (found[-1].end if found else 0) == end


async def test_readers_of_a_log_do_not_disturb_each_other(log: WrittenLog) -> None:
    await fill(log, Scribe())
    readers = [log.reader() for _ in range(2)]
    for partition in log.partitions:
        whole = await batches(log, partition)
        for step in range(1, 4):
            places = [0, 0]
            found: list[list[object]] = [[], []]
            while min(places) < log.end(partition):
                for which, limit in enumerate((step, 3)):
                    batch = await readers[which].read(partition, places[which], limit)
                    found[which] += [*batch.events, *batch.outcomes]
                    places[which] = batch.end
            assert found == [values(whole)] * 2


async def test_one_reader_may_go_back(log: WrittenLog) -> None:
    await fill(log, Scribe())
    for partition in log.partitions:
        found = await batches(log, partition, 2)
        for batch, start in reversed([*zip(found, [0] + [b.end for b in found], strict=False)]):
            assert await log.read(partition, start, 2) == batch


async def test_who_is_alone_has_all_partitions_as_its_share(log: WrittenLog) -> None:
    async with asyncio.timeout(30), aclosing(log.shares("work")) as shares:
        assert list(await anext(shares)) == list(log.partitions)


async def test_a_stream_is_read_byte_for_byte(log: WrittenLog) -> None:
    scribe = Scribe()
    await fill(log, scribe)
    stream = user_stream("ann")
    values = [record.value for record in scribe.records if record.envelope.stream == stream]
    assert await log.read_stream(stream, 0, 1000) == values
    assert await log.read_stream(stream, 3, 4) == values[3:7]
    assert await log.read_stream(stream, len(values), 4) == []
    assert await log.read_stream(user_stream("nobody"), 0, 4) == []
    assert [decode(value).seq for value in values] == list(range(1, len(values) + 1))


async def test_the_url_must_name_a_log() -> None:
    for url in ("", "sqlite", "sqlite:///", "other:///x"):
        with pytest.raises(ValueError, match="no log of this kind"):
            await open_log(url)
