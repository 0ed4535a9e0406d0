"""A user's own stream: profile, marks, filing, what they hid, uploaded and scheduled."""

from collections.abc import Sequence
from typing import cast

import msgspec
from msgspec import UNSET

from domain import commands as c
from domain import events as e
from domain import notifications, schedules
from domain.envelope import Basis
from domain.ids import chat_stream, user_stream
from domain.refusals import (
    NO_SUCH_USER,
    NOT_REGISTERED,
    SUSPENDED,
    UNCHANGED,
    USER_ERASED,
    Refusal,
    Unchanged,
    invalid,
    not_allowed,
)
from domain.state import (
    ACCOUNT,
    NOTIFYING,
    Account,
    Block,
    Changes,
    Filed,
    Hidden,
    Media,
    Report,
    Standing,
    State,
    block_part,
    hidden_part,
    media_part,
    report_part,
    schedule_part,
    standing_part,
)

Decision = Sequence[e.Event] | Refusal | Unchanged


def needs(action: c.Action) -> tuple[str, ...]:
    """The parts that deciding on this action reads, beside head and account."""
    match action:
        case c.MarkDelivered() | c.MarkRead() | c.FileChat():
            return (standing_part(action.chat),)
        case c.HideMessage():
            return (hidden_part(action.chat, action.message),)
        case c.UploadMedia():
            return (media_part(action.media),)
        case c.BlockUser() | c.UnblockUser():
            return (block_part(action.user),)
        case c.ReportMessage():
            return (report_part(action.chat, action.message),)
    if isinstance(action, schedules.OfSchedule):
        return (schedule_part(action.schedule),)
    if isinstance(action, notifications.OfNotifications):
        return (NOTIFYING,)
    return ()


def decide(state: State, command: c.Command, now: str) -> Decision:
    """What the command makes of the user's stream. Only the user writes to it, or an operator; of
    their schedules the scheduler too."""
    if command.rights == "client" and command.stream != user_stream(command.actor):
        return not_allowed("Only the user writes here.")
    action = command.action
    if isinstance(action, c.ClaimSchedule | c.FireSchedule):
        # Whatever became of the account: what is due comes to an end.
        return schedules.decide(state, action, command, now)
    account = cast(Account, state.get(ACCOUNT, Account()))
    if account.erased:
        return USER_ERASED
    if account.suspended and command.rights == "client":
        return SUSPENDED
    if isinstance(action, c.SuspendUser | c.ResumeUser):
        return _suspend(account, action, command.rights)
    if isinstance(action, c.PutProfile):
        return _put_profile(account, action)
    if not account.registered:
        return NOT_REGISTERED
    match action:
        case c.MarkDelivered():
            standing = _standing(state, action.chat)
            if action.up_to <= max(standing.delivered, standing.read):
                return UNCHANGED
            return [e.ChatDelivered(chat=action.chat, up_to=action.up_to)]
        case c.MarkRead():
            if action.up_to <= _standing(state, action.chat).read:
                return UNCHANGED
            return [e.ChatRead(chat=action.chat, up_to=action.up_to)]
        case c.FileChat():
            return _file(_standing(state, action.chat), action, command)
        case c.HideMessage():
            if hidden_part(action.chat, action.message) in state:
                return UNCHANGED
            return [e.MessageHidden(chat=action.chat, message=action.message)]
        case c.UploadMedia():
            if media_part(action.media) in state:
                return UNCHANGED
            return [e.MediaUploaded(**msgspec.structs.asdict(action))]
        case c.BlockUser():
            if command.stream == user_stream(action.user):
                return invalid("user", "Nobody can block themselves.")
            return UNCHANGED if _blocks(state, action.user) else [e.UserBlocked(user=action.user)]
        case c.UnblockUser():
            return [e.UserUnblocked(user=action.user)] if _blocks(state, action.user) else UNCHANGED
        case c.ReportMessage():
            if report_part(action.chat, action.message) in state:
                return UNCHANGED
            return [e.MessageReported(**msgspec.structs.asdict(action))]
    if isinstance(action, schedules.OfSchedule):
        return schedules.decide(state, action, command, now)
    if isinstance(action, notifications.OfNotifications):
        return notifications.decide(state, action, command)
    return invalid("do", "A user's stream does not take this action.")


def _suspend(account: Account, action: c.SuspendUser | c.ResumeUser, rights: c.Rights) -> Decision:
    if rights not in ("moderator", "operator"):
        return not_allowed("Only an operator suspends or resumes.")
    if not account.registered:
        return NO_SUCH_USER
    if isinstance(action, c.SuspendUser):
        return UNCHANGED if account.suspended else [e.UserSuspended(reason=action.reason)]
    return [e.UserResumed()] if account.suspended else UNCHANGED


def _put_profile(account: Account, action: c.PutProfile) -> Decision:
    if account.registered:
        if action.name is action.email is action.avatar is UNSET:
            return UNCHANGED
        if action.name is None:
            return invalid("name", "A name can be changed but not cleared.")
        return [e.UserChanged(name=action.name, email=action.email, avatar=action.avatar)]
    if action.name is UNSET or action.name is None:
        return invalid("name", "The first call registers the user and needs a name.")
    return [
        e.UserRegistered(
            name=action.name,
            email=None if action.email is UNSET else action.email,
            avatar=None if action.avatar is UNSET else action.avatar,
        )
    ]


def _file(standing: Standing, action: c.FileChat, command: c.Command) -> Decision:
    # What was filed before the user last joined the chat no longer holds, and this stream does not
    # know joinings: the same value against a newer state of the chat is therefore a new fact.
    basis = chat_basis(command.basis, action.chat)
    wanted = {
        name: value
        for name in ("pinned", "archived", "muted_until")
        if (value := getattr(action, name)) is not UNSET
    }
    never = Filed(None, 0)
    if all(
        standing.filed.get(name, never) == Filed(value, basis)
        or (name not in standing.filed and not value)
        for name, value in wanted.items()
    ):
        return UNCHANGED
    return [e.ChatFiled(chat=action.chat, **wanted)]


def chat_basis(basis: Sequence[Basis], chat: str) -> int:
    """The newest seq of the chat that the gateway had seen; 0 when it says nothing of it."""
    stream = chat_stream(chat)
    return max((seen.seq for seen in basis if seen.stream == stream), default=0)


def _standing(state: State, chat: str) -> Standing:
    return cast(Standing, state.get(standing_part(chat), Standing()))


def _blocks(state: State, user: str) -> bool:
    return state.get(block_part(user)) == Block(stands=True)


def evolve(state: State, event: e.Event, basis: Sequence[Basis]) -> Changes:
    """The parts of the user's state that an event changes; `basis` is that of its envelope."""
    account = cast(Account, state.get(ACCOUNT, Account()))
    match event:
        case e.UserRegistered():
            return {ACCOUNT: msgspec.structs.replace(account, registered=True)}
        case e.UserErased():
            return {ACCOUNT: msgspec.structs.replace(account, erased=True)}
        case e.UserSuspended() | e.UserResumed():
            suspended = isinstance(event, e.UserSuspended)
            return {ACCOUNT: msgspec.structs.replace(account, suspended=suspended)}
        case e.ChatDelivered():
            return _with_standing(state, event.chat, delivered=event.up_to)
        case e.ChatRead():
            return _with_standing(state, event.chat, read=event.up_to)
        case e.ChatFiled():
            seen = chat_basis(basis, event.chat)
            filed = dict(_standing(state, event.chat).filed)
            for name in ("pinned", "archived", "muted_until"):
                if (value := getattr(event, name)) is not UNSET:
                    filed[name] = Filed(value, seen)
            return _with_standing(state, event.chat, filed=filed)
        case e.MessageHidden():
            return {hidden_part(event.chat, event.message): Hidden()}
        case e.MediaUploaded():
            return {media_part(event.media): Media()}
        case e.UserBlocked() | e.UserUnblocked():
            return {block_part(event.user): Block(stands=isinstance(event, e.UserBlocked))}
        case e.MessageReported():
            return {report_part(event.chat, event.message): Report()}
    return schedules.evolve(state, event) or notifications.evolve(state, event)


def _with_standing(state: State, chat: str, **changed: object) -> Changes:
    return {standing_part(chat): msgspec.structs.replace(_standing(state, chat), **changed)}
