"""Sending spans to an OTLP endpoint, where the standard variables name one."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from opentelemetry import trace

log = structlog.get_logger()

#: Seconds that a process waits at its end for its last spans to be taken.
FAREWELL = 3.0

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
_SENT = "http/protobuf"


@asynccontextmanager
async def sending_spans(service: str) -> AsyncIterator[None]:
    """Send the spans of this process meanwhile, as `service` unless `OTEL_SERVICE_NAME` says
    otherwise. A thread sends them; what it is too slow for is dropped."""
    if not any(map(os.environ.get, _ENDPOINTS)) or _is_disabled():
        yield
        return
    # Only here: it takes its time, and most processes do without.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    for variable in _PROTOCOLS:
        if os.environ.get(variable, _SENT) != _SENT:
            log.warning("spans_sent_otherwise", variable=variable, protocol=_SENT)
    name = os.environ.get("OTEL_SERVICE_NAME") or service
    provider = TracerProvider(
        resource=Resource.create({SERVICE_NAME: name}), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        # An endpoint that does not answer would hold it up for half a minute.
        last = threading.Thread(target=provider.shutdown, name="last-spans", daemon=True)
        last.start()
        await asyncio.to_thread(last.join, FAREWELL)


def _is_disabled() -> bool:
    return os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
