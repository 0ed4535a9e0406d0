"""Who has received and read what."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from gateway.http.dependencies import answer, chat_id, message_seq, reader, streams_of
from gateway.http.messages import MESSAGE
from gateway.http.pages import Page
from gateway.openapi import documented
from projections.views import receipts, shapes

router = APIRouter()


@router.get(
    "/v1/chats/{chat}/receipts",
    **documented(answers={200: Page[shapes.ChatReceipt]}, problems=("chat_not_found",)),
)
async def read_chat_receipts(request: Request) -> Response:
    """How far each member has received and read the chat."""
    call = await reader(request)
    chat = chat_id(request)
    listing = await receipts.of_chat(call.reading(), call.user, chat)
    call.about(*streams_of(chat, *(receipt.user for receipt in listing.items)))
    return answer(listing)


@router.get(
    "/v1/chats/{chat}/messages/{seq}/receipts",
    **documented(answers={200: Page[shapes.Receipt]}, problems=MESSAGE),
)
async def read_message_receipts(request: Request) -> Response:
    """When each member who was there before the message first had it, and had read it."""
    call = await reader(request)
    chat, seq = chat_id(request), message_seq(request)
    listing = await receipts.of_message(call.reading(), call.user, chat, seq)
    call.about(*streams_of(chat, *(receipt.user for receipt in listing.items)))
    return answer(listing)
