"""What passes through the WebSocket connections of a process: counted, and told at their ends."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import structlog
from opentelemetry import trace
from opentelemetry.trace import SpanKind
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.tracing import begin, trace_id, traceparent_of
from gateway.trail import TRAIL, Trail
from gateway.ws import session
from gateway.ws.frames import Hello, Request
from projections.realtime.port import Publication

log = structlog.get_logger()
tracer = trace.get_tracer("hansard.gateway")

_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
#: The codes that connections end with, ours and those of clients that go. Clients may send others,
#: and every label value is kept for good.
_CODES = frozenset(
    (
        *(1000, 1001, 1005, 1006),
        *(session.TOO_BIG, session.RESTART, session.BAD_FRAME, session.UNAUTHENTICATED),
        *(session.NO_HELLO, session.TOO_SLOW, session.RATE),
    )
)
_OP = len(b'{"op":"')


class Traffic(Collector):
    """The counts of all connections. They are plain numbers until somebody asks: each frame would
    pay for more."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.received: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.closed: Counter[str] = Counter()
        registry.register(self)
        self.writes = Histogram(
            "hansard_websocket_write_seconds",
            "Time from a writing frame to its acknowledgement or refusal.",
            buckets=_BUCKETS,
            registry=registry,
        )

    def collect(self) -> Iterator[Metric]:
        for name, text, label, counts in (
            ("frames_received", "Frames of clients that were well formed.", "op", self.received),
            ("frames_sent", "Frames sent to clients.", "op", self.sent),
            ("closed", "Connections that have ended, by close code.", "code", self.closed),
        ):
            family = CounterMetricFamily(f"hansard_websocket_{name}", text, labels=(label,))
            for value, number in counts.copy().items():
                family.add_metric((value,), number)
            yield family


class Passage:
    """One connection. Of a frame only its name is looked at."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._began = time.monotonic()
        self._received = 0
        self._sent = 0
        self._code = 1006
        self._user: str | None = None
        self._session: str | None = None

    def received(self, frame: Hello | Request) -> None:
        self._received += 1
        self._traffic.received[_op(frame)] += 1

    def sent(self, frames: Iterable[bytes]) -> None:
        counts = self._traffic.sent
        for frame in frames:
            self._sent += 1
            counts[frame[_OP : frame.find(b'"', _OP)].decode()] += 1

    def welcomed(self, user: str, session: str) -> None:
        self._user, self._session = user, session
        log.info("websocket_opened", user=user, session=session)

    def closed(self, code: int) -> None:
        """How it ends; what is said first counts."""
        if self._code == 1006:
            self._code = code

    def ended(self) -> None:
        self._traffic.closed[str(self._code) if self._code in _CODES else "other"] += 1
        log.info(
            "websocket_closed",
            user=self._user,
            session=self._session,
            code=self._code,
            seconds=round(time.monotonic() - self._began, 1),
            frames_received=self._received,
            frames_sent=self._sent,
        )

    @contextmanager
    def writing(self, frame: Request) -> Iterator[Callable[[], None]]:
        """While the command of a frame is made it has a trail; call what this gives once the frame
        is answered."""
        started = time.perf_counter()
        op = _op(frame)
        span = begin(tracer, f"frame {op}", None, SpanKind.SERVER)
        trail = Trail(self._session or "", traceparent_of(span), self._user)

        def answered() -> None:
            self._traffic.writes.observe(time.perf_counter() - started)
            span.end()

        token = TRAIL.set(trail)
        try:
            yield answered
        except BaseException:
            answered()
            raise
        finally:
            TRAIL.reset(token)
            told = {"trace_id": trace_id(trail.traceparent)} if trail.traceparent else {}
            log.debug("frame", op=op, session=self._session, commands=trail.commands, **told)


def delivered(published: Publication) -> None:
    """Mark in its trace that an event has come to the connections that are shown it."""
    parent = published.traceparent
    place: dict[str, str | int] = {
        "stream": published.channel,
        "seq": published.seq,
        "command": published.command,
    }
    begin(tracer, f"deliver {published.type}", parent, SpanKind.CONSUMER, **place).end()
    log.debug("delivered", trace_id=trace_id(parent), **place)


def _op(frame: Hello | Request) -> str:
    return str(type(frame).__struct_config__.tag)
