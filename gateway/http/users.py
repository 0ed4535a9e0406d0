"""Other users."""

from typing import Annotated

import msgspec
from fastapi import APIRouter
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from domain.ids import user_stream
from gateway.http.dependencies import answer, query, reader, user_id
from gateway.http.pages import Page, several
from gateway.openapi import documented
from projections.views import people, shapes

MAX_IDS = 100

router = APIRouter()


class UsersQuery(msgspec.Struct, frozen=True):
    """`ids` are separated by commas, at most 100 of them."""

    ids: Annotated[str, Meta(max_length=MAX_IDS * 129)]


@router.get("/v1/users", **documented(query=UsersQuery, answers={200: Page[shapes.Profile]}))
async def read_users(request: Request) -> Response:
    """The profiles of some users, in the order asked for. Ids that nobody has are left out."""
    call = await reader(request)
    ids = several(query(request, UsersQuery).ids, "ids", MAX_IDS)
    call.about(*map(user_stream, ids))
    return answer(Page(await people.profiles(call.reading(), call.user, ids), None))


@router.get(
    "/v1/users/{user}",
    **documented(answers={200: shapes.Profile}, problems=("user_not_found",)),
)
async def read_user(request: Request) -> Response:
    """A user's profile."""
    call = await reader(request)
    user = user_id(request)
    call.about(user_stream(user))
    return answer(await people.profile(call.reading(), call.user, user))
