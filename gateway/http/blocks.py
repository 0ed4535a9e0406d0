"""Whom one has blocked."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from domain.ids import user_stream
from gateway import writes
from gateway.http.dependencies import answer, query, reader, user_id, writer
from gateway.http.pages import MAX_LIMIT, Cursors, Page, PageQuery
from gateway.openapi import documented
from projections.views import blocking, shapes

router = APIRouter()


@router.get("/v1/me/blocks", **documented(query=PageQuery, answers={200: Page[shapes.Block]}))
async def read_blocks(request: Request) -> Response:
    """Whom one has blocked, the newest first."""
    call = await reader(request)
    asked = query(request, PageQuery)
    cursors = Cursors(call, "blocks")
    listing = await blocking.page(
        call.reading(),
        call.user,
        after=cursors.place(asked.cursor),
        limit=min(asked.limit, MAX_LIMIT),
    )
    call.about(user_stream(call.user))
    return answer(cursors.page(listing))


@router.put(
    "/v1/me/blocks/{user}",
    status_code=204,
    **documented(answers={204: None}, problems=("user_not_found", "invalid_request"), write=True),
)
async def block_user(request: Request) -> Response:
    """Block a user. The direct chat takes nothing new from either, and they can't add one to a
    group."""
    call = await writer(request)
    command = await writes.block(call.services, call.user, user_id(request), call.key)
    return await call.write_silently(command)


@router.delete(
    "/v1/me/blocks/{user}",
    status_code=204,
    **documented(answers={204: None}, problems=("user_not_found",), write=True),
)
async def unblock_user(request: Request) -> Response:
    """End the blocking of a user."""
    call = await writer(request)
    command = await writes.unblock(call.services, call.user, user_id(request), call.key)
    return await call.write_silently(command)
