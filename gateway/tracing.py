"""Traces, as far as the API of OpenTelemetry goes: without an exporter its spans cost next to
nothing.

A trace passes from one process to the next as the text of `traceparent` (W3C Trace Context), in a
command and in the envelopes of its events.
"""

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_HEADER = "traceparent"
_propagator = TraceContextTextMapPropagator()


def begin(
    tracer: Tracer,
    name: str,
    traceparent: str | None,
    kind: SpanKind = SpanKind.INTERNAL,
    **attributes: str | int,
) -> Span:
    """A span below the one that `traceparent` names; of a new trace where it names none."""
    context = Context()
    if traceparent is not None:
        context = _propagator.extract({_HEADER: traceparent}, context)
    return tracer.start_span(
        name, context, kind, {f"hansard.{key}": value for key, value in attributes.items()}
    )


def traceparent_of(span: Span, given: str | None = None) -> str | None:
    """What goes on with a command or an event; none of a trace that nobody sees: neither is it of
    the caller's, who has `given` a traceparent, nor is it recorded here."""
    context = span.get_span_context()
    if not context.is_valid:
        return None
    trace = f"{context.trace_id:032x}"
    if not context.trace_flags.sampled and (given is None or trace_id(given) != trace):
        return None
    return f"00-{trace}-{context.span_id:016x}-{context.trace_flags:02x}"


def trace_id(traceparent: str) -> str:
    return traceparent[3:35]


def failed(span: Span, error: BaseException) -> None:
    """End a span whose work failed. The text of an error may quote what was said."""
    span.set_status(Status(StatusCode.ERROR, type(error).__name__))
    span.end()
