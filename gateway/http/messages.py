"""The messages of a chat."""

from typing import Any, Literal, cast

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from domain import instants
from domain.commands import ScheduleMessage
from domain.ids import chat_stream, user_stream
from gateway import actions, forms, writes
from gateway.auth import MODERATE
from gateway.commander import Done
from gateway.http.dependencies import (
    Call,
    answer,
    body,
    chat_id,
    message_seq,
    query,
    reader,
    writer,
)
from gateway.http.pages import MAX_LIMIT, At, Cursors, Limit, Page, PageQuery
from gateway.http.scheduled import show_schedule
from gateway.openapi import documented
from gateway.problems import invalid_request
from projections.views import conversation, shapes

MESSAGE = ("chat_not_found", "message_not_found")

router = APIRouter()


class MessagesQuery(msgspec.Struct, frozen=True):
    """A page before, after or around a seq; the newest one without any of these."""

    before: At | None = None
    after: At | None = None
    around: At | None = None
    limit: Limit = 50


class DeletionQuery(msgspec.Struct, frozen=True):
    scope: Literal["everyone", "me"] = msgspec.field(name="for")


@router.post(
    "/v1/chats/{chat}/messages",
    status_code=201,
    **documented(
        body=forms.SendForm,
        answers={201: shapes.Message, 202: shapes.Schedule},
        problems=("chat_not_found", "media_not_found in body", "unknown_message", "due_in_past"),
    ),
)
async def send_message(request: Request) -> Response:
    """Send a message, or with `scheduled_for` have it sent later.

    It counts 1, and 1 more for every 100 members, under the rate of writes.
    """
    call = await writer(request, to=request.path_params["chat"])
    chat = chat_id(request)
    form = await body(request, forms.SendForm)
    command = await writes.send(call.services, call.user, chat, form, call.key)
    if isinstance(command.action, ScheduleMessage):
        schedule = command.action.schedule
        done = await call.execute(command)
        call.tell("Location", f"/v1/me/scheduled/{schedule}")
        await call.reach(done)
        return await show_schedule(call, schedule, 202)
    done = await call.execute(command)
    seq = done.outcome.seq
    call.tell("Location", f"/v1/chats/{chat}/messages/{seq}")
    sent = _as_sent(call.user, chat, form, done)
    if sent is None:
        await call.reach(done)
        return await show_message(call, chat, seq, 201)
    await call.settle(done)
    return answer(sent, 201)


@router.get(
    "/v1/chats/{chat}/messages",
    **documented(
        query=MessagesQuery, answers={200: shapes.MessagePage}, problems=("chat_not_found",)
    ),
)
async def read_messages(request: Request) -> Response:
    """A page of messages in ascending order; the newest ones unless a place is given."""
    call = await reader(request)
    chat = chat_id(request)
    asked = query(request, MessagesQuery)
    if sum(place is not None for place in (asked.before, asked.after, asked.around)) > 1:
        raise invalid_request("query", "Give only one of before, after and around.")
    page = await conversation.page(
        call.reading(),
        call.user,
        chat,
        before=asked.before,
        after=asked.after,
        around=asked.around,
        limit=min(asked.limit, MAX_LIMIT),
    )
    call.about(chat_stream(chat), user_stream(call.user))
    return answer(page)


@router.get(
    "/v1/chats/{chat}/messages/{seq}",
    **documented(answers={200: shapes.Message}, problems=MESSAGE),
)
async def read_message(request: Request) -> Response:
    """A message with all its reactions."""
    call = await reader(request)
    return await show_message(call, chat_id(request), message_seq(request))


@router.patch(
    "/v1/chats/{chat}/messages/{seq}",
    **documented(
        body=forms.EditForm,
        answers={200: shapes.Message},
        problems=(*MESSAGE, "not_allowed", "message_deleted"),
    ),
)
async def edit_message(request: Request) -> Response:
    """Change what a message says; for its sender."""
    call = await writer(request)
    chat, seq = chat_id(request), message_seq(request)
    form = await body(request, forms.EditForm)
    await call.write(await writes.edit(call.services, call.user, chat, seq, form, call.key))
    return await show_message(call, chat, seq)


@router.delete(
    "/v1/chats/{chat}/messages/{seq}",
    status_code=204,
    **documented(
        query=DeletionQuery,
        answers={204: None},
        problems=(*MESSAGE, "not_allowed"),
        write=True,
    ),
)
async def delete_message(request: Request) -> Response:
    """Delete a message for everyone (its sender, and a group's admins), or for oneself.

    Who holds the scope `hansard:moderate` deletes for everyone in any chat.
    """
    call = await writer(request, exempt=MODERATE)
    chat, seq = chat_id(request), message_seq(request)
    if query(request, DeletionQuery).scope == "everyone":
        moderates = MODERATE in call.scopes
        command = await writes.delete_for_everyone(
            call.services, call.user, chat, seq, call.key, moderates=moderates
        )
    else:
        command = await writes.delete_for_me(call.services, call.user, chat, seq, call.key)
    return await call.write_silently(command)


@router.get(
    "/v1/chats/{chat}/messages/{seq}/history",
    **documented(query=PageQuery, answers={200: Page[shapes.Version]}, problems=MESSAGE),
)
async def read_history(request: Request) -> Response:
    """What an edited message said before, oldest first."""
    call = await reader(request)
    chat, seq = chat_id(request), message_seq(request)
    asked = query(request, PageQuery)
    cursors = Cursors(call, "history", chat, seq)
    place = cursors.place(asked.cursor)
    listing = await conversation.history(
        call.reading(),
        call.user,
        chat,
        seq,
        after=int(place[0]) if place else 0,
        limit=min(asked.limit, MAX_LIMIT),
    )
    call.about(chat_stream(chat))
    return answer(cursors.page(listing))


async def show_message(call: Call, chat: str, seq: int, status: int = 200) -> Response:
    """The message as it is now."""
    shown = await conversation.one(call.reading(), call.user, chat, seq)
    call.about(chat_stream(chat), user_stream(call.user))
    return answer(shown, status)


def _as_sent(user: str, chat: str, form: forms.SendForm, done: Done) -> shapes.Message | None:
    """A message that was sent just now, as reading it would show it; None if it has to be read.

    Reading a message back costs more than all the rest of sending it.
    """
    action, outcome = actions.send(form), done.outcome
    if done.replayed or action.reply_to is not None or action.media is not None:
        return None
    expires_in = action.expires_in
    return shapes.Message(
        chat=chat,
        seq=outcome.seq,
        ordinal=outcome.ordinal,
        sender=user,
        kind=action.kind,
        content=form.content,
        metadata=cast(dict[str, Any] | None, action.metadata),
        reply_to=None,
        mentions=action.mentions,
        reactions=(),
        reaction_counts={},
        status="sent",
        sent_at=outcome.time,
        edited_at=None,
        deleted_at=None,
        expires_at=None if expires_in is None else instants.later(outcome.time, expires_in),
    )
