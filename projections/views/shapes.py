"""The forms in which clients see things. A field whose default stands here is left out by it."""

from collections.abc import Sequence
from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from domain.envelope import Basis
from domain.events import ChatKind, History, MessageKind
from domain.notifications import Kind as NotificationKind
from projections.realtime.presence import Status as PresenceStatus

T = TypeVar("T")

Status = Literal["sent", "delivered", "read"]
ScheduleStatus = Literal["scheduled", "sending", "sent", "failed", "cancelled"]
Kind = MessageKind | Literal["system"]
Role = Literal["admin", "member"]
Place = tuple[str | int | bool, ...]


class Shape(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Part of an answer. `erased` says that a field is null because its key was destroyed."""


class Presence(Shape, frozen=True):
    user: str
    status: PresenceStatus


class Listing(Shape, Generic[T], frozen=True):
    """`next` is where the list goes on, as plain values, and null at its end."""

    items: Sequence[T]
    next: int | Place | None


class Reaction(Shape, frozen=True):
    emoji: str
    user: str
    at: str


class Preview(Shape, frozen=True):
    """A message that was answered; of one too old for the reader `sender` and `kind` are null."""

    seq: int
    sender: str | None
    kind: Kind | None
    content: str | None
    erased: bool = False


class Message(Shape, frozen=True):
    chat: str
    seq: int
    ordinal: int | None
    sender: str
    kind: Kind
    content: str | None
    metadata: dict[str, Any] | None
    reply_to: Preview | None
    mentions: Sequence[str]
    reactions: Sequence[Reaction]
    reaction_counts: dict[str, int]
    status: Status
    sent_at: str
    edited_at: str | None
    deleted_at: str | None
    expires_at: str | None
    erased: bool = False


class MessagePage(Shape, frozen=True):
    """`next` is the value for `before`, or for `after` if the page was asked by that. A page asked
    by `around` has `newer` too, the value for `after`."""

    items: Sequence[Message]
    next: int | None
    newer: int | None | UnsetType = UNSET


class Schedule(Shape, frozen=True):
    """A message to be sent, with the fields it was given. `seq` is that of the message once it was
    sent, `code` says why it failed."""

    id: str
    chat: str
    scheduled_for: str
    status: ScheduleStatus
    kind: MessageKind
    content: str | None
    metadata: dict[str, Any] | None
    reply_to: int | None
    mentions: Sequence[str]
    expires_in: int | None
    seq: int | None
    code: str | None
    erased: bool = False


class Notification(Shape, frozen=True):
    """`message` is what was said, what a reaction is to, or the newest unread message of the
    chat; null for an invitation. `id` orders them."""

    id: str
    kind: NotificationKind
    chat: str
    message: int | None
    actor: str
    time: str
    read: bool


class Channels(Shape, frozen=True):
    push: bool
    email: bool


class Preferences(Shape, frozen=True):
    """How a user is told of what, by kind."""

    mention: Channels
    reply: Channels
    reaction: Channels
    group_invite: Channels
    message: Channels


class Version(Shape, frozen=True):
    """What a message said from the instant `at` until the next version."""

    content: str | None
    mentions: Sequence[str]
    at: str
    erased: bool = False


class Receipt(Shape, frozen=True):
    """When a member first had a message, and had read it; null for not yet."""

    user: str
    delivered_at: str | None
    read_at: str | None


class ChatReceipt(Shape, frozen=True):
    user: str
    delivered_up_to: int
    read_up_to: int


class Member(Shape, frozen=True):
    user: str
    role: Role
    joined_at: str


class Chat(Shape, frozen=True):
    id: str
    kind: ChatKind
    name: str | None
    description: str | None
    avatar: str | None
    history: History
    created_at: str
    members: Sequence[Member]
    members_count: int
    erased: bool = False


class InboxChat(Shape, frozen=True):
    """A chat as the inbox has it: `members` for direct chats only."""

    id: str
    kind: ChatKind
    name: str | None
    avatar: str | None
    members_count: int
    members: Sequence[Member] | UnsetType = UNSET
    erased: bool = False


class InboxRow(Shape, frozen=True):
    chat: InboxChat
    last_message: Message | None
    unread: int
    pinned: bool
    archived: bool
    muted_until: str | None
    read_up_to: int


class Profile(Shape, frozen=True):
    """`email` is there for the user alone."""

    id: str
    name: str | None
    avatar: str | None
    registered_at: str
    email: str | None | UnsetType = UNSET
    erased: bool = False


class Media(Shape, frozen=True):
    """An uploaded file. `size` in bytes and `sha256` are of what is stored; `width` and `height` in
    pixels, `duration` in seconds. `thumbnail` is the path of a small WebP of an image."""

    id: str
    owner: str
    name: str | None
    mime: str
    size: int
    sha256: str | None
    width: int | None
    height: int | None
    duration: float | None
    thumbnail: str | None
    uploaded_at: str
    erased: bool = False


class Block(Shape, frozen=True):
    user: str
    blocked_at: str


class Report(Shape, frozen=True):
    """A message that was reported, for the admins of its chat: by whom stays out."""

    chat: str
    seq: int
    sender: str
    reason: str | None
    reported_at: str
    erased: bool = False


class ReportedMessage(Shape, frozen=True):
    """What a moderator is shown of a message; of a gone one no content."""

    sender: str
    kind: Kind
    content: str | None
    metadata: dict[str, Any] | None
    sent_at: str
    deleted_at: str | None
    erased: bool = False


class FullReport(Shape, frozen=True):
    """A report for moderators, with the message as it is now."""

    chat: str
    seq: int
    reporter: str
    reason: str | None
    reported_at: str
    message: ReportedMessage
    erased: bool = False


class Event(Shape, frozen=True):
    """An event as the feed and the frames show it."""

    stream: str
    seq: int
    type: str
    time: str
    actor: str
    command: str
    data: dict[str, Any] | msgspec.Raw
    redacted: bool = False


class Found(Shape, frozen=True):
    """`highlights` are places [start, end) in characters of the content."""

    message: Message
    chat: InboxChat
    highlights: Sequence[tuple[int, int]]


class Recorded(Shape, frozen=True):
    """An event as the record has it, its sealed fields opened as far as their keys are there.

    `hash` is the SHA-256 of its bytes, which the next event's `prev` names.
    """

    stream: str
    seq: int
    type: str
    time: str
    actor: str
    command: str
    data: dict[str, Any]
    prev: str
    hash: str
    original_time: str | None = None
    basis: Sequence[Basis] = ()


class Checkpoint(Shape, frozen=True):
    """How far a stream has come: the seq, time and hash of its last event."""

    stream: str
    seq: int
    time: str
    hash: str


class Verified(Shape, frozen=True):
    """How far a stream was followed, and the first fault, if one was met. With `next` there is
    more to follow."""

    stream: str
    ok: bool
    fault: str | None
    seq: int
    hash: str
    next: str | None


class Saw(Shape, frozen=True):
    """When a message first reached someone, and was first read; null for not (yet). `member` says
    whether they are in the chat now."""

    user: str
    member: bool
    delivered_at: str | None
    read_at: str | None


class AsOf(Shape, frozen=True):
    """What a user was shown at an instant: a chat with a page of its messages, or the inbox."""

    user: str
    at: str
    chat: Chat | None = None
    messages: MessagePage | None = None
    inbox: Listing[InboxRow] | None = None
