"""Who is there."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from fastapi import APIRouter
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from gateway import forms
from gateway.http.dependencies import Call, answer, body, query, reader, writer
from gateway.http.pages import Page, several
from gateway.openapi import documented
from projections.realtime.presence import Status
from projections.views import people, shapes

MAX_USERS = 200

router = APIRouter()


class PresenceQuery(msgspec.Struct, frozen=True):
    """`users` are ids separated by commas, at most 200 of them."""

    users: Annotated[str, Meta(max_length=MAX_USERS * 129)]


@router.get("/v1/presence", **documented(query=PresenceQuery, answers={200: Page[shapes.Presence]}))
async def read_presence(request: Request) -> Response:
    """How some users are present, in the order asked for.

    Whoever shares no chat with the asker is offline, and so is one of two of whom either has
    blocked the other.
    """
    call = await reader(request)
    users = several(query(request, PresenceQuery).users, "users", MAX_USERS)
    statuses = await _shown(call, list(dict.fromkeys(users)))
    items = [shapes.Presence(user=user, status=status) for user, status in statuses.items()]
    return answer(Page(items, None))


async def _shown(call: Call, users: Sequence[str]) -> Mapping[str, Status]:
    statuses = await call.services.attendance.read(users)
    # Only of those who are there does it matter who asks.
    others = [user for user in users if statuses[user] != "offline" and user != call.user]
    known = await people.sharing_with(call.reading(), call.user, others)
    apart = await call.services.contacts.blocked((call.user, other) for other in known)
    open_to = {other for other in known if (call.user, other) not in apart} | {call.user}
    return {user: statuses[user] if user in open_to else "offline" for user in users}


@router.put(
    "/v1/me/presence",
    status_code=204,
    **documented(body=forms.PresenceForm, answers={204: None}),
)
async def put_presence(request: Request) -> Response:
    """Say how one wants to be seen, whatever one's devices say."""
    call = await writer(request)
    form = await body(request, forms.PresenceForm)
    await call.services.attendance.wish(call.user, form.status)
    return Response(status_code=204)
