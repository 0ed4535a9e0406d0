"""Chats and the inbox."""

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from domain.ids import chat_stream, split_stream, user_stream
from gateway import forms, writes
from gateway.http.dependencies import Call, answer, body, chat_id, query, reader, writer
from gateway.http.pages import MAX_LIMIT, Cursor, Cursors, Limit, Page
from gateway.openapi import documented
from projections.views import chats, inbox, shapes

router = APIRouter()


class InboxQuery(msgspec.Struct, frozen=True):
    """Without `archived` both the archived chats and the others."""

    archived: bool | None = None
    cursor: Cursor | None = None
    limit: Limit = 50


@router.post(
    "/v1/chats",
    status_code=201,
    **documented(
        body=forms.ChatForm,
        answers={201: shapes.Chat, 200: shapes.Chat},
        problems=("user_not_found in body", "media_not_found in body", "group_full"),
    ),
)
async def create_chat(request: Request) -> Response:
    """Make a chat; the caller is in it.

    Between two users there is one direct chat: where it exists the answer is 200 with that.
    """
    call = await writer(request)
    form = await body(request, forms.ChatForm)
    done = await call.write(await writes.create_chat(call.services, call.user, form, call.key))
    _, chat = split_stream(done.outcome.stream)
    if done.outcome.status == "unchanged":
        return await show_chat(call, chat)
    call.tell("Location", f"/v1/chats/{chat}")
    return await show_chat(call, chat, 201)


@router.get("/v1/chats", **documented(query=InboxQuery, answers={200: Page[shapes.InboxRow]}))
async def read_inbox(request: Request) -> Response:
    """The inbox: pinned chats first, then by last activity."""
    call = await reader(request)
    asked = query(request, InboxQuery)
    cursors = Cursors(call, "inbox", asked.archived)
    listing = await inbox.page(
        call.reading(),
        call.user,
        archived=asked.archived,
        after=cursors.place(asked.cursor),
        limit=min(asked.limit, MAX_LIMIT),
    )
    shown = (chat_stream(row.chat.id) for row in listing.items)
    call.about(user_stream(call.user), *shown)
    return answer(cursors.page(listing))


@router.get(
    "/v1/chats/{chat}", **documented(answers={200: shapes.Chat}, problems=("chat_not_found",))
)
async def read_chat(request: Request) -> Response:
    """A chat with its members."""
    call = await reader(request)
    return await show_chat(call, chat_id(request))


@router.patch(
    "/v1/chats/{chat}",
    **documented(
        body=forms.ChatChangeForm,
        answers={200: shapes.Chat},
        problems=("chat_not_found", "not_allowed", "direct_chat", "media_not_found in body"),
    ),
)
async def change_chat(request: Request) -> Response:
    """Change a group's name, description or avatar; for its admins. `null` clears."""
    call = await writer(request)
    chat = chat_id(request)
    form = await body(request, forms.ChatChangeForm)
    await call.write(await writes.change_chat(call.services, call.user, chat, form, call.key))
    return await show_chat(call, chat)


async def show_chat(call: Call, chat: str, status: int = 200) -> Response:
    """The chat as it is now."""
    shown = await chats.one(call.reading(), call.user, chat)
    call.about(chat_stream(chat))
    return answer(shown, status)
