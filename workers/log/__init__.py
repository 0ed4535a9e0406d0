"""Where events are kept."""

from typing import Protocol

from workers.log.port import EventLog, Ledger
from workers.log.sqlite import SqliteLog


class EmbeddedLog(EventLog, Ledger, Protocol):
    """A log that is written and read in one process."""


async def open_log(url: str) -> EmbeddedLog:
    """Open the log that a URL names, making it where there is none.

    Raises:
        ValueError: the URL names no kind of log.
        LogError: it can't be opened.
    """
    scheme, _, path = url.partition(":///")
    if scheme == "sqlite" and path:
        return await SqliteLog.open(path)
    raise ValueError(f"no log of this kind: {scheme}")
