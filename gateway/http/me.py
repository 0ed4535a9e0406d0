"""One's own profile. The first `PUT` registers the user."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from domain.ids import user_stream
from gateway import forms, notifying, writes
from gateway.http.dependencies import Call, answer, body, reader, writer
from gateway.openapi import documented
from projections.views import people, shapes

router = APIRouter()


@router.put(
    "/v1/me",
    **documented(
        body=forms.ProfileForm,
        answers={200: shapes.Profile},
        problems=("media_not_found in body",),
        registered=False,
    ),
)
async def put_profile(request: Request) -> Response:
    """Register, or change one's profile.

    The first call registers the user and needs a `name`. Fields left out stay as they are.
    """
    call = await writer(request, registers=True)
    form = await body(request, forms.ProfileForm)
    await call.write(await writes.put_profile(call.services, call.user, form, call.key))
    verification = await notifying.vouched(call.services, call.principal)
    if verification is not None:
        await call.write(verification)
    return await _own(call)


@router.get("/v1/me", **documented(answers={200: shapes.Profile}))
async def read_own_profile(request: Request) -> Response:
    """One's own profile, with the email address."""
    return await _own(await reader(request))


async def _own(call: Call) -> Response:
    call.about(user_stream(call.user))
    return answer(await people.profile(call.reading(), call.user, call.user))
