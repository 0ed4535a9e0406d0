"""What users are told of: mentions, replies, reactions and invitations, a row for each.

Whether a row still stands, and whether it was read, is found out when it is shown.
"""

from collections.abc import Iterable

from domain import events as e
from domain.notifications import Kind
from projections.chats import MEMBERSHIPS
from projections.fold import Made, ReadModel, Seen, WorkingSet
from projections.messages import MESSAGES
from projections.store.port import Collection, Document, Index, Ref


class Notification(Document, frozen=True):
    """`event` is the seq of what happened. `place` orders a user's rows, and is the id of one.

    `message` is what was said, or what the reaction is to. A row does not stand any more once the
    reaction it tells of was taken back.
    """

    user: str
    chat: str
    event: int
    place: str
    kind: Kind
    actor: str
    time: str
    message: int | None = None
    standing: bool = True


NOTIFICATIONS = Collection(
    "notifications",
    Notification,
    ("user", "chat", "event"),
    (
        Index("by_user", ("user", "place"), where="standing"),
        Index("by_event", ("chat", "event"), where="standing"),
    ),
)


def place(time: str, chat: str, event: int) -> str:
    """Where a row stands among a user's: by time, then seq."""
    return f"{time}-{event:019}-{chat}"


def _needs(seen: Seen, _: WorkingSet) -> Iterable[Ref]:
    match seen.data:
        case e.MessageSent() as data:
            yield from ((MEMBERSHIPS, (user, seen.id)) for user in data.mentions)
            if data.reply_to is not None:
                yield MESSAGES, (seen.id, data.reply_to)


def _then(seen: Seen, docs: WorkingSet) -> Iterable[Ref]:
    message = _about(seen.data)
    known = docs.get(MESSAGES, seen.id, message) if message is not None else None
    if known is not None:
        yield MEMBERSHIPS, (known.sender, seen.id)


def _about(data: e.Event) -> int | None:
    """The message whose sender an event may tell of it."""
    match data:
        case e.MessageSent():
            return data.reply_to
        case e.ReactionSet() | e.ReactionCleared():
            return data.message
    return None


def _fold(seen: Seen, docs: WorkingSet) -> Made:
    match seen.data:
        case e.MessageSent() as data:
            yield from _of_message(seen, data, docs)
        case e.ReactionSet() | e.ReactionCleared() as data:
            yield from _of_reaction(seen, data, docs)
        case e.MemberAdded(user=user):
            yield from _row(seen, user, "group_invite")
        case e.ChatCreated(kind="group", members=members):
            for user in members:
                yield from _row(seen, user, "group_invite")


def _of_message(seen: Seen, data: e.MessageSent, docs: WorkingSet) -> Made:
    told: dict[str, Kind] = dict.fromkeys(data.mentions, "mention")
    if data.reply_to is not None:
        answered = docs.get(MESSAGES, seen.id, data.reply_to)
        assert answered is not None
        told.setdefault(answered.sender, "reply")
    for user, kind in told.items():
        if _is_member(seen, user, docs):
            yield from _row(seen, user, kind, seen.envelope.seq)


def _of_reaction(seen: Seen, data: e.ReactionSet | e.ReactionCleared, docs: WorkingSet) -> Made:
    message = docs.get(MESSAGES, seen.id, data.message)
    assert message is not None
    envelope = seen.envelope
    before = message.reactions.get(envelope.actor)
    # The message may have seen more than this event, when that comes once more.
    if before is not None and before.event < envelope.seq and message.sender != envelope.actor:
        yield (
            NOTIFICATIONS,
            Notification(
                seq=envelope.seq,
                user=message.sender,
                chat=seen.id,
                event=before.event,
                place=place(before.at, seen.id, before.event),
                kind="reaction",
                actor=envelope.actor,
                time=before.at,
                message=data.message,
                standing=False,
            ),
        )
    if isinstance(data, e.ReactionSet) and _is_member(seen, message.sender, docs):
        yield from _row(seen, message.sender, "reaction", data.message)


def _is_member(seen: Seen, user: str, docs: WorkingSet) -> bool:
    membership = docs.get(MEMBERSHIPS, user, seen.id)
    return membership is not None and membership.present and membership.joined < seen.envelope.seq


def _row(seen: Seen, user: str, kind: Kind, message: int | None = None) -> Made:
    envelope = seen.envelope
    # Nobody is told of what they did themselves.
    if user != envelope.actor:
        yield (
            NOTIFICATIONS,
            Notification(
                seq=envelope.seq,
                user=user,
                chat=seen.id,
                event=envelope.seq,
                place=place(envelope.time, seen.id, envelope.seq),
                kind=kind,
                actor=envelope.actor,
                time=envelope.time,
                message=message,
            ),
        )


MODEL = ReadModel((NOTIFICATIONS,), _needs, _fold, _then)
