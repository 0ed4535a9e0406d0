"""Messages as readers see them, and the system messages that other events of a chat show as."""

from collections.abc import Iterable
from typing import Any, Literal, cast

import msgspec
from msgspec import UNSET

from domain import events as e
from domain.sealing import is_sealed
from projections.fold import Held, Made, ReadModel, Seen, WorkingSet, held
from projections.store.port import Collection, Document, Index, Ref


class Reaction(msgspec.Struct, frozen=True, array_like=True):
    """`event` is the seq of its setting."""

    emoji: str
    at: str
    event: int = 0


class Message(Document, frozen=True):
    """`message` is the seq of the event it shows; `edits` are the seqs of its edits.

    `gone` stands once it was deleted for everyone or has expired; `expiring` is `expires_at` until
    the event of its end has come, deleted or not. `media` stays when a message is deleted, since
    the record keeps what was said; it goes with what destroys itself. `key` is the id of the key
    that seals this message alone. A system message has no ordinal; its `content` is the event's
    type.
    """

    chat: str
    message: int
    sender: str
    kind: e.MessageKind | Literal["system"]
    sent_at: str
    ordinal: int | None = None
    content: Held | None = None
    metadata: Held | None = None
    media: str | None = None
    reply_to: int | None = None
    mentions: tuple[str, ...] = ()
    edits: tuple[int, ...] = ()
    edited_at: str | None = None
    deleted_at: str | None = None
    expires_at: str | None = None
    expiring: str | None = None
    gone: bool = False
    schedule: str | None = None
    key: str | None = None
    reactions: dict[str, Reaction] = msgspec.field(default_factory=dict)


MESSAGES = Collection(
    "messages",
    Message,
    ("chat", "message"),
    (
        Index("by_sender", ("chat", "sender", "message"), where="ordinal"),
        Index("by_ordinal", ("chat", "message"), where="ordinal"),
        Index("removed", ("chat", "message"), where="gone"),
        Index("expiring", ("chat", "expiring"), where="expiring"),
        Index("ending", ("expiring",), where="expiring"),
        Index("scheduled", ("chat", "sender", "message"), where="schedule"),
        Index("by_media", ("media", "chat", "message"), where="media"),
    ),
)

SYSTEM = (
    e.ChatCreated,
    e.ChatChanged,
    e.MemberAdded,
    e.MemberRemoved,
    e.MemberPromoted,
    e.MemberDemoted,
)


def message_of(data: e.Event) -> int | None:
    """The message that an event of a chat is about, by seq; null for its sending and for others."""
    match data:
        case e.MessageEdited() | e.MessageDeleted() | e.MessageExpired():
            return data.message
        case e.ReactionSet() | e.ReactionCleared():
            return data.message
    return None


def own_key(content: e.Sealable) -> str | None:
    """The id of the key that a message alone is sealed under, if it has one."""
    if is_sealed(content):
        key_id = cast(dict[str, str], content)["sealed"]
        return key_id if key_id.startswith("messages/") else None
    return None


def _needs(seen: Seen, _: WorkingSet) -> Iterable[Ref]:
    message = message_of(seen.data)
    if message is not None and seen.envelope.source.startswith("/chats/"):
        yield MESSAGES, (seen.id, message)


def _fold(seen: Seen, docs: WorkingSet) -> Made:
    data, envelope = seen.data, seen.envelope
    if isinstance(data, e.MessageSent):
        yield MESSAGES, _sent(seen, data)
    elif isinstance(data, SYSTEM):
        yield MESSAGES, _system(seen)
    elif (message := message_of(data)) is not None and envelope.source.startswith("/chats/"):
        known = docs.get(MESSAGES, seen.id, message)
        assert known is not None
        yield MESSAGES, msgspec.structs.replace(known, seq=envelope.seq, **_change(seen, known))


def _sent(seen: Seen, data: e.MessageSent) -> Message:
    return Message(
        seq=seen.envelope.seq,
        chat=seen.id,
        message=seen.envelope.seq,
        sender=seen.envelope.actor,
        kind=data.kind,
        sent_at=seen.envelope.time,
        ordinal=data.ordinal,
        content=held(seen, data.content),
        metadata=held(seen, data.metadata),
        media=data.media,
        reply_to=data.reply_to,
        mentions=tuple(data.mentions),
        expires_at=data.expires_at,
        expiring=data.expires_at,
        schedule=data.schedule,
        key=own_key(data.content),
    )


def _system(seen: Seen) -> Message:
    # Sealed fields stay out: their present values are the chat's own, under the chat's key.
    shown: dict[str, Any] = {
        name: value
        for name in ("user", "removed", "kind", "history")
        if (value := getattr(seen.data, name, UNSET)) is not UNSET
    }
    if isinstance(seen.data, e.ChatChanged):
        shown["changed"] = [
            name
            for name in ("name", "description", "avatar")
            if getattr(seen.data, name) is not UNSET
        ]
    return Message(
        seq=seen.envelope.seq,
        chat=seen.id,
        message=seen.envelope.seq,
        sender=seen.envelope.actor,
        kind="system",
        sent_at=seen.envelope.time,
        content=Held(seen.envelope.type, seen.envelope.commandid),
        metadata=Held(shown, seen.envelope.commandid),
    )


def _change(seen: Seen, known: Message) -> dict[str, object]:
    envelope = seen.envelope
    match seen.data:
        case e.MessageEdited() as data:
            return {
                "content": held(seen, data.content),
                "mentions": tuple(data.mentions),
                "edits": (*known.edits, envelope.seq),
                "edited_at": envelope.time,
            }
        case e.MessageDeleted():
            media = known.media if known.key is None else None
            return {**_EMPTIED, "media": media, "deleted_at": envelope.time}
        case e.MessageExpired():
            return {**_EMPTIED, "media": None, "expiring": None}
        case e.ReactionSet() as data:
            others = {u: r for u, r in known.reactions.items() if u != envelope.actor}
            own = Reaction(data.emoji, envelope.time, envelope.seq)
            return {"reactions": {**others, envelope.actor: own}}
        case e.ReactionCleared():
            return {"reactions": {u: r for u, r in known.reactions.items() if u != envelope.actor}}
    return {}


_EMPTIED: dict[str, object] = {
    "content": None,
    "metadata": None,
    "mentions": (),
    "reactions": {},
    "gone": True,
}


MODEL = ReadModel((MESSAGES,), _needs, _fold)
