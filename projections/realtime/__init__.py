"""Live fan-out, and who is present."""

from prometheus_client import CollectorRegistry

from projections.realtime.losses import Losses
from projections.realtime.memory import MemoryRealtime
from projections.realtime.memory_presence import MemoryPresence
from projections.realtime.port import Realtime
from projections.realtime.presence import HOLDS, PresenceBoard
from projections.realtime.redis import RedisRealtime
from projections.realtime.redis_presence import RedisPresence


def open_realtime(url: str, registry: CollectorRegistry | None = None) -> Realtime:
    """The realtime that a URL names; it connects when it is first used. What it measures can be
    seen in `registry`.

    Raises:
        ValueError: the URL names no kind of realtime.
    """
    losses = Losses(registry)
    if _is_redis(url):
        return RedisRealtime(url, losses)
    return MemoryRealtime()


def open_presence(url: str, holds: float = HOLDS) -> PresenceBoard:
    """The presence of the realtime that a URL names. What is said holds for so many seconds.

    Raises:
        ValueError: the URL names no kind of realtime.
    """
    if _is_redis(url):
        return RedisPresence(url, holds)
    return MemoryPresence(holds)


def _is_redis(url: str) -> bool:
    scheme = url.partition("://")[0]
    if scheme not in ("redis", "rediss") and url != "memory://":
        raise ValueError(f"no realtime of this kind: {scheme}")
    return scheme != "memory"
