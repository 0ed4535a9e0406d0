"""A user's scheduled messages: until one is claimed it is the user's to change, then the
scheduler's to fire."""

from collections.abc import Sequence
from typing import cast

import msgspec
from msgspec import UNSET

from domain import commands as c
from domain import events as e
from domain import instants
from domain.refusals import (
    DUE_IN_PAST,
    SCHEDULE_CLAIMED,
    SCHEDULE_NOT_FOUND,
    SUSPENDED,
    UNCHANGED,
    USER_ERASED,
    Refusal,
    Unchanged,
    invalid,
    not_allowed,
)
from domain.state import ACCOUNT, Account, Changes, Schedule, State, schedule_part

#: How far ahead a message may be scheduled, in seconds: a year.
MAX_AHEAD = 31_536_000

OfSchedule = (
    c.ScheduleMessage | c.ChangeSchedule | c.CancelSchedule | c.ClaimSchedule | c.FireSchedule
)
Decision = Sequence[e.Event] | Refusal | Unchanged


def decide(state: State, action: OfSchedule, command: c.Command, now: str) -> Decision:
    schedule = cast(Schedule | None, state.get(schedule_part(action.schedule)))
    if isinstance(action, c.ScheduleMessage):
        return UNCHANGED if schedule is not None else _schedule(action, now)
    if schedule is None:
        return SCHEDULE_NOT_FOUND
    match action:
        case c.ChangeSchedule():
            return _change(schedule, action, now)
        case c.CancelSchedule():
            return _cancel(schedule, action)
    if command.rights != "system":
        return not_allowed("Only the scheduler fires a schedule.")
    if isinstance(action, c.ClaimSchedule):
        return _claim(schedule, action, command.time, cast(Account, state.get(ACCOUNT, Account())))
    return _fire(schedule, action)


def _schedule(action: c.ScheduleMessage, now: str) -> Decision:
    refusal = _wrong_due(action.due, now)
    if refusal is not None:
        return refusal
    return [
        e.MessageScheduled(
            schedule=action.schedule,
            chat=action.chat,
            due=action.due,
            kind=action.kind,
            content=action.content,
            metadata=action.metadata,
            media=action.media,
            reply_to=action.reply_to,
            mentions=list(action.mentions),
            expires_in=action.expires_in,
        )
    ]


def _change(schedule: Schedule, action: c.ChangeSchedule, now: str) -> Decision:
    if schedule.status == "cancelled":
        return SCHEDULE_NOT_FOUND
    if schedule.status != "scheduled":
        return SCHEDULE_CLAIMED
    if action.due is action.content is action.mentions is UNSET:
        return UNCHANGED
    if action.blank and schedule.kind == "text":
        return invalid("content", "A text message can't be empty.")
    if action.due is not UNSET:
        refusal = _wrong_due(action.due, now)
        if refusal is not None:
            return refusal
    return [
        e.ScheduleChanged(
            schedule=action.schedule,
            due=action.due,
            content=action.content,
            mentions=UNSET if action.mentions is UNSET else list(action.mentions),
        )
    ]


def _cancel(schedule: Schedule, action: c.CancelSchedule) -> Decision:
    if schedule.status == "cancelled":
        return UNCHANGED
    if schedule.status != "scheduled":
        return SCHEDULE_CLAIMED
    return [e.ScheduleCancelled(schedule=action.schedule)]


def _claim(schedule: Schedule, action: c.ClaimSchedule, time: str, account: Account) -> Decision:
    # Whoever was faster has changed, cancelled or claimed it: then there is nothing to do here.
    if schedule.status != "scheduled" or schedule.due != action.due:
        return UNCHANGED
    if schedule.due > time:
        return not_allowed("The schedule is not due.")
    claimed = e.ScheduleClaimed(schedule=action.schedule, due=action.due)
    if account.erased or account.suspended:
        refusal = USER_ERASED if account.erased else SUSPENDED
        return [claimed, e.ScheduleFired(schedule=action.schedule, refusal=refusal.code)]
    return [claimed]


def _fire(schedule: Schedule, action: c.FireSchedule) -> Decision:
    if schedule.status == "fired":
        return UNCHANGED
    if schedule.status != "claimed":
        return not_allowed("The schedule was not claimed.")
    return [e.ScheduleFired(schedule=action.schedule, seq=action.seq, refusal=action.refusal)]


def _wrong_due(due: str, now: str) -> Refusal | None:
    if due <= now:
        return DUE_IN_PAST
    if due > instants.later(now, MAX_AHEAD):
        return invalid("scheduled_for", "A message is scheduled at most a year ahead.")
    return None


def evolve(state: State, event: e.Event) -> Changes:
    """The schedule that an event makes or changes."""
    match event:
        case e.MessageScheduled():
            return {schedule_part(event.schedule): Schedule(event.due, event.kind)}
        case e.ScheduleChanged(due=str(due)):
            return _with(state, event.schedule, due=due)
        case e.ScheduleCancelled():
            return _with(state, event.schedule, status="cancelled")
        case e.ScheduleClaimed():
            return _with(state, event.schedule, status="claimed")
        case e.ScheduleFired():
            return _with(state, event.schedule, status="fired")
    return {}


def _with(state: State, schedule: str, **changed: object) -> Changes:
    part = schedule_part(schedule)
    return {part: msgspec.structs.replace(cast(Schedule, state[part]), **changed)}
