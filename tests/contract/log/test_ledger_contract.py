"""What every ledger must do for the decider that writes it."""

from collections.abc import Callable

import msgspec
import pytest

from domain.ids import user_stream
from tests.contract.log.scribe import Scribe, contents, streams
from workers.log import open_embedded_log
from workers.log.port import Conflict, EmbeddedLog, Group


@pytest.mark.parametrize("reopened", [False, True])
async def test_parts_and_receipts_are_recalled(embedded_url: str, reopened: bool) -> None:
    log = await open_embedded_log(embedded_url)
    scribe = Scribe()
    groups = [scribe.group((f"u{n % 3}", f"Name {n}"), (f"v{n}", None)) for n in range(9)]
    for group in groups:
        await log.commit(group)
    if reopened:
        await log.close()
        log = await open_embedded_log(embedded_url)
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
    embedded_log: EmbeddedLog, spoil: Callable[[Group, Group], Group]
) -> None:
    log, scribe = embedded_log, Scribe()
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
