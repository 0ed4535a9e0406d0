"""How far a user has received and read a chat."""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from gateway import forms, writes
from gateway.http.dependencies import body, chat_id, writer
from gateway.openapi import documented

MARK: dict[str, Any] = documented(
    body=forms.MarkForm, answers={204: None}, problems=("chat_not_found", "unknown_message")
)

router = APIRouter()


@router.put("/v1/chats/{chat}/read", status_code=204, **MARK)
async def mark_read(request: Request) -> Response:
    """Mark a message and all before it as read. Marks only rise: a lower one changes nothing."""
    return await _mark(request, "read")


@router.put("/v1/chats/{chat}/delivered", status_code=204, **MARK)
async def mark_delivered(request: Request) -> Response:
    """Mark a message and all before it as received. What is read is received, too."""
    return await _mark(request, "delivered")


async def _mark(request: Request, kind: writes.MarkKind) -> Response:
    call = await writer(request)
    chat = chat_id(request)
    form = await body(request, forms.MarkForm)
    return await call.write_silently(
        await writes.mark(call.services, call.user, chat, form.up_to, kind, call.key)
    )
