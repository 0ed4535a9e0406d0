"""Which part of a file a request asks for (RFC 9110, section 14)."""

import re
from typing import NamedTuple

_ONE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))")


class Span(NamedTuple):
    """Bytes from `start` up to `end`, exclusive."""

    start: int
    end: int


class Unsatisfiable(Exception):
    """The range begins after the end."""


def find_span(header: str | None, size: int) -> Span | None:
    """The span a `Range` header asks for; None for the whole: without one, or with one that is not
    of one run of bytes, which a server may pass over.

    Raises:
        Unsatisfiable: there are no such bytes.
    """
    found = _ONE.fullmatch(header.strip().lower()) if header else None
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        start, end = max(size - int(suffix), 0), size
    else:
        start = int(first)
        end = min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= end:
        raise Unsatisfiable
    return Span(start, end)
