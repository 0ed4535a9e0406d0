"""What is measured, for Prometheus."""

from collections.abc import Iterator

from prometheus_client import Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from gateway.services import Health

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"))
_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """What every process measures, and its exposition with what its parts have registered."""

    def __init__(self, health: Health) -> None:
        self._registry = health.registry
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._registry.register(_State(health))
        self._answers = Counter(
            "hansard_http_answers",
            "Answers to HTTP requests.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "hansard_http_seconds",
            "Time from a request's head to the end of its answer.",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=self._registry,
        )

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer. `method` is one of METHODS or `other`, `route` the path with its
        parameters' names."""
        self._answers.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def exposition(self) -> bytes:
        """All measurements in the text format of Prometheus."""
        return generate_latest(self._registry)


class _State(Collector):
    """How the process is at the moment of asking."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def collect(self) -> Iterator[Metric]:
        health = self._health
        yield GaugeMetricFamily(
            "hansard_projection_behind",
            "Positions of the log that the read models have not come to.",
            value=health.behind(),
        )
        yield GaugeMetricFamily(
            "hansard_projection_lag_seconds",
            "Age of the newest event shown, while there are newer ones.",
            value=health.lag(),
        )
        yield GaugeMetricFamily(
            "hansard_stale_streams",
            "Streams stopped at an event that could not be folded.",
            value=len(health.stale()),
        )
        told = CounterMetricFamily(
            "hansard_notifications",
            "What became of notifications, by channel.",
            labels=("channel", "outcome"),
        )
        for labels, number in health.told().items():
            told.add_metric(labels, number)
        yield told
        yield CounterMetricFamily(
            "hansard_log_lines_dropped",
            "Log lines given up because what takes them was too slow.",
            value=health.dropped(),
        )
        yield GaugeMetricFamily(
            "hansard_commands_waiting",
            "Commands of this process without a reply.",
            value=health.waiting(),
        )
        yield GaugeMetricFamily(
            "hansard_commands_waiting_seconds",
            "Time for which the oldest of them has waited.",
            value=health.oldest(),
        )
        yield GaugeMetricFamily(
            "hansard_websocket_connections",
            "Open WebSocket connections past their hello.",
            value=health.connections(),
        )
