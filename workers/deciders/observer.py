"""What is told of each group of commands: a log line a command, measurements, spans."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import msgspec
import structlog
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

from domain.commands import Command
from domain.decider import Verdict
from domain.instants import to_millis
from gateway.tracing import begin, failed, trace_id, traceparent_of
from workers.metrics import Metrics

log = structlog.get_logger()
tracer = trace.get_tracer("hansard.decider")

#: Whose commands may come late: an import has the times of its lines, a schedule its own.
UNHURRIED = ("operator", "system")


class Observed:
    """One group. `commands` are those to decide on: traced ones go on with the traceparent of a
    span that lasts until they are durable."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self.commands = commands
        self.spans: dict[int, Span] = {}
        self.verdicts: Sequence[Verdict] = ()
        if any(command.traceparent for command in commands):
            self.commands = [self._begin(at, command) for at, command in enumerate(commands)]

    def _begin(self, at: int, command: Command) -> Command:
        given = command.traceparent
        if given is None:
            return command
        span = self.spans[at] = begin(
            tracer,
            f"decide {kind_of(command)}",
            given,
            SpanKind.CONSUMER,
            stream=command.stream,
            command=command.id,
        )
        return msgspec.structs.replace(command, traceparent=traceparent_of(span, given))


class Observer:
    def __init__(self, metrics: Metrics, clock: Callable[[], int]) -> None:
        """`clock` gives milliseconds since 1970."""
        self._metrics = metrics
        self._clock = clock

    @contextmanager
    def group(self, commands: Sequence[Command]) -> Iterator[Observed]:
        """Watch a group being decided. Its verdicts are to be put into what this gives."""
        metrics = self._metrics
        times = [command.time for command in commands if command.rights not in UNHURRIED]
        # What came through a log may have anything for its time, and must stop nothing.
        with suppress(ValueError, OverflowError):
            if times:
                metrics.command_age.observe(max(0, self._clock() - to_millis(min(times))) / 1000)
        observed = Observed(commands)
        began = time.perf_counter()
        try:
            yield observed
        except BaseException as error:
            metrics.commit_failures.inc()
            for span in observed.spans.values():
                failed(span, error)
            raise
        seconds = time.perf_counter() - began
        metrics.group_size.observe(len(commands))
        metrics.group_seconds.observe(seconds)
        self._tell(observed, round(seconds * 1000, 1))

    def committed(self, seconds: float) -> None:
        self._metrics.commit_seconds.observe(seconds)

    @contextmanager
    def holding(self) -> Iterator[None]:
        """A partition is this process's own meanwhile."""
        held = self._metrics.partitions_held.labels("decider")
        held.inc()
        try:
            yield
        finally:
            held.dec()

    def _tell(self, observed: Observed, ms: float) -> None:
        counts: Counter[tuple[str, str]] = Counter()
        bound = log.bind()
        for at, (command, verdict) in enumerate(
            zip(observed.commands, observed.verdicts, strict=True)
        ):
            outcome = verdict.outcome
            told: dict[str, object] = {
                "command": command.id,
                "kind": kind_of(command),
                "stream": command.stream,
                "user": command.actor,
                "outcome": outcome.status,
                "seq": outcome.seq,
                "ms": ms,
            }
            counts[kind_of(command), "replayed" if verdict.replayed else outcome.status] += 1
            if verdict.replayed:
                told["replayed"] = True
            if outcome.code is not None:
                told["code"] = outcome.code
                if not verdict.replayed:
                    self._metrics.refusals.labels(outcome.code).inc()
            if command.traceparent is not None:
                told["trace_id"] = trace_id(command.traceparent)
            # An import has hundreds of thousands.
            tell = bound.debug if command.rights == "operator" else bound.info
            tell("command", **told)
            if at in observed.spans:
                observed.spans[at].set_attribute("hansard.outcome", outcome.code or outcome.status)
                observed.spans[at].end()
        for labels, number in counts.items():
            self._metrics.commands.labels(*labels).inc(number)


def kind_of(command: Command) -> str:
    """What is asked for, such as `send_message`."""
    return str(type(command.action).__struct_config__.tag)
