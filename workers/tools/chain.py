"""The hash chains of the log, followed record by record."""

from typing import NamedTuple

import msgspec

from domain.catalogue import UnknownEvent, decode_data
from domain.envelope import chain_next, chain_start, decode
from domain.state import HEAD, Head
from workers.log.port import EmbeddedLog, SharedLog

_PAGE = 1000


class _Link(NamedTuple):
    """The end of a chain, as far as it was followed."""

    seq: int
    prev: str
    time: str


def _next(stream: str, link: _Link, record: bytes) -> _Link:
    """The link after this one.

    Raises:
        ValueError: the record is not the one that follows; the text is what is wrong.
    """
    seq = link.seq + 1
    place = f"{stream}/{seq}"
    try:
        envelope = decode(record)
        decode_data(envelope)
    except UnknownEvent as error:
        raise ValueError(f"{place}: {error} is not known here") from None
    except ValueError:
        raise ValueError(f"{place} can't be read") from None
    if envelope.id != place or envelope.seq != seq or envelope.stream != stream:
        raise ValueError(f"{place} is missing: {envelope.id} is in its place")
    if envelope.prev != link.prev:
        raise ValueError(f"{place}: what comes before it was changed")
    if envelope.time < link.time:
        raise ValueError(f"{place}: its time goes back")
    return _Link(seq, chain_next(record), envelope.time)


async def streams_of(log: EmbeddedLog, newest: int | None) -> tuple[list[str], list[str]]:
    """The streams of the log, or those with the newest events, and the places where it can't be
    read."""
    streams: dict[str, None] = {}
    unreadable: list[str] = []
    for partition in log.partitions:
        end, size = log.end(partition), _PAGE
        after = 0 if newest is None else max(0, end - _PAGE)
        while after < end:
            try:
                batch = await log.read(partition, after, size)
            except msgspec.DecodeError:
                if size == 1:
                    unreadable.append(f"the record after {after} of {partition} can't be read")
                    break
                size = 1
                continue
            streams |= dict.fromkeys(envelope.stream for envelope in batch.events)
            if batch.end == after:
                break
            after = batch.end
    return list(streams) if newest is None else list(streams)[-newest:], unreadable


async def broken(log: EmbeddedLog, stream: str) -> str | None:
    """The first fault of a stream, or None: a gap, a changed record, one that nobody can read."""
    link = _Link(0, chain_start(stream), "")
    while records := await log.read_stream(stream, link.seq, _PAGE):
        for record in records:
            try:
                link = _next(stream, link, record)
            except ValueError as fault:
                return str(fault)
    # The last record has no other after it: what the decider keeps of the stream's end tells.
    states, _ = await log.recall([(stream, HEAD)], [])
    head = states.get((stream, HEAD))
    if not isinstance(head, Head):
        return f"{stream} has no head"
    if head.seq > link.seq and not await log.read_stream(stream, link.seq, 1):
        return f"{stream}/{link.seq + 1} is missing"
    if head.seq == link.seq and head.prev != link.prev:
        return f"{stream}/{link.seq} was changed"
    return None


async def walk(log: SharedLog, newest: int | None) -> tuple[int, list[str]]:
    """Follow all chains at once, partition by partition: how many streams that were, and the first
    fault of each. With `newest` only so many positions at the end of each partition are read, and a
    chain is followed from the first record of it there.

    Whether a stream has lost its last records can't be told from the log alone.
    """
    count = 0
    faults: list[str] = []
    ends = await log.ends()
    for partition in log.event_partitions:
        end = ends[partition]
        after = start = 0 if newest is None else max(0, end - newest)
        links: dict[str, _Link | None] = {}
        while after < end:
            records, after = await log.read_records(partition, after, _PAGE)
            for stream, record in records:
                link = links.get(stream) if stream in links else _first(stream, record, start)
                if link is None:
                    continue
                try:
                    links[stream] = _next(stream, link, record)
                except ValueError as fault:
                    links[stream] = None
                    faults.append(str(fault))
        count += len(links)
    return count, faults


def _first(stream: str, record: bytes, start: int) -> _Link:
    """What a stream's first record that was read follows."""
    begin = _Link(0, chain_start(stream), "")
    if start == 0:
        return begin
    try:
        envelope = decode(record)
    except ValueError:
        return begin
    return begin if envelope.seq <= 1 else _Link(envelope.seq - 1, envelope.prev, "")
