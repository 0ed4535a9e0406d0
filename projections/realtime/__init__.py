"""Live fan-out."""

from projections.realtime.memory import MemoryRealtime
from projections.realtime.port import Realtime


def open_realtime(url: str) -> Realtime:
    """The realtime that a URL names.

    Raises:
        ValueError: the URL names no kind of realtime.
    """
    if url == "memory://":
        return MemoryRealtime()
    raise ValueError(f"no realtime of this kind: {url.partition('://')[0]}")
