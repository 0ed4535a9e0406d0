"""What is told of one who follows the log: measurements, spans, and at debug a line an event."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import msgspec
import structlog
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

from domain.envelope import Envelope
from domain.instants import to_millis
from gateway.tracing import begin, failed, trace_id, traceparent_of
from workers.log.port import LogBatch
from workers.metrics import Metrics

log = structlog.get_logger()

#: Events older than this, in seconds, were imported or are read anew: their age is no lag, and
#: their traces are long over.
HISTORY = 24 * 3600


def _now() -> int:
    return time.time_ns() // 1_000_000


class Follower:
    def __init__(
        self, work: str, did: str, metrics: Metrics, clock: Callable[[], int] = _now
    ) -> None:
        """`work` names the role, `did` what it has done with an event. `clock` gives milliseconds
        since 1970."""
        self._work = work
        self._did = did
        self._metrics = metrics
        self._clock = clock
        self._tracer = trace.get_tracer(f"hansard.{work}")
        self._held = metrics.partitions_held.labels(work)
        self._batch_events = metrics.batch_events.labels(work)
        self._batch_seconds = metrics.batch_seconds.labels(work)
        self._oldest: dict[str, int] = {}

    def share(self, partitions: Sequence[str]) -> None:
        """These fall to it now."""
        self._held.set(len(partitions))
        self._oldest.clear()
        for kind in set(map(_kind, partitions)):
            lag = self._metrics.lag.labels(self._work, kind)
            lag.set_function(partial(self._lag, kind))

    @contextmanager
    def batch(self, batch: LogBatch) -> Iterator[Sequence[Envelope]]:
        """The events of a batch, those that are traced with the traceparent of a span that lasts
        while something is done with them. What fails will be tried again."""
        if not batch.events:
            yield ()
            return
        oldest = _millis(batch.events[0].time)
        recent = oldest > self._clock() - HISTORY * 1000
        if recent:
            self._oldest.setdefault(batch.partition, oldest)
        events, spans = self._traced(batch.events) if recent else (batch.events, [])
        began = time.perf_counter()
        try:
            yield events
        except BaseException as error:
            for span in spans:
                failed(span, error)
            raise
        for span in spans:
            span.end()
        self._batch_seconds.observe(time.perf_counter() - began)
        self._batch_events.observe(len(events))
        if recent:
            self._oldest.pop(batch.partition, None)
            age = max(0, self._clock() - oldest) / 1000
            self._metrics.event_age.labels(self._work, _kind(batch.partition)).observe(age)
        if log.is_enabled_for(logging.DEBUG):
            self._tell(batch.partition, events)

    def _lag(self, kind: str) -> float:
        oldest = [at for partition, at in self._oldest.items() if _kind(partition) == kind]
        return max(0, self._clock() - min(oldest)) / 1000 if oldest else 0.0

    def _traced(self, events: Sequence[Envelope]) -> tuple[Sequence[Envelope], Sequence[Span]]:
        if not any(event.traceparent for event in events):
            return events, ()
        traced: list[Envelope] = []
        spans: list[Span] = []
        for event in events:
            if event.traceparent is None:
                traced.append(event)
                continue
            span = begin(
                self._tracer,
                f"{self._work} {event.type}",
                event.traceparent,
                SpanKind.CONSUMER,
                stream=event.stream,
                seq=event.seq,
                command=event.commandid,
            )
            spans.append(span)
            onward = traceparent_of(span, event.traceparent)
            traced.append(msgspec.structs.replace(event, traceparent=onward))
        return traced, spans

    def _tell(self, partition: str, events: Sequence[Envelope]) -> None:
        for event in events:
            trace = {"trace_id": trace_id(event.traceparent)} if event.traceparent else {}
            log.debug(
                self._did,
                partition=partition,
                stream=event.stream,
                seq=event.seq,
                type=event.type,
                command=event.commandid,
                **trace,
            )


def _millis(time: str) -> int:
    try:
        return to_millis(time)
    except (ValueError, OverflowError):
        # A record that is no event may have anything here, and must stop nothing.
        return 0


def _kind(partition: str) -> str:
    """The topic of a partition such as `chats-3`."""
    return partition.rpartition("-")[0] or partition
