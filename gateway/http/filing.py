"""How a user files a chat, for themselves alone."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from gateway import forms, writes
from gateway.http.dependencies import body, chat_id, writer
from gateway.openapi import documented

router = APIRouter()


@router.put(
    "/v1/chats/{chat}/filing",
    status_code=204,
    **documented(body=forms.FilingForm, answers={204: None}, problems=("chat_not_found",)),
)
async def file_chat(request: Request) -> Response:
    """Pin, archive or mute a chat. Fields left out stay as they are; the inbox shows them."""
    call = await writer(request)
    chat = chat_id(request)
    form = await body(request, forms.FilingForm)
    return await call.write_silently(
        await writes.file_chat(call.services, call.user, chat, form, call.key)
    )
