"""What every ledger must do for the decider that writes it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from domain.ids import user_stream
from tests.contract.log.scribe import Scribe, contents, streams
from tests.contract.log.seat import seated
from tests.servers.process import Server
from workers.log import open_embedded_log
from workers.log.port import Conflict, EmbeddedLog, Group, Ledger

Opened = Callable[[], AbstractAsyncContextManager[Ledger]]


@pytest.fixture(params=["sqlite", "kafka"])
def opened(request: pytest.FixtureRequest, embedded_url: str, tmp_path: Path) -> Opened:
    """The same ledger each time."""
    if request.param == "kafka":
        server: Server = request.getfixturevalue("kafka_server")
        url = f"{server.url_for(uuid4().hex)}?partitions=1"

        @asynccontextmanager
        async def taken() -> AsyncIterator[Ledger]:
            async with seated(url, tmp_path) as seat, seat.taken() as tenure:
                yield tenure

        return taken

    @asynccontextmanager
    async def embedded() -> AsyncIterator[Ledger]:
        log = await open_embedded_log(embedded_url)
        yield log
        await log.close()

    return embedded


@pytest.mark.parametrize("reopened", [False, True])
async def test_parts_and_receipts_are_recalled(opened: Opened, reopened: bool) -> None:
    scribe = Scribe()
    groups = [scribe.group((f"u{n % 3}", f"Name {n}"), (f"v{n}", None)) for n in range(9)]
    before = 9 if reopened else 0
    async with opened() as ledger:
        for number, group in enumerate(groups[:before]):
            await ledger.commit(group._replace(upto=number + 1))
    async with opened() as ledger:
        for number, group in enumerate(groups[before:], before):
            await ledger.commit(group._replace(upto=number + 1))
        receipts = {outcome.command: outcome for group in groups for outcome in group.receipts}
        unknown = [(user_stream("nobody"), "head"), (user_stream("u0"), "no-such-part")]
        assert await ledger.recall([*scribe.parts, *unknown], [*receipts, "other"]) == (
            scribe.parts,
            receipts,
        )
        some = next(iter(scribe.parts))
        assert await ledger.recall([some], []) == ({some: scribe.parts[some]}, {})
        assert await ledger.recall([], ["command-3"]) == ({}, {"command-3": receipts["command-3"]})
        assert await ledger.recall([], []) == ({}, {})


def with_receipt_of(first: Group, second: Group) -> Group:
    receipt = msgspec.structs.replace(second.receipts[-1], command=first.receipts[0].command)
    return second._replace(receipts=[*second.receipts[:-1], receipt])


def with_event_of(first: Group, second: Group) -> Group:
    return second._replace(records=[*second.records, first.records[0]])


async def test_a_group_that_repeats_a_receipt_leaves_nothing(opened: Opened) -> None:
    scribe = Scribe()
    first = scribe.group(("ann", "Ann"), ("bob", "Bob"), ("cid", None))
    async with opened() as ledger:
        await ledger.commit(first._replace(upto=1))
        refs, ids = list(scribe.parts), [f"command-{n}" for n in range(9)]
        before = await ledger.recall(refs, ids)
        second = scribe.group(("ann", "Anna"), ("dot", "Dot"), ("cid", None))
        with pytest.raises(Conflict):
            await ledger.commit(with_receipt_of(first, second)._replace(upto=2))
        assert await ledger.recall(refs, ids) == before
        assert await ledger.recall(list(scribe.parts), []) == (before[0], {})
        # As it should have been, it is taken.
        await ledger.commit(second._replace(upto=2))
    async with opened() as ledger:
        assert await ledger.recall(list(scribe.parts), []) == (scribe.parts, {})


@pytest.mark.parametrize("spoil", [with_receipt_of, with_event_of])
async def test_a_group_that_repeats_something_is_not_in_the_log(
    embedded_log: EmbeddedLog, spoil: Callable[[Group, Group], Group]
) -> None:
    """The embedded log knows its events by their place, too."""
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
