"""Scheduled messages, from being made to what became of them."""

from collections.abc import Iterable
from typing import Literal

import msgspec
from msgspec import UNSET

from domain import events as e
from projections.fold import Held, Made, ReadModel, Seen, WorkingSet, held
from projections.store.port import Collection, Document, Index, Ref

Status = Literal["scheduled", "sending", "sent", "failed", "cancelled"]


class Schedule(Document, frozen=True):
    """`place` is the due time with the id behind it, so that no two are equal.

    `waiting` stands until it was fired or cancelled, `failed` once its sending was refused.
    `events` are the seqs of its making and changes, `message` that of what was sent.
    """

    schedule: str
    user: str
    chat: str
    due: str
    place: str
    kind: e.MessageKind
    status: Status = "scheduled"
    content: Held | None = None
    metadata: Held | None = None
    media: str | None = None
    reply_to: int | None = None
    mentions: tuple[str, ...] = ()
    expires_in: int | None = None
    events: tuple[int, ...] = ()
    message: int | None = None
    refusal: str | None = None
    waiting: bool = True
    failed: bool = False


SCHEDULES = Collection(
    "schedules",
    Schedule,
    ("schedule",),
    (
        Index("due", ("place",), where="waiting"),
        Index("waiting", ("user", "place"), where="waiting"),
        Index("failed", ("user", "place"), where="failed"),
    ),
)

_OF_SCHEDULE = (e.ScheduleChanged, e.ScheduleCancelled, e.ScheduleClaimed, e.ScheduleFired)
#: What was sent stands in its chat, and goes there when it is deleted; what was cancelled nowhere.
_EMPTIED: dict[str, object] = {
    "content": None,
    "metadata": None,
    "media": None,
    "mentions": (),
    "waiting": False,
}


def ends_schedule(data: e.Event) -> str | None:
    """The schedule whose copy of the message goes with this event."""
    match data:
        case e.ScheduleCancelled() | e.ScheduleFired(refusal=None):
            return data.schedule
    return None


def _needs(seen: Seen, _: WorkingSet) -> Iterable[Ref]:
    if isinstance(seen.data, _OF_SCHEDULE):
        yield SCHEDULES, (seen.data.schedule,)


def _fold(seen: Seen, docs: WorkingSet) -> Made:
    data = seen.data
    if isinstance(data, e.MessageScheduled):
        yield SCHEDULES, _scheduled(seen, data)
    elif isinstance(data, _OF_SCHEDULE):
        known = docs.get(SCHEDULES, data.schedule)
        assert known is not None
        change = _change(seen, known)
        yield SCHEDULES, msgspec.structs.replace(known, seq=seen.envelope.seq, **change)


def _scheduled(seen: Seen, data: e.MessageScheduled) -> Schedule:
    return Schedule(
        seq=seen.envelope.seq,
        schedule=data.schedule,
        user=seen.id,
        chat=data.chat,
        due=data.due,
        place=_place(data.due, data.schedule),
        kind=data.kind,
        content=held(seen, data.content),
        metadata=held(seen, data.metadata),
        media=data.media,
        reply_to=data.reply_to,
        mentions=tuple(data.mentions),
        expires_in=data.expires_in,
        events=(seen.envelope.seq,),
    )


def _change(seen: Seen, known: Schedule) -> dict[str, object]:
    match seen.data:
        case e.ScheduleChanged(due=due, content=content, mentions=mentions):
            change: dict[str, object] = {"events": (*known.events, seen.envelope.seq)}
            if due is not UNSET:
                change |= {"due": due, "place": _place(due, known.schedule)}
            if content is not UNSET:
                change["content"] = held(seen, content)
            if mentions is not UNSET:
                change["mentions"] = tuple(mentions)
            return change
        case e.ScheduleCancelled():
            return {**_EMPTIED, "status": "cancelled"}
        case e.ScheduleClaimed():
            return {"status": "sending"}
        case e.ScheduleFired(refusal=None, seq=seq):
            return {**_EMPTIED, "status": "sent", "message": seq}
        case e.ScheduleFired(refusal=refusal):
            return {"status": "failed", "refusal": refusal, "waiting": False, "failed": True}
    return {}


def _place(due: str, schedule: str) -> str:
    return f"{due} {schedule}"


MODEL = ReadModel((SCHEDULES,), _needs, _fold)
