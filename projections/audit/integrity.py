"""Whether the record was touched: the chain of a stream, and its heads to be kept elsewhere."""

from collections.abc import Sequence
from typing import NamedTuple

from domain import chain
from domain.chain import Broken, Link
from domain.envelope import chain_next
from projections.audit.record import Record
from projections.feed import FEED, FeedItem
from projections.store.port import Scan
from projections.views.reading import Reading
from projections.views.shapes import Checkpoint, Listing

#: Events followed for one answer.
FOLLOWED = 10_000

_PAGE = 500


class Walk(NamedTuple):
    """How far a stream was followed; `ended` says that there is nothing more to follow."""

    last: Link
    fault: str | None
    ended: bool


async def follow(record: Record, reading: Reading, stream: str, last: Link) -> Walk:
    """Follow a stream from a place on.

    At its end the read models tell whether it was longer once.
    """
    for _ in range(0, FOLLOWED, _PAGE):
        records = await record.read_stream(stream, last.seq, _PAGE)
        try:
            for one in records:
                last = chain.follow(stream, last, one)
        except Broken as fault:
            return Walk(last, str(fault), ended=True)
        if len(records) < _PAGE:
            head = await _head(reading, stream)
            missing = head is not None and head.at > last.seq
            fault_met = f"{stream}/{last.seq + 1} is missing" if missing else None
            return Walk(last, fault_met, ended=True)
    return Walk(last, None, ended=False)


async def differs(record: Record, stream: str, seq: int, hash: str) -> str | None:
    """What is wrong with an event whose hash was kept elsewhere; None if it is still the same."""
    records = await record.read_stream(stream, seq - 1, 1)
    if not records:
        return f"{stream}/{seq} is missing"
    return None if chain_next(records[0]) == hash else f"{stream}/{seq} was changed"


async def checkpoints(
    record: Record, reading: Reading, *, after: str = "", limit: int = 50
) -> Listing[Checkpoint]:
    """The heads of streams in the order of their names, as far as the read models have come.
    `after` is the `next` of the page before."""
    streams: list[str] = []
    while len(streams) <= limit and (stream := await _next_stream(reading, after)) is not None:
        streams.append(stream)
        after = stream
    shown = streams[:limit]
    return Listing(
        items=await _heads(record, reading, shown),
        next=(shown[-1],) if len(streams) > limit else None,
    )


async def _heads(record: Record, reading: Reading, streams: Sequence[str]) -> list[Checkpoint]:
    scans = [Scan((stream,), newest=True, limit=1) for stream in streams]
    found = await reading.scan(FEED, scans)
    heads = [item for [item] in found]
    return [
        Checkpoint(stream=item.stream, seq=item.at, time=item.time, hash=chain_next(value))
        for item in heads
        for value in await record.read_stream(item.stream, item.at - 1, 1)
    ]


async def _next_stream(reading: Reading, after: str) -> str | None:
    [found] = await reading.scan(FEED, [Scan((), above=after, limit=1)])
    return found[0].stream if found else None


async def _head(reading: Reading, stream: str) -> FeedItem | None:
    [found] = await reading.scan(FEED, [Scan((stream,), newest=True, limit=1)])
    return found[0] if found else None
