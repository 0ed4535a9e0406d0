"""For operators and their machines: liveness, readiness, measurements."""

from collections.abc import Sequence
from typing import Literal, cast

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from gateway.http.dependencies import answer
from gateway.metrics import CONTENT_TYPE, Metrics
from gateway.openapi import documented
from gateway.problems import FieldError, Problem
from gateway.services import Health

#: Read models whose newest event is older than this, in seconds, are too far behind to serve from.
MAX_LAG_SECONDS = 30.0

router = APIRouter()


class Alive(msgspec.Struct, frozen=True):
    status: Literal["ok"] = "ok"


class Ready(msgspec.Struct, frozen=True):
    """`stale_streams` have stopped at an event that could not be folded. The others go on, so they
    call for the operator but are no reason to take the process out of service."""

    status: Literal["ready"]
    stale_streams: int
    behind: int
    lag_seconds: float
    commands_waiting: int


@router.api_route(
    "/healthz", methods=["GET", "HEAD"], **documented(answers={200: Alive}, public=True)
)
async def healthz(_: Request) -> Response:
    """The process runs. It says nothing of what it depends on: a restart would not mend that."""
    return answer(Alive())


@router.api_route(
    "/readyz",
    methods=["GET", "HEAD"],
    **documented(answers={200: Ready}, problems=("unavailable",), public=True),
)
async def readyz(request: Request) -> Response:
    """Whether requests should come here: 503 with the reasons while they should not."""
    health = cast(Health, request.app.state.health)
    lag = health.lag()
    reasons: Sequence[FieldError] = [
        FieldError("dependencies", problem) for problem in health.problems()
    ]
    if lag > MAX_LAG_SECONDS:
        reasons = [*reasons, FieldError("lag_seconds", f"The read models are {lag:.0f} s behind.")]
    if reasons:
        raise Problem("unavailable", "Not ready.", errors=reasons, headers={"Retry-After": "1"})
    return answer(
        Ready("ready", len(health.stale()), health.behind(), round(lag, 3), health.waiting())
    )


@router.get("/metrics", **documented(answers={200: "text/plain"}, public=True))
async def metrics(request: Request) -> Response:
    """Measurements in the text format of Prometheus."""
    measured = cast(Metrics, request.app.state.metrics)
    return Response(measured.exposition(), media_type=CONTENT_TYPE)
