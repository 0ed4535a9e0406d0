"""Everything that can happen: the data of each event, as published in the catalogue.

A published class never changes: a new version is a new class with an upcaster
(`domain.catalogue`). A `Sealable` value is plain, sealed (`domain.sealing`), or null.
"""

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

Sealable = str | dict[str, Any] | None
ChatKind = Literal["direct", "group"]
History = Literal["all", "since_joined"]
MessageKind = Literal["text", "image", "file", "audio", "video", "voice_note", "location"]
Channel = Literal["push", "email"]


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The data of one event."""


# Chat streams


class ChatCreated(Event, frozen=True, kw_only=True):
    kind: ChatKind
    members: list[str]
    admins: list[str]
    name: Sealable = None
    description: Sealable = None
    avatar: Sealable = None
    history: History


class ChatChanged(Event, frozen=True):
    """Fields left out stay as they are; null clears."""

    name: Sealable | UnsetType = UNSET
    description: Sealable | UnsetType = UNSET
    avatar: Sealable | UnsetType = UNSET


class MemberAdded(Event, frozen=True):
    user: str


class MemberRemoved(Event, frozen=True):
    user: str
    removed: Literal["left", "removed"]


class MemberPromoted(Event, frozen=True):
    user: str


class MemberDemoted(Event, frozen=True):
    user: str


class MessageSent(Event, frozen=True, kw_only=True):
    """`ordinal` counts the chat's messages alone."""

    ordinal: int
    kind: MessageKind
    content: Sealable
    metadata: Sealable = None
    media: str | None = None
    reply_to: int | None = None
    mentions: list[str]
    expires_at: str | None = None
    schedule: str | None = None


class MessageEdited(Event, frozen=True):
    message: int
    content: Sealable
    mentions: list[str]


class MessageDeleted(Event, frozen=True):
    message: int


class MessageExpired(Event, frozen=True):
    """`key` is the id of the key that was destroyed with the message."""

    message: int
    key: str | None = None


class ReactionSet(Event, frozen=True):
    message: int
    emoji: str


class ReactionCleared(Event, frozen=True):
    message: int
    emoji: str


# User streams


class UserRegistered(Event, frozen=True):
    name: Sealable
    email: Sealable = None
    avatar: Sealable = None


class UserChanged(Event, frozen=True):
    """Fields left out stay as they are; null clears."""

    name: Sealable | UnsetType = UNSET
    email: Sealable | UnsetType = UNSET
    avatar: Sealable | UnsetType = UNSET


class UserErased(Event, frozen=True):
    """`keys` are the ids of the keys destroyed; applied again on every start and restore."""

    keys: list[str]


class UserSuspended(Event, frozen=True):
    reason: Sealable = None


class UserResumed(Event, frozen=True):
    pass


class ChatDelivered(Event, frozen=True):
    chat: str
    up_to: int


class ChatRead(Event, frozen=True):
    chat: str
    up_to: int


class ChatFiled(Event, frozen=True):
    """Fields left out stay as they are; `muted_until: null` ends muting."""

    chat: str
    pinned: bool | UnsetType = UNSET
    archived: bool | UnsetType = UNSET
    muted_until: str | None | UnsetType = UNSET


class MessageHidden(Event, frozen=True):
    chat: str
    message: int


class MessageScheduled(Event, frozen=True, kw_only=True):
    schedule: str
    chat: str
    due: str
    kind: MessageKind
    content: Sealable
    metadata: Sealable = None
    media: str | None = None
    reply_to: int | None = None
    mentions: list[str]
    expires_in: int | None = None


class ScheduleChanged(Event, frozen=True):
    schedule: str
    due: str | UnsetType = UNSET
    content: Sealable | UnsetType = UNSET
    mentions: list[str] | UnsetType = UNSET


class ScheduleCancelled(Event, frozen=True):
    schedule: str


class ScheduleClaimed(Event, frozen=True):
    schedule: str
    due: str


class ScheduleFired(Event, frozen=True):
    """Either the `seq` of the message that was sent, or the code of its `refusal`."""

    schedule: str
    seq: int | None = None
    refusal: str | None = None


class NotificationsPreferred(Event, frozen=True):
    """`preferences` names only what changed: kind -> channel -> wanted."""

    preferences: dict[str, dict[Channel, bool]]


class NotificationsRead(Event, frozen=True):
    up_to: str


class DeviceAdded(Event, frozen=True):
    device: str
    kind: Literal["webpush"]
    subscription: Sealable


class DeviceRemoved(Event, frozen=True):
    device: str


class EmailVerified(Event, frozen=True):
    """The address is the user's: a token said so, or the link that was sent there was followed."""

    email: Sealable


class UserBlocked(Event, frozen=True):
    user: str


class UserUnblocked(Event, frozen=True):
    user: str


class MessageReported(Event, frozen=True):
    chat: str
    message: int
    reason: Sealable


class MediaUploaded(Event, frozen=True):
    """`size` in bytes, `width` and `height` in pixels, `duration` in seconds."""

    media: str
    name: Sealable
    mime: str
    size: int
    sha256: Sealable
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    thumbnail: str | None = None


# Operators' streams


class RecordRead(Event, frozen=True):
    what: str
    of: str | None = None
    as_of: str | None = None


class MessageRemoved(Event, frozen=True):
    chat: str
    message: int


class SuspensionOrdered(Event, frozen=True):
    user: str


class SuspensionLifted(Event, frozen=True):
    user: str


class ErasureOrdered(Event, frozen=True):
    user: str


class DataImported(Event, frozen=True):
    """What one run of the import wrote, counted by the type of line."""

    source: str
    lines: dict[str, int]
