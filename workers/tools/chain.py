"""The hash chains of the log, followed record by record."""

import msgspec

from domain.catalogue import UnknownEvent, decode_data
from domain.envelope import chain_next, chain_start, decode
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
    seq, prev, time = 0, chain_start(stream), ""
    while records := await log.read_stream(stream, seq, _PAGE):
        for record in records:
            seq += 1
            place = f"{stream}/{seq}"
            try:
                envelope = decode(record)
                decode_data(envelope)
            except UnknownEvent as error:
                return f"{place}: {error} is not known here"
            except ValueError:
                return f"{place} can't be read"
            if envelope.id != place or envelope.seq != seq or envelope.stream != stream:
                return f"{place} is missing: {envelope.id} is in its place"
            if envelope.prev != prev:
                return f"{place}: what comes before it was changed"
            if envelope.time < time:
                return f"{place}: its time goes back"
            prev, time = chain_next(record), envelope.time
    # The last record has no other after it: what the decider keeps of the stream's end tells.
    states, _ = await log.recall([(stream, HEAD)], [])
    head = states.get((stream, HEAD))
    if not isinstance(head, Head):
        return f"{stream} has no head"
    if head.seq > seq and not await log.read_stream(stream, seq, 1):
        return f"{stream}/{seq + 1} is missing"
    if head.seq == seq and head.prev != prev:
        return f"{stream}/{seq} was changed"
    return None
