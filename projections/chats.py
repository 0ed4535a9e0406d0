"""Chats and who is in them."""

from collections.abc import Iterable
from typing import Literal

import msgspec
from msgspec import UNSET

from domain import events as e
from projections.fold import Held, Made, ReadModel, Seen, WorkingSet, held
from projections.store.port import Collection, Document, Index, Ref


class Chat(Document, frozen=True):
    """`active_at` is the newest message's time, or the creation's.

    The `…_up_to` fields are the highest message seq that was removed, will expire, or came from a
    schedule: where a reader's mark is at or past them, counting needs no look at the messages.
    """

    chat: str
    kind: e.ChatKind
    history: e.History
    created_at: str
    active_at: str
    members_count: int
    members: tuple[str, ...] = ()
    name: Held | None = None
    description: Held | None = None
    avatar: Held | None = None
    ordinal: int = 0
    last_message: int = 0
    removed_up_to: int = 0
    expiring_up_to: int = 0
    scheduled_up_to: int = 0


class Membership(Document, frozen=True):
    """How a user belongs to a chat. `joined` is the seq of the latest joining, `joined_ordinal` the
    number of messages before it, `sent` the user's newest message sent by hand."""

    user: str
    chat: str
    present: bool
    role: Literal["admin", "member"]
    joined: int
    joined_at: str
    joined_ordinal: int
    sent: int = 0


CHATS = Collection("chats", Chat, ("chat",))
MEMBERSHIPS = Collection(
    "memberships",
    Membership,
    ("user", "chat"),
    (
        Index("by_user", ("user", "chat"), where="present"),
        Index("by_chat", ("chat", "joined"), where="present"),
    ),
)


def _needs(seen: Seen, _: WorkingSet) -> Iterable[Ref]:
    if not seen.envelope.source.startswith("/chats/"):
        return
    yield CHATS, (seen.id,)
    match seen.data:
        case e.ChatCreated():
            # On redelivery there may be newer ones, which the engine has to know of.
            yield from ((MEMBERSHIPS, (user, seen.id)) for user in seen.data.members)
        case e.MessageSent():
            yield MEMBERSHIPS, (seen.envelope.actor, seen.id)
        case e.MemberAdded() | e.MemberRemoved() | e.MemberPromoted() | e.MemberDemoted():
            yield MEMBERSHIPS, (seen.data.user, seen.id)


def _fold(seen: Seen, docs: WorkingSet) -> Made:
    if not seen.envelope.source.startswith("/chats/"):
        return
    yield from _memberships(seen, docs)
    if isinstance(seen.data, e.ChatCreated):
        yield CHATS, _created(seen, seen.data)
        return
    chat = docs.get(CHATS, seen.id)
    assert chat is not None
    yield CHATS, _changed(seen, chat)


def _created(seen: Seen, data: e.ChatCreated) -> Chat:
    return Chat(
        seq=seen.envelope.seq,
        chat=seen.id,
        kind=data.kind,
        history=data.history,
        created_at=seen.envelope.time,
        active_at=seen.envelope.time,
        members_count=len(data.members),
        members=tuple(data.members) if data.kind == "direct" else (),
        name=held(seen, data.name),
        description=held(seen, data.description),
        avatar=held(seen, data.avatar),
    )


def _changed(seen: Seen, chat: Chat) -> Chat:
    seq = seen.envelope.seq
    change: dict[str, object] = {}
    match seen.data:
        case e.MessageSent() as data:
            change = {
                "ordinal": data.ordinal,
                "last_message": seq,
                "active_at": seen.envelope.time,
            }
            if data.expires_at is not None:
                change["expiring_up_to"] = seq
            if data.schedule is not None:
                change["scheduled_up_to"] = seq
        case e.MessageDeleted(message=message) | e.MessageExpired(message=message):
            change = {"removed_up_to": max(chat.removed_up_to, message)}
        case e.MemberAdded():
            change = {"members_count": chat.members_count + 1}
        case e.MemberRemoved():
            change = {"members_count": chat.members_count - 1}
        case e.ChatChanged() as data:
            change = {
                field: held(seen, value)
                for field in ("name", "description", "avatar")
                if (value := getattr(data, field)) is not UNSET
            }
    return msgspec.structs.replace(chat, seq=seq, **change)


def _memberships(seen: Seen, docs: WorkingSet) -> Made:
    envelope, data = seen.envelope, seen.data
    seq = envelope.seq
    match data:
        case e.ChatCreated():
            for user in data.members:
                role: Literal["admin", "member"] = "admin" if user in data.admins else "member"
                yield MEMBERSHIPS, _joined(seen, user, role, 0, None)
        case e.MemberAdded():
            chat = docs.get(CHATS, seen.id)
            assert chat is not None
            known = docs.get(MEMBERSHIPS, data.user, seen.id)
            yield MEMBERSHIPS, _joined(seen, data.user, "member", chat.ordinal, known)
        case e.MemberRemoved():
            yield MEMBERSHIPS, _membership(seen, docs, data.user, present=False, seq=seq)
        case e.MemberPromoted():
            yield MEMBERSHIPS, _membership(seen, docs, data.user, role="admin", seq=seq)
        case e.MemberDemoted():
            yield MEMBERSHIPS, _membership(seen, docs, data.user, role="member", seq=seq)
        case e.MessageSent(schedule=None):
            yield MEMBERSHIPS, _membership(seen, docs, envelope.actor, sent=seq, seq=seq)


def _joined(
    seen: Seen,
    user: str,
    role: Literal["admin", "member"],
    joined_ordinal: int,
    known: Membership | None,
) -> Membership:
    return Membership(
        seq=seen.envelope.seq,
        user=user,
        chat=seen.id,
        present=True,
        role=role,
        joined=seen.envelope.seq,
        joined_at=seen.envelope.time,
        joined_ordinal=joined_ordinal,
        sent=known.sent if known else 0,
    )


def _membership(seen: Seen, docs: WorkingSet, user: str, **change: object) -> Membership:
    known = docs.get(MEMBERSHIPS, user, seen.id)
    assert known is not None
    return msgspec.structs.replace(known, **change)


MODEL = ReadModel((CHATS, MEMBERSHIPS), _needs, _fold)
