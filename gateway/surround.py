"""What surrounds every request: headers laid down for its answer, measurements, log line, span."""

import time

import structlog
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.http.dependencies import ANSWER_HEADERS
from gateway.metrics import METHODS, Metrics
from gateway.tracing import begin, trace_id, traceparent_of
from gateway.trail import TRAIL, Trail, request_id
from gateway.ws.endpoint import Sockets

log = structlog.get_logger()
tracer = trace.get_tracer("hansard.gateway")

#: What machines ask for all the time.
_PROBES = frozenset(("/healthz", "/readyz", "/metrics"))


class Surround:
    """Gives each answer the headers that were laid down for it, and tells of it.

    WebSockets go straight to their endpoint: each layer in between would cost every frame.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, sockets: Sockets) -> None:
        self._app = app
        self._metrics = metrics
        self._sockets = sockets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] == "/v1/ws":
            await self._sockets(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        trail, span = _begin(scope)
        headers = scope[ANSWER_HEADERS] = MutableHeaders({"X-Request-Id": trail.request_id})
        status = 500

        async def surrounded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *headers.raw]
            await send(message)

        token = TRAIL.set(trail)
        try:
            await self._app(scope, receive, surrounded)
        finally:
            TRAIL.reset(token)
            # A client may make up methods; every label value is kept for good.
            method = scope["method"] if scope["method"] in METHODS else "other"
            route = getattr(scope.get("route"), "path", "")
            seconds = time.perf_counter() - started
            self._metrics.answered(method, route, status, seconds)
            _tell(trail, method, route, status, seconds)
            _end(span, method, route, status)


def _begin(scope: Scope) -> tuple[Trail, Span]:
    asked: dict[bytes, str] = {
        name: value.decode("latin-1")
        for name, value in scope["headers"]
        if name in (b"x-request-id", b"traceparent")
    }
    given = asked.get(b"traceparent")
    span = begin(tracer, "request", given, SpanKind.SERVER)
    trail = Trail(request_id(asked.get(b"x-request-id")), traceparent_of(span, given))
    return trail, span


def _tell(trail: Trail, method: str, route: str, status: int, seconds: float) -> None:
    told: dict[str, object] = {
        "method": method,
        "route": route,
        "status": status,
        "ms": round(seconds * 1000, 1),
        "request_id": trail.request_id,
    }
    if trail.user is not None:
        told["user"] = trail.user
    if trail.commands:
        told["commands"] = trail.commands
    if trail.traceparent is not None:
        told["trace_id"] = trace_id(trail.traceparent)
    if route in _PROBES:
        log.debug("request", **told)
    else:
        log.info("request", **told)


def _end(span: Span, method: str, route: str, status: int) -> None:
    if span.is_recording():
        span.update_name(f"{method} {route}".rstrip())
        span.set_attribute("http.request.method", method)
        span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
    span.end()
