"""Live fan-out."""

from prometheus_client import CollectorRegistry

from projections.realtime.losses import Losses
from projections.realtime.memory import MemoryRealtime
from projections.realtime.port import Realtime
from projections.realtime.redis import RedisRealtime


def open_realtime(url: str, registry: CollectorRegistry | None = None) -> Realtime:
    """The realtime that a URL names; it connects when it is first used. What it measures can be
    seen in `registry`.

    Raises:
        ValueError: the URL names no kind of realtime.
    """
    losses = Losses(registry)
    scheme = url.partition("://")[0]
    if scheme in ("redis", "rediss"):
        return RedisRealtime(url, losses)
    if url == "memory://":
        return MemoryRealtime()
    raise ValueError(f"no realtime of this kind: {scheme}")
