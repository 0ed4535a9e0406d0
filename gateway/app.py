"""The application: all routes, and what surrounds them."""

from typing import Any, cast

import msgspec
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from domain import asyncapi
from gateway import openapi, problems
from gateway.checks import missing
from gateway.http import (
    audit,
    blocks,
    chats,
    dev,
    feeds,
    filing,
    health,
    marks,
    me,
    media,
    members,
    messages,
    moderation,
    notifications,
    presence,
    reactions,
    receipts,
    reports,
    scheduled,
    search,
    users,
)
from gateway.lookups import Lookups
from gateway.metrics import Metrics
from gateway.problems import Problem, invalid_request, problem_response
from gateway.services import Health, Services
from gateway.surround import Surround
from gateway.ws.endpoint import Sockets
from projections.audit.record import RecordError
from projections.keyring.port import KeyringError
from projections.objects import ObjectsError
from projections.realtime.port import RealtimeError
from projections.store.port import StoreError, TooCostly
from projections.views.reading import NotFound

# What is asked for most comes first: routes are tried in this order.
ROUTERS = tuple(
    module.router
    for module in (
        messages,
        marks,
        chats,
        reactions,
        receipts,
        feeds,
        search,
        members,
        media,
        filing,
        me,
        scheduled,
        blocks,
        reports,
        notifications,
        presence,
        users,
        moderation,
        audit,
        health,
        dev,
    )
)
EXPOSED_HEADERS = (
    "Hansard-Position",
    "Idempotency-Key",
    "Idempotent-Replayed",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "Location",
)

#: The framework's own spans would hold what is searched for, and its logs what was said.
OWN_TELEMETRY: dict[str, Any] = {
    "telemetry": {"tracing": False, "metrics": False, "logs": False},
}


def create_worker_app(process: Health) -> FastAPI:
    """What every process tells of itself, for those that serve nothing else."""
    app = FastAPI(
        title="Hansard",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        **OWN_TELEMETRY,
    )
    app.state.health = process
    app.state.metrics = Metrics(process)
    app.include_router(health.router)
    problems.install(app)
    return app


def create_app(services: Services) -> FastAPI:
    """The gateway as an ASGI application."""
    app = FastAPI(
        title="Hansard",
        version="1",
        redirect_slashes=False,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        **OWN_TELEMETRY,
    )
    app.state.services = services
    app.state.health = services.health
    app.state.lookups = Lookups(services.store)
    app.state.metrics = Metrics(services.health)
    app.state.sockets = Sockets(services)
    for router in ROUTERS:
        app.include_router(router)
    _describe(app)
    problems.install(app)
    app.add_exception_handler(405, _on_wrong_method)
    app.add_exception_handler(NotFound, _on_not_found)
    app.add_exception_handler(TooCostly, _on_too_costly)
    app.add_exception_handler(StoreError, _on_unavailable)
    app.add_exception_handler(KeyringError, _on_unavailable)
    app.add_exception_handler(ObjectsError, _on_unavailable)
    app.add_exception_handler(RecordError, _on_unavailable)
    app.add_exception_handler(RealtimeError, _on_unavailable)
    app.add_middleware(Surround, metrics=app.state.metrics, sockets=app.state.sockets)
    if services.policy.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=services.policy.cors_origins,
            allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=(
                "Authorization",
                "Content-Type",
                "Idempotency-Key",
                "Hansard-Position",
                "X-Request-Id",
                "Traceparent",
            ),
            expose_headers=EXPOSED_HEADERS,
        )
    return app


def openapi_document() -> openapi.Schema:
    """The OpenAPI document of all routes."""
    return openapi.document(_routes())


def _routes() -> list[APIRoute]:
    return [cast(APIRoute, route) for router in ROUTERS for route in router.routes]


def _describe(app: FastAPI) -> None:
    document = openapi_document()
    app.openapi = lambda: document  # type: ignore[method-assign]  # FastAPI's own way to replace it
    frames = msgspec.json.encode(asyncapi.document())

    async def asyncapi_json(_: Request) -> Response:
        return Response(frames, media_type="application/json")

    app.add_route("/asyncapi.json", asyncapi_json, include_in_schema=False)


async def _on_wrong_method(request: Request, _: Exception) -> Response:
    # The router knows of the first route of a path only, and all of its methods must be named.
    path = request.url.path
    methods = {m for r in _routes() if r.path_regex.match(path) for m in r.methods or ()}
    allowed = ", ".join(sorted(methods))
    problem = Problem("not_found", f"Use {allowed}.", status=405, headers={"Allow": allowed})
    return problem_response(problem)


async def _on_not_found(_: Request, error: Exception) -> Response:
    assert isinstance(error, NotFound)
    return problem_response(missing(error))


async def _on_too_costly(_: Request, __: Exception) -> Response:
    detail = "This goes through too much: add a rarer word, a chat or a time."
    return problem_response(invalid_request("q", detail))


async def _on_unavailable(_: Request, __: Exception) -> Response:
    return problem_response(
        Problem("unavailable", "The data can't be reached now.", headers={"Retry-After": "1"})
    )
