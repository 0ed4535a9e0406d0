"""The hash chains of the log, followed record by record."""

import msgspec

from domain import chain
from domain.state import HEAD, Head
from workers.log.port import EmbeddedLog

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
