"""Who is in a chat."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from domain.ids import chat_stream
from gateway import forms, writes
from gateway.http.chats import show_chat
from gateway.http.dependencies import answer, body, chat_id, query, reader, user_id, writer
from gateway.http.pages import MAX_LIMIT, Cursors, Page, PageQuery
from gateway.openapi import documented
from projections.views import chats, shapes

ADMINISTRATION = ("chat_not_found", "not_allowed", "direct_chat")

router = APIRouter()


@router.get(
    "/v1/chats/{chat}/members",
    **documented(query=PageQuery, answers={200: Page[shapes.Member]}, problems=("chat_not_found",)),
)
async def read_members(request: Request) -> Response:
    """The members of a chat, longest-standing first."""
    call = await reader(request)
    chat = chat_id(request)
    asked = query(request, PageQuery)
    cursors = Cursors(call, "members", chat)
    listing = await chats.members(
        call.reading(),
        call.user,
        chat,
        after=cursors.place(asked.cursor),
        limit=min(asked.limit, MAX_LIMIT),
    )
    call.about(chat_stream(chat))
    return answer(cursors.page(listing))


@router.post(
    "/v1/chats/{chat}/members",
    **documented(
        body=forms.MembersForm,
        answers={200: shapes.Chat},
        problems=(*ADMINISTRATION, "user_not_found in body", "group_full"),
    ),
)
async def add_members(request: Request) -> Response:
    """Add users to a group; for its admins. Those who are in it already stay as they are."""
    call = await writer(request)
    chat = chat_id(request)
    form = await body(request, forms.MembersForm)
    await call.write(await writes.add_members(call.services, call.user, chat, form, call.key))
    return await show_chat(call, chat)


@router.put(
    "/v1/chats/{chat}/members/{user}",
    **documented(
        body=forms.RoleForm,
        answers={200: shapes.Chat},
        problems=(*ADMINISTRATION, "user_not_found"),
    ),
)
async def set_role(request: Request) -> Response:
    """Make a member an admin, or an admin a member; for admins. One admin must remain."""
    call = await writer(request)
    chat, member = chat_id(request), user_id(request)
    form = await body(request, forms.RoleForm)
    await call.write(await writes.set_role(call.services, call.user, chat, member, form, call.key))
    return await show_chat(call, chat)


@router.delete(
    "/v1/chats/{chat}/members/{user}",
    status_code=204,
    **documented(answers={204: None}, problems=(*ADMINISTRATION, "user_not_found"), write=True),
)
async def remove_member(request: Request) -> Response:
    """Remove a member, for admins; or leave, for anyone.

    When the last admin leaves, the longest-standing member becomes one.
    """
    call = await writer(request)
    chat, member = chat_id(request), user_id(request)
    return await call.write_silently(
        await writes.remove_member(call.services, call.user, chat, member, call.key)
    )
