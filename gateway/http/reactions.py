"""Reactions: one per user and message."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from gateway import forms, writes
from gateway.http.dependencies import body, chat_id, message_seq, writer
from gateway.http.messages import MESSAGE, show_message
from gateway.openapi import documented
from projections.views import shapes

router = APIRouter()


@router.put(
    "/v1/chats/{chat}/messages/{seq}/reaction",
    **documented(
        body=forms.ReactionForm,
        answers={200: shapes.Message},
        problems=(*MESSAGE, "message_deleted"),
    ),
)
async def set_reaction(request: Request) -> Response:
    """React to a message; a new reaction replaces one's old one."""
    call = await writer(request)
    chat, seq = chat_id(request), message_seq(request)
    form = await body(request, forms.ReactionForm)
    await call.write(await writes.react(call.services, call.user, chat, seq, form.emoji, call.key))
    return await show_message(call, chat, seq)


@router.delete(
    "/v1/chats/{chat}/messages/{seq}/reaction",
    status_code=204,
    **documented(answers={204: None}, problems=(*MESSAGE, "message_deleted"), write=True),
)
async def clear_reaction(request: Request) -> Response:
    """Take one's reaction back."""
    call = await writer(request)
    chat, seq = chat_id(request), message_seq(request)
    return await call.write_silently(
        await writes.react(call.services, call.user, chat, seq, None, call.key)
    )
