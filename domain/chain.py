"""The hash chain of a stream, followed record by record. Pure."""

from typing import NamedTuple

from domain.catalogue import UnknownEvent, decode_data
from domain.envelope import chain_next, chain_start, decode


class Link(NamedTuple):
    """Where a walk along a stream stands: the seq, hash and time of the last event."""

    seq: int
    hash: str
    time: str


class Broken(Exception):
    """The record that was met is not the one that must follow."""


def start(stream: str) -> Link:
    """The place before the first event."""
    return Link(0, chain_start(stream), "")


def follow(stream: str, last: Link, record: bytes) -> Link:
    """The place after the next record.

    Raises:
        Broken: a gap, a changed record, or one that nobody can read; the text says which.
    """
    seq = last.seq + 1
    place = f"{stream}/{seq}"
    try:
        envelope = decode(record)
        decode_data(envelope)
    except UnknownEvent as error:
        raise Broken(f"{place}: {error} is not known here") from error
    except ValueError as error:
        raise Broken(f"{place} can't be read") from error
    if envelope.id != place or envelope.seq != seq or envelope.stream != stream:
        raise Broken(f"{place} is missing: {envelope.id} is in its place")
    if envelope.prev != last.hash:
        raise Broken(f"{place}: what comes before it was changed")
    if envelope.time < last.time:
        raise Broken(f"{place}: its time goes back")
    return Link(seq, chain_next(record), envelope.time)
