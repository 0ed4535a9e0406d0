"""Live fan-out."""

from projections.realtime.memory import MemoryRealtime
from projections.realtime.port import Realtime
from projections.realtime.redis import RedisRealtime


def open_realtime(url: str) -> Realtime:
    """The realtime that a URL names; it connects when it is first used.

    Raises:
        ValueError: the URL names no kind of realtime.
    """
    scheme = url.partition("://")[0]
    if scheme in ("redis", "rediss"):
        return RedisRealtime(url)
    if url == "memory://":
        return MemoryRealtime()
    raise ValueError(f"no realtime of this kind: {scheme}")
