"""What went wrong with realtime, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter


class Losses:
    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.interruptions = Counter(
            "hansard_realtime_interruptions",
            "Times that the connection which hears publications broke, or could not be made.",
            registry=registry,
        )
        self.failures = Counter(
            "hansard_realtime_failures",
            "Times that publications or replies may have reached nobody.",
            registry=registry,
        )
