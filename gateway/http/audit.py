"""For auditors: what was said, seen and shown when, and whether the record was touched.

It needs the scope `hansard:audit`, for reports `hansard:moderate`. Every question is an event in
the stream of who asks, written before it is answered.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import msgspec
from fastapi import APIRouter
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from domain import chain
from domain.commands import NoteReading, Rights
from domain.ids import chat_stream, user_stream
from gateway import actions, checks, moderation
from gateway.auth import AUDIT, MODERATE
from gateway.forms import Id, Seq, UserId
from gateway.http.dependencies import Call, answer, holder, query
from gateway.http.pages import MAX_LIMIT, At, Cursor, Cursors, Limit, Page, PageQuery
from gateway.openapi import documented
from gateway.problems import invalid_request
from projections.audit import integrity, timeline
from projections.audit.past import MOST, Past, TooMuch, chat_as_of, inbox_as_of, past
from projections.progress import Stale
from projections.views import reports, shapes, who_saw

Stream = Annotated[str, Meta(pattern=r"^(chats|users|operators)/[A-Za-z0-9._:@-]{1,128}(?![\s\S])")]
Instant = Annotated[str, Meta(max_length=40)]
Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}(?![\s\S])")]

router = APIRouter()


class TimelineQuery(msgspec.Struct, frozen=True, rename={"since": "from", "until": "to"}):
    """The events of a stream, from an instant (inclusive) to another (exclusive)."""

    stream: Stream
    since: Instant | None = None
    until: Instant | None = None
    cursor: Cursor | None = None
    limit: Limit = 50


class AsOfQuery(msgspec.Struct, frozen=True):
    """What `user` was shown at the instant `at`: with `chat` that one and a page of its messages,
    by `before`; without it the inbox, by `cursor`."""

    user: UserId
    at: Instant
    chat: Id | None = None
    before: At | None = None
    cursor: Cursor | None = None
    limit: Limit = 50


class WhoSawQuery(msgspec.Struct, frozen=True):
    """Of the message `seq` of a chat."""

    chat: Id
    seq: Seq
    cursor: Cursor | None = None
    limit: Limit = 50


class VerifyQuery(msgspec.Struct, frozen=True):
    """A stream, and perhaps a checkpoint of it that was kept: `seq` with its `hash`."""

    stream: Stream
    seq: Seq | None = None
    hash: Hash | None = None
    cursor: Cursor | None = None


class AsOf(msgspec.Struct, frozen=True):
    """What a user was shown at an instant: a chat with a page of its messages, or the inbox."""

    user: str
    at: str
    chat: shapes.Chat | None
    messages: shapes.MessagePage | None
    inbox: Page[shapes.InboxRow] | None


@router.get(
    "/v1/audit/timeline",
    **documented(
        query=TimelineQuery,
        answers={200: Page[shapes.Recorded]},
        problems=("not_allowed",),
        registered=False,
    ),
)
async def read_timeline(request: Request) -> Response:
    """The events of a stream as they were said, deleted ones too, as far as their keys exist."""
    call = await holder(request, AUDIT, "reads")
    asked = query(request, TimelineQuery)
    since = None if asked.since is None else actions.instant(asked.since, "from")
    until = None if asked.until is None else actions.instant(asked.until, "to")
    cursors = Cursors(call, "timeline", asked.stream, since, until)
    place = cursors.place(asked.cursor)
    await _on_record(call, "timeline", asked.stream)
    listing = await timeline.page(
        call.services.record,
        call.services.vault,
        asked.stream,
        since=since,
        until=until,
        after=int(place[0]) if place else 0,
        limit=min(asked.limit, MAX_LIMIT),
    )
    return answer(cursors.page(listing))


@router.get(
    "/v1/audit/as-of",
    **documented(
        query=AsOfQuery,
        answers={200: AsOf},
        problems=("not_allowed", "chat_not_found", "user_not_found"),
        registered=False,
    ),
)
async def read_as_of(request: Request) -> Response:
    """What a user was shown at a past instant, as it would be shown now: what was erased since
    then is null."""
    call = await holder(request, AUDIT, "reads")
    asked = query(request, AsOfQuery)
    at = actions.instant(asked.at, "at")
    if at > call.services.clock():
        raise invalid_request("at", "Nothing is known of the future.")
    cursors = Cursors(call, "as-of", asked.user, at)
    place = cursors.place(asked.cursor)
    limit = min(asked.limit, MAX_LIMIT)
    what = "inbox" if asked.chat is None else chat_stream(asked.chat)
    await _on_record(call, f"as-of {what}", user_stream(asked.user), at)
    async with _past(call, at) as then:
        if asked.chat is None:
            shown = await inbox_as_of(then, asked.user, after=place, limit=limit)
        else:
            shown = await chat_as_of(then, asked.user, asked.chat, before=asked.before, limit=limit)
    inbox = None if shown.inbox is None else cursors.page(shown.inbox)
    return answer(AsOf(asked.user, at, shown.chat, shown.messages, inbox))


@router.get(
    "/v1/audit/who-saw",
    **documented(
        query=WhoSawQuery,
        answers={200: Page[shapes.Saw]},
        problems=("not_allowed", "chat_not_found", "message_not_found"),
        registered=False,
    ),
)
async def read_who_saw(request: Request) -> Response:
    """When a message first reached each person, and was first read, those who have left too."""
    call = await holder(request, AUDIT, "reads")
    asked = query(request, WhoSawQuery)
    cursors = Cursors(call, "who-saw", asked.chat, asked.seq)
    place = cursors.place(asked.cursor)
    await _on_record(call, "who-saw", f"{chat_stream(asked.chat)}/{asked.seq}")
    listing = await who_saw.page(
        call.reading(), asked.chat, asked.seq, after=place, limit=min(asked.limit, MAX_LIMIT)
    )
    call.about(chat_stream(asked.chat), *(user_stream(saw.user) for saw in listing.items))
    return answer(cursors.page(listing))


@router.get(
    "/v1/audit/verify",
    **documented(
        query=VerifyQuery,
        answers={200: shapes.Verified},
        problems=("not_allowed",),
        registered=False,
    ),
)
async def verify_stream(request: Request) -> Response:
    """Follow the hash chain of a stream, up to 10,000 events an answer."""
    call = await holder(request, AUDIT, "reads")
    asked = query(request, VerifyQuery)
    if (asked.seq is None) != (asked.hash is None):
        raise invalid_request("seq" if asked.seq is None else "hash", "Give both, or neither.")
    stream, record = asked.stream, call.services.record
    cursors = Cursors(call, "verify", stream)
    place = cursors.place(asked.cursor)
    last = chain.Link(int(place[0]), str(place[1]), str(place[2])) if place else chain.start(stream)
    await _on_record(call, "verify", stream)
    walk = await integrity.follow(record, call.reading(), stream, last)
    fault = walk.fault
    if fault is None and asked.seq is not None and asked.hash is not None:
        fault = await integrity.differs(record, stream, asked.seq, asked.hash)
    return answer(
        shapes.Verified(
            stream=stream,
            ok=fault is None,
            fault=fault,
            seq=walk.last.seq,
            hash=walk.last.hash,
            next=None if walk.ended else cursors.at(walk.last),
        )
    )


@router.get(
    "/v1/audit/checkpoints",
    **documented(
        query=PageQuery,
        answers={200: Page[shapes.Checkpoint]},
        problems=("not_allowed",),
        registered=False,
    ),
)
async def read_checkpoints(request: Request) -> Response:
    """The head of every stream with its hash: what is kept elsewhere tells of later changes."""
    call = await holder(request, AUDIT, "reads")
    asked = query(request, PageQuery)
    cursors = Cursors(call, "checkpoints")
    place = cursors.place(asked.cursor)
    await _on_record(call, "checkpoints", None)
    listing = await integrity.checkpoints(
        call.services.record,
        call.reading(),
        after=str(place[0]) if place else "",
        limit=min(asked.limit, MAX_LIMIT),
    )
    return answer(cursors.page(listing))


@router.get(
    "/v1/audit/reports",
    **documented(
        query=PageQuery,
        answers={200: Page[shapes.FullReport]},
        problems=("not_allowed",),
        registered=False,
    ),
)
async def read_reports(request: Request) -> Response:
    """Reported messages, newest report first; with the scope `hansard:moderate`."""
    call = await holder(request, MODERATE, "reads")
    asked = query(request, PageQuery)
    cursors = Cursors(call, "all reports")
    place = cursors.place(asked.cursor)
    await _on_record(call, "reports", None, rights="moderator")
    listing = await reports.for_moderators(
        call.reading(), after=place, limit=min(asked.limit, MAX_LIMIT)
    )
    return answer(cursors.page(listing))


async def _on_record(
    call: Call, what: str, of: str | None, as_of: str | None = None, *, rights: Rights = "auditor"
) -> None:
    note = NoteReading(what=what, of=of, as_of=as_of)
    await moderation.put_on_record(call.services.commander, call.user, note, rights)


@asynccontextmanager
async def _past(call: Call, at: str) -> AsyncIterator[Past]:
    services = call.services
    # One at a time: it may cost seconds of work, and everyone else is served beside it.
    async with (
        services.audit_turn,
        past(services.record, services.store, services.vault, at) as then,
    ):
        try:
            yield then
        except TooMuch as error:
            detail = f"That would mean to fold more than {MOST:,} events."
            raise invalid_request("at", detail) from error
        except Stale as error:
            raise checks.stale() from error
