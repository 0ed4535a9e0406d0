"""The folded state of a stream, in parts small enough to be loaded and kept one by one.

A decision names the parts it needs (`needs` of `domain.chat` and `domain.account`), so the state
of a chat with a million messages costs no more to decide on than that of a new one. Parts are
immutable: a fold returns the parts an event changes, and whoever holds the state replaces them.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from domain.events import Channel, ChatKind, History, MessageKind

HEAD = "head"
ROSTER = "roster"
ACCOUNT = "account"
NOTIFYING = "notifications"


def message_part(seq: int) -> str:
    return f"messages/{seq}"


def standing_part(chat: str) -> str:
    return f"chats/{chat}"


def hidden_part(chat: str, seq: int) -> str:
    return f"hidden/{chat}/{seq}"


def media_part(media: str) -> str:
    return f"media/{media}"


def schedule_part(schedule: str) -> str:
    return f"schedules/{schedule}"


def block_part(user: str) -> str:
    return f"blocks/{user}"


def report_part(chat: str, seq: int) -> str:
    return f"reports/{chat}/{seq}"


class Head(msgspec.Struct, frozen=True, tag="head", array_like=True):
    """Where a stream ends: `prev` is the hash the next event will carry, `ordinal` the number of
    messages sent so far."""

    seq: int
    time: str
    prev: str
    ordinal: int = 0


class Member(msgspec.Struct, frozen=True, array_like=True):
    role: Literal["admin", "member"]
    joined: int


class Roster(msgspec.Struct, frozen=True, tag="roster", array_like=True):
    """Who is in a chat, longest-standing first."""

    kind: ChatKind
    history: History
    members: dict[str, Member]


class Place(msgspec.Struct, frozen=True, tag="place", array_like=True):
    """What a chat has to remember of one message to decide about it. `deleted` stands for expired
    ones too; `expired` says that the log holds the end of its time."""

    sender: str
    kind: MessageKind
    expires_at: str | None = None
    deleted: bool = False
    reactions: dict[str, str] = {}
    expired: bool = False


class Account(msgspec.Struct, frozen=True, tag="account", array_like=True):
    registered: bool = False
    suspended: bool = False
    erased: bool = False


class Filed(msgspec.Struct, frozen=True, array_like=True):
    """A filing's value and the seq of the chat it was set against."""

    value: bool | str | None
    basis: int


class Standing(msgspec.Struct, frozen=True, tag="standing", array_like=True):
    """How a user stands to one chat: marks and filing."""

    delivered: int = 0
    read: int = 0
    filed: dict[str, Filed] = {}


class Hidden(msgspec.Struct, frozen=True, tag="hidden", array_like=True):
    """The user has deleted this message for themselves."""


class Media(msgspec.Struct, frozen=True, tag="media", array_like=True):
    """The user has uploaded this."""


class Schedule(msgspec.Struct, frozen=True, tag="schedule", array_like=True):
    """A scheduled message; it stays when it was cancelled or fired, so that this is known."""

    due: str
    kind: MessageKind
    status: Literal["scheduled", "cancelled", "claimed", "fired"] = "scheduled"


class Block(msgspec.Struct, frozen=True, tag="block", array_like=True):
    """Whether the user has blocked another now; it stays when that has ended."""

    stands: bool


class Report(msgspec.Struct, frozen=True, tag="report", array_like=True):
    """The user has reported this message."""


class Notifying(msgspec.Struct, frozen=True, tag="notifying", array_like=True):
    """What a user is told of: `preferences` are those that were set, by kind and channel,
    `devices` the fingerprints of their subscriptions."""

    read_up_to: str = ""
    preferences: dict[str, dict[Channel, bool]] = {}
    devices: dict[str, str] = {}


Part = (
    Head
    | Roster
    | Place
    | Account
    | Standing
    | Hidden
    | Media
    | Schedule
    | Block
    | Report
    | Notifying
)
State = Mapping[str, Part]
Changes = dict[str, Part]

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Part] = msgspec.json.Decoder(Part)


def encode_part(part: Part) -> bytes:
    return _encoder.encode(part)


def decode_part(stored: bytes | str) -> Part:
    return _decoder.decode(stored)
