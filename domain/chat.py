"""A chat: what its members may do, and what follows from it."""

from collections.abc import Sequence
from typing import cast

import msgspec

from domain import commands as c
from domain import events as e
from domain import instants
from domain.refusals import (
    CHAT_NOT_FOUND,
    DIRECT_CHAT,
    GROUP_FULL,
    MESSAGE_DELETED,
    MESSAGE_NOT_FOUND,
    UNCHANGED,
    UNKNOWN_MESSAGE,
    USER_NOT_FOUND,
    Refusal,
    Unchanged,
    invalid,
    not_allowed,
)
from domain.state import HEAD, ROSTER, Changes, Head, Member, Place, Roster, State, message_part

MAX_MEMBERS = 1024

Decision = Sequence[e.Event] | Refusal | Unchanged

ADMINS_ONLY = not_allowed("Only an admin of the group may do this.")


def needs(action: c.Action) -> tuple[str, ...]:
    """The parts that deciding on this action reads, beside head and roster."""
    match action:
        case c.EditMessage() | c.DeleteMessage() | c.ExpireMessage() | c.React():
            return (message_part(action.message),)
        case c.SendMessage(reply_to=int(seq)):
            return (message_part(seq),)
    return ()


def decide(state: State, command: c.Command, now: str) -> Decision:
    """What the command makes of the chat.

    `now` is the time the events will carry. Access comes first: someone outside the chat learns
    nothing, not even that it exists.
    """
    roster = cast(Roster | None, state.get(ROSTER))
    action = command.action
    if isinstance(action, c.CreateChat):
        return _create(roster, action, command.actor)
    if roster is None:
        return CHAT_NOT_FOUND
    moderating = command.rights == "moderator" and isinstance(action, c.DeleteMessage)
    overriding = moderating or command.rights in ("operator", "system")
    me = roster.members.get(command.actor)
    if me is None and not overriding:
        return CHAT_NOT_FOUND
    admin = command.rights in ("operator", "system") or (me is not None and me.role == "admin")
    match action:
        case c.ChangeChat():
            return _change(roster, action, admin)
        case c.AddMembers():
            return _add(roster, action, admin)
        case c.RemoveMember():
            return _remove(roster, action, command.actor, admin)
        case c.SetRole():
            return _set_role(roster, action, admin)
        case c.SendMessage():
            return CHAT_NOT_FOUND if me is None else _send(state, roster, me, action, now)
        case c.ExpireMessage():
            if command.rights != "system":
                return not_allowed("Only the scheduler ends a message's time.")
            return _expire(state, action, command.time)
        case c.EditMessage() | c.DeleteMessage() | c.React():
            joined = 0 if me is None or moderating else me.joined
            place = _visible(state, roster, joined, action.message)
            if place is None:
                return MESSAGE_NOT_FOUND
            return _about(roster, place, command, admin or moderating, now)
    return invalid("do", "A chat does not take this action.")


def _about(roster: Roster, place: Place, command: c.Command, admin: bool, now: str) -> Decision:
    match command.action:
        case c.EditMessage() as action:
            return _edit(place, action, command.actor, now)
        case c.DeleteMessage() as action:
            return _delete(roster, place, action, command.actor, admin, now)
        case c.React() as action:
            return _react(place, action, command.actor, now)
    raise AssertionError(command.action)


def _create(roster: Roster | None, action: c.CreateChat, actor: str) -> Decision:
    if roster is not None:
        return UNCHANGED
    members = list(dict.fromkeys(action.members))
    if action.kind == "direct":
        if len(members) != 2:
            return invalid("members", "A direct chat is between two different users.")
        return [e.ChatCreated(kind="direct", members=members, admins=[], history="all")]
    if not members:
        return invalid("members", "A group needs a member.")
    if len(members) > MAX_MEMBERS:
        return GROUP_FULL
    admins = [user for user in dict.fromkeys(action.admins) if user in members]
    return [
        e.ChatCreated(
            kind="group",
            members=members,
            admins=admins or [actor if actor in members else members[0]],
            name=action.name,
            description=action.description,
            avatar=action.avatar,
            history=action.history,
        )
    ]


def _change(roster: Roster, action: c.ChangeChat, admin: bool) -> Decision:
    if roster.kind == "direct":
        return DIRECT_CHAT
    if not admin:
        return ADMINS_ONLY
    if action.name is action.description is action.avatar is msgspec.UNSET:
        return UNCHANGED
    return [e.ChatChanged(name=action.name, description=action.description, avatar=action.avatar)]


def _add(roster: Roster, action: c.AddMembers, admin: bool) -> Decision:
    if roster.kind == "direct":
        return DIRECT_CHAT
    if not admin:
        return ADMINS_ONLY
    new = [user for user in dict.fromkeys(action.users) if user not in roster.members]
    if len(roster.members) + len(new) > MAX_MEMBERS:
        return GROUP_FULL
    events: list[e.Event] = [e.MemberAdded(user=user) for user in new]
    if new and not roster.members:
        # Everyone had left: a group never stays without an admin.
        events.append(e.MemberPromoted(user=new[0]))
    return events or UNCHANGED


def _remove(roster: Roster, action: c.RemoveMember, actor: str, admin: bool) -> Decision:
    if roster.kind == "direct":
        return DIRECT_CHAT
    left = action.user == actor
    if not left and not admin:
        return ADMINS_ONLY
    if action.user not in roster.members:
        return USER_NOT_FOUND
    events: list[e.Event] = [
        e.MemberRemoved(user=action.user, removed="left" if left else "removed")
    ]
    rest = {user: member for user, member in roster.members.items() if user != action.user}
    if rest and all(member.role != "admin" for member in rest.values()):
        heir = min(rest, key=lambda user: rest[user].joined)
        events.append(e.MemberPromoted(user=heir))
    return events


def _set_role(roster: Roster, action: c.SetRole, admin: bool) -> Decision:
    if roster.kind == "direct":
        return DIRECT_CHAT
    if not admin:
        return ADMINS_ONLY
    member = roster.members.get(action.user)
    if member is None:
        return USER_NOT_FOUND
    if member.role == action.role:
        return UNCHANGED
    if action.role == "admin":
        return [e.MemberPromoted(user=action.user)]
    if sum(other.role == "admin" for other in roster.members.values()) == 1:
        return not_allowed("A group keeps at least one admin.")
    return [e.MemberDemoted(user=action.user)]


def _send(state: State, roster: Roster, me: Member, action: c.SendMessage, now: str) -> Decision:
    if action.reply_to is not None and not _visible(state, roster, me.joined, action.reply_to):
        return UNKNOWN_MESSAGE
    head = cast(Head, state[HEAD])
    expires_at = None if action.expires_in is None else instants.later(now, action.expires_in)
    return [
        e.MessageSent(
            ordinal=head.ordinal + 1,
            kind=action.kind,
            content=action.content,
            metadata=action.metadata,
            media=action.media,
            reply_to=action.reply_to,
            mentions=list(action.mentions),
            expires_at=expires_at,
            schedule=action.schedule,
        )
    ]


def _edit(place: Place, action: c.EditMessage, actor: str, now: str) -> Decision:
    if place.sender != actor:
        return not_allowed("Only its sender may edit a message.")
    if _gone(place, now):
        return MESSAGE_DELETED
    if action.blank and place.kind == "text":
        return invalid("content", "A text message can't be empty.")
    return [
        e.MessageEdited(
            message=action.message, content=action.content, mentions=list(action.mentions)
        )
    ]


def _delete(
    roster: Roster, place: Place, action: c.DeleteMessage, actor: str, admin: bool, now: str
) -> Decision:
    if place.sender != actor and not admin:
        if roster.kind == "direct":
            return not_allowed("In a direct chat only its sender deletes a message for everyone.")
        return not_allowed("Only its sender or an admin deletes a message for everyone.")
    if _gone(place, now):
        return UNCHANGED
    return [e.MessageDeleted(message=action.message)]


def _expire(state: State, action: c.ExpireMessage, time: str) -> Decision:
    place = cast(Place | None, state.get(message_part(action.message)))
    if place is None:
        return MESSAGE_NOT_FOUND
    if place.expired:
        return UNCHANGED
    if place.expires_at is None or place.expires_at > time:
        return not_allowed("The message has not reached its end.")
    return [e.MessageExpired(message=action.message, key=action.key)]


def _react(place: Place, action: c.React, actor: str, now: str) -> Decision:
    if _gone(place, now):
        return MESSAGE_DELETED
    before = place.reactions.get(actor)
    if before == action.emoji:
        return UNCHANGED
    if action.emoji is not None:
        return [e.ReactionSet(message=action.message, emoji=action.emoji)]
    return [e.ReactionCleared(message=action.message, emoji=cast(str, before))]


def _visible(state: State, roster: Roster, joined: int, seq: int) -> Place | None:
    """The message at `seq`, unless it is older than what someone who joined there may see."""
    if roster.history == "since_joined" and seq < joined:
        return None
    return cast(Place | None, state.get(message_part(seq)))


def _gone(place: Place, now: str) -> bool:
    return place.deleted or (place.expires_at is not None and place.expires_at <= now)


def evolve(state: State, event: e.Event, seq: int, actor: str) -> Changes:
    """The parts of the chat's state that the event at `seq` changes."""
    match event:
        case e.ChatCreated():
            return {
                ROSTER: Roster(
                    event.kind,
                    event.history,
                    {
                        user: Member("admin" if user in event.admins else "member", seq)
                        for user in event.members
                    },
                )
            }
        case e.MemberAdded():
            return _with_member(state, event.user, Member("member", seq))
        case e.MemberRemoved():
            return _with_member(state, event.user, None)
        case e.MemberPromoted() | e.MemberDemoted():
            joined = cast(Roster, state[ROSTER]).members[event.user].joined
            role: c.Role = "admin" if isinstance(event, e.MemberPromoted) else "member"
            return _with_member(state, event.user, Member(role, joined))
        case e.MessageSent():
            return {message_part(seq): Place(actor, event.kind, event.expires_at)}
        case e.MessageDeleted():
            return _with_place(state, event.message, deleted=True, reactions={})
        case e.MessageExpired():
            return _with_place(state, event.message, deleted=True, reactions={}, expired=True)
        case e.ReactionSet() | e.ReactionCleared():
            place = cast(Place, state[message_part(event.message)])
            reactions = {user: emoji for user, emoji in place.reactions.items() if user != actor}
            if isinstance(event, e.ReactionSet):
                reactions[actor] = event.emoji
            return _with_place(state, event.message, reactions=reactions)
    return {}


def _with_member(state: State, user: str, member: Member | None) -> Changes:
    roster = cast(Roster, state[ROSTER])
    members = dict(roster.members)
    if member is None:
        del members[user]
    else:
        members[user] = member
    return {ROSTER: Roster(roster.kind, roster.history, members)}


def _with_place(state: State, seq: int, **changed: object) -> Changes:
    place = cast(Place, state[message_part(seq)])
    return {message_part(seq): msgspec.structs.replace(place, **changed)}
