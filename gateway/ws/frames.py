"""The frames of the WebSocket protocol: what clients may send, and what the server answers."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.forms import Content, Emoji, Form, FrameId, Id, Mentions, SendForm, Seq
from projections.realtime.presence import Status
from projections.views.shapes import Event

#: A token is larger than any identity provider's, yet far below the limit of a frame.
Token = Annotated[str, Meta(max_length=65_536)]
Stream = Annotated[str, Meta(max_length=256)]


class Hello(Form, frozen=True, tag_field="op", tag="hello"):
    token: Token | None = None
    resume: dict[Stream, Annotated[int, Meta(ge=0, le=2**63 - 1)]] | None = None


class Auth(Form, frozen=True, tag_field="op", tag="auth"):
    token: Token


class Send(SendForm, frozen=True, kw_only=True, tag_field="op", tag="send"):
    id: FrameId
    chat: Id


class Edit(Form, frozen=True, kw_only=True, tag_field="op", tag="edit"):
    id: FrameId
    chat: Id
    seq: Seq
    content: Content
    mentions: Mentions = msgspec.field(default_factory=list)


class Delete(Form, frozen=True, kw_only=True, tag_field="op", tag="delete"):
    id: FrameId
    chat: Id
    seq: Seq
    scope: Literal["everyone", "me"] = msgspec.field(name="for")


class React(Form, frozen=True, kw_only=True, tag_field="op", tag="react"):
    id: FrameId
    chat: Id
    seq: Seq
    emoji: Emoji | None


class Read(Form, frozen=True, kw_only=True, tag_field="op", tag="read"):
    id: FrameId | None = None
    chat: Id
    up_to: Seq


class Delivered(Form, frozen=True, kw_only=True, tag_field="op", tag="delivered"):
    id: FrameId | None = None
    chat: Id
    up_to: Seq


class Typing(Form, frozen=True, tag_field="op", tag="typing"):
    chat: Id
    on: bool


class Presence(Form, frozen=True, tag_field="op", tag="presence"):
    status: Status


class Ping(Form, frozen=True, tag_field="op", tag="ping"):
    pass


Write = Send | Edit | Delete | React
Mark = Read | Delivered
InChat = Write | Mark | Typing
Request = Auth | Presence | InChat
ClientFrame = Hello | Request | Ping


class Named(msgspec.Struct, frozen=True):
    """What can be said of a frame that is otherwise wrong."""

    op: str | None = None
    id: str | None = None


class Welcome(msgspec.Struct, frozen=True, tag_field="op", tag="welcome"):
    user: str
    session: str
    heartbeat_ms: int
    expires_at: str
    streams: dict[str, int]
    recovered: bool


class Renewed(msgspec.Struct, frozen=True, tag_field="op", tag="auth"):
    expires_at: str


class Ack(msgspec.Struct, frozen=True, tag_field="op", tag="ack", omit_defaults=True):
    """`id` is absent for a mark that was sent without one."""

    chat: str
    seq: int
    time: str
    position: str
    id: str | None = None
    ordinal: int | None = None
    schedule: str | None = None
    up_to: int | None = None


class Error(msgspec.Struct, frozen=True, tag_field="op", tag="error", omit_defaults=True):
    code: str
    detail: str
    id: str | None = None
    retry_after_ms: int | None = None


class Reset(msgspec.Struct, frozen=True, tag_field="op", tag="reset", omit_defaults=True):
    stream: str | None = None
    seq: int | None = None


class TypingShown(msgspec.Struct, frozen=True, tag_field="op", tag="typing"):
    chat: str
    user: str
    on: bool


class PresenceShown(msgspec.Struct, frozen=True, tag_field="op", tag="presence"):
    user: str
    status: Status


class Pong(msgspec.Struct, frozen=True, tag_field="op", tag="pong"):
    pass


ServerFrame = Welcome | Renewed | Ack | Error | Reset | TypingShown | PresenceShown | Pong

encode = msgspec.json.Encoder().encode
PONG = encode(Pong())


def event(shown: Event) -> bytes:
    """An event of the feed as a frame: the same fields behind an `op`."""
    return b'{"op":"event",' + encode(shown)[1:]
