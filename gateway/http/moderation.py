"""For moderators: who may not take part any more. It needs the scope `hansard:moderate`."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from gateway import forms, moderation
from gateway.auth import MODERATE
from gateway.commander import Done
from gateway.http.dependencies import Call, body, holder, user_id
from gateway.openapi import documented

PROBLEMS = ("not_allowed", "user_not_found", "user_erased")

router = APIRouter()


@router.post(
    "/v1/moderation/users/{user}/suspension",
    status_code=204,
    **documented(
        body=forms.SuspensionForm, answers={204: None}, problems=PROBLEMS, registered=False
    ),
)
async def suspend_user(request: Request) -> Response:
    """Suspend a user: within 5 seconds their connections close and their requests are 403."""
    call = await holder(request, MODERATE, "writes")
    user = user_id(request)
    form = await body(request, forms.SuspensionForm)
    services = call.services
    done = await moderation.suspend(
        services.commander, services.store, call.user, user, reason=form.reason, key=call.key
    )
    return await _done(call, done)


@router.delete(
    "/v1/moderation/users/{user}/suspension",
    status_code=204,
    **documented(answers={204: None}, problems=PROBLEMS, write=True, registered=False),
)
async def resume_user(request: Request) -> Response:
    """End the suspension of a user."""
    call = await holder(request, MODERATE, "writes")
    services = call.services
    done = await moderation.resume(
        services.commander, services.store, call.user, user_id(request), key=call.key
    )
    return await _done(call, done)


async def _done(call: Call, done: Done) -> Response:
    call.tell_of(done)
    await call.settle(done)
    return Response(status_code=204)
