"""The feeds: every event of a chat, or of oneself, in order."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from domain.ids import chat_stream, user_stream
from gateway.http.dependencies import answer, chat_id, query, reader
from gateway.http.pages import MAX_FEED_LIMIT, Feed, FeedQuery
from gateway.openapi import documented
from projections.views import feeds

router = APIRouter()


@router.get(
    "/v1/chats/{chat}/events",
    **documented(query=FeedQuery, answers={200: Feed}, problems=("chat_not_found",)),
)
async def read_chat_feed(request: Request) -> Response:
    """The events of a chat after a seq, as the frames show them."""
    call = await reader(request)
    chat = chat_id(request)
    asked = query(request, FeedQuery)
    limit = min(asked.limit, MAX_FEED_LIMIT)
    listing = await feeds.of_chat(call.reading(), call.user, chat, after=asked.after, limit=limit)
    call.about(chat_stream(chat), user_stream(call.user))
    return answer(listing)


@router.get("/v1/me/events", **documented(query=FeedQuery, answers={200: Feed}))
async def read_own_feed(request: Request) -> Response:
    """The events of one's own stream after a seq."""
    call = await reader(request)
    asked = query(request, FeedQuery)
    limit = min(asked.limit, MAX_FEED_LIMIT)
    listing = await feeds.of_user(call.reading(), call.user, after=asked.after, limit=limit)
    call.about(user_stream(call.user))
    return answer(listing)
