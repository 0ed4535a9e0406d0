"""The hash chains of the log, followed record by record."""

import msgspec

from domain import chain
from domain.envelope import decode
from domain.state import HEAD, Head
from workers.log.port import EmbeddedLog, SharedLog

_PAGE = 1000


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
    last = chain.start(stream)
    while records := await log.read_stream(stream, last.seq, _PAGE):
        for record in records:
            try:
                last = chain.follow(stream, last, record)
            except chain.Broken as fault:
                return str(fault)
    # The last record has no other after it: what the decider keeps of the stream's end tells.
    states, _ = await log.recall([(stream, HEAD)], [])
    head = states.get((stream, HEAD))
    if not isinstance(head, Head):
        return f"{stream} has no head"
    if head.seq > last.seq and not await log.read_stream(stream, last.seq, 1):
        return f"{stream}/{last.seq + 1} is missing"
    if head.seq == last.seq and head.prev != last.hash:
        return f"{stream}/{last.seq} was changed"
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
        links: dict[str, chain.Link | None] = {}
        while after < end:
            records, after = await log.read_records(partition, after, _PAGE)
            for stream, record in records:
                link = links.get(stream) if stream in links else _first(stream, record, start)
                if link is None:
                    continue
                try:
                    links[stream] = chain.follow(stream, link, record)
                except chain.Broken as fault:
                    links[stream] = None
                    faults.append(str(fault))
        count += len(links)
    return count, faults


def _first(stream: str, record: bytes, start: int) -> chain.Link:
    """What a stream's first record that was read follows."""
    begin = chain.start(stream)
    if start == 0:
        return begin
    try:
        envelope = decode(record)
    except ValueError:
        return begin
    return begin if envelope.seq <= 1 else chain.Link(envelope.seq - 1, envelope.prev, "")
