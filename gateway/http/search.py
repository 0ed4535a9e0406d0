"""Search for messages and users."""

from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from domain.ids import chat_stream, user_stream
from gateway.http.dependencies import answer, query, reader
from gateway.http.pages import MAX_LIMIT, Cursor, Cursors, Limit, Page
from gateway.openapi import documented
from gateway.problems import invalid_request
from projections.search_query import MAX_QUERY, QueryError, parse_query
from projections.views import people, searching, shapes

#: Characters of what is searched for among users: an email address fits.
MAX_USER_QUERY = 256

router = APIRouter()


class MessageQuery(msgspec.Struct, frozen=True):
    """Words, and the filters `from:`, `in:`, `has:`, `before:` and `after:`."""

    q: Annotated[str, Meta(max_length=MAX_QUERY)]
    chat: str | None = None
    sort: Literal["recent", "relevance"] = "recent"
    cursor: Cursor | None = None
    limit: Limit = 50


class UserQuery(msgspec.Struct, frozen=True):
    """The beginning of any word of a name, or a whole email address."""

    q: Annotated[str, Meta(max_length=MAX_USER_QUERY)]


@router.get(
    "/v1/search/messages",
    **documented(
        query=MessageQuery, answers={200: Page[shapes.Found]}, problems=("chat_not_found",)
    ),
)
async def search_messages(request: Request) -> Response:
    """Messages that have all the words, in one's own chats."""
    call = await reader(request)
    asked = query(request, MessageQuery)
    cursors = Cursors(call, "search", asked.q, asked.chat, asked.sort)
    try:
        parsed = parse_query(asked.q)
    except QueryError as error:
        raise invalid_request(error.field, error.detail) from error
    listing = await searching.messages(
        call.reading(),
        call.user,
        parsed,
        chat=asked.chat,
        sort=asked.sort,
        after=cursors.place(asked.cursor),
        limit=min(asked.limit, MAX_LIMIT),
    )
    call.about(user_stream(call.user), *(chat_stream(found.chat.id) for found in listing.items))
    return answer(cursors.page(listing))


@router.get("/v1/search/users", **documented(query=UserQuery, answers={200: Page[shapes.Profile]}))
async def search_users(request: Request) -> Response:
    """Up to 20 users, without their email addresses, as far as the directory is open."""
    call = await reader(request)
    asked = query(request, UserQuery)
    directory = call.services.policy.directory
    return answer(await people.search(call.reading(), call.user, asked.q, directory))
