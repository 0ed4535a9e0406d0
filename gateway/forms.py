"""The bodies of requests and the fields of frames, as clients send them."""

import re
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from domain.events import ChatKind, History, MessageKind
from domain.ids import USER_ID
from gateway.problems import Problem, invalid_request
from projections.realtime.presence import Status

# `(?![\s\S])` is the end of the text in every dialect; `$` also matches before a last newline.
_END = r"(?![\s\S])"
UserId = Annotated[str, Meta(pattern=rf"^{USER_ID}{_END}")]
Id = Annotated[str, Meta(pattern=rf"^[A-Za-z0-9._:-]{{1,128}}{_END}")]
Name = Annotated[str, Meta(min_length=1, max_length=128)]
Description = Annotated[str, Meta(max_length=2048)]
Email = Annotated[str, Meta(max_length=254, pattern=rf"^[^@\s]+@[^@\s]+{_END}")]
Reason = Annotated[str, Meta(min_length=1, max_length=2048)]
Content = Annotated[str, Meta(max_length=8192)]
Emoji = Annotated[str, Meta(pattern=rf"^\S{{1,32}}{_END}")]
#: A place in a stream; the log's own bound is that of a 64-bit integer.
Seq = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Mentions = Annotated[list[UserId], Meta(max_length=1024)]
Instant = Annotated[str, Meta(max_length=40)]
#: A frame's idempotency key.
FrameId = Annotated[str, Meta(min_length=1, max_length=255)]

MAX_METADATA_BYTES = 4096
MAX_METADATA_DEPTH = 8


class Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client sends. Unknown fields are refused."""


class ProfileForm(Form, frozen=True):
    name: Name | UnsetType = UNSET
    email: Email | None | UnsetType = UNSET
    avatar: Id | None | UnsetType = UNSET


class ChatForm(Form, frozen=True):
    kind: ChatKind
    members: Annotated[list[UserId], Meta(max_length=1024)]
    name: Name | None = None
    description: Description | None = None
    avatar: Id | None = None
    history: History | UnsetType = UNSET


class ChatChangeForm(Form, frozen=True):
    name: Name | None | UnsetType = UNSET
    description: Description | None | UnsetType = UNSET
    avatar: Id | None | UnsetType = UNSET


class MembersForm(Form, frozen=True):
    users: Annotated[list[UserId], Meta(min_length=1, max_length=1024)]


class RoleForm(Form, frozen=True):
    role: Literal["admin", "member"]


class FilingForm(Form, frozen=True):
    pinned: bool | UnsetType = UNSET
    archived: bool | UnsetType = UNSET
    muted_until: Instant | None | UnsetType = UNSET


class MarkForm(Form, frozen=True):
    up_to: Seq


class SendForm(Form, frozen=True, kw_only=True):
    kind: MessageKind
    content: Content = ""
    metadata: dict[str, Any] | None = None
    reply_to: Seq | None = None
    mentions: Mentions = []
    expires_in: Annotated[int, Meta(ge=1, le=31_536_000)] | None = None
    scheduled_for: Instant | None = None


class EditForm(Form, frozen=True, kw_only=True):
    content: Content
    mentions: Mentions = []


class ScheduleForm(Form, frozen=True, kw_only=True):
    content: Content | UnsetType = UNSET
    mentions: Mentions | UnsetType = UNSET
    scheduled_for: Instant | UnsetType = UNSET


class ReactionForm(Form, frozen=True):
    emoji: Emoji


class ReportForm(Form, frozen=True):
    reason: Reason


class SuspensionForm(Form, frozen=True):
    reason: Reason | None = None


class PresenceForm(Form, frozen=True):
    status: Status


class NotificationMarkForm(Form, frozen=True):
    up_to: Annotated[str, Meta(min_length=1, max_length=255)]


class ChannelsForm(Form, frozen=True, omit_defaults=True):
    push: bool | UnsetType = UNSET
    email: bool | UnsetType = UNSET


class PreferencesForm(Form, frozen=True):
    mention: ChannelsForm | UnsetType = UNSET
    reply: ChannelsForm | UnsetType = UNSET
    reaction: ChannelsForm | UnsetType = UNSET
    group_invite: ChannelsForm | UnsetType = UNSET
    message: ChannelsForm | UnsetType = UNSET


class SubscriptionKeys(Form, frozen=True):
    p256dh: Annotated[str, Meta(max_length=128)]
    auth: Annotated[str, Meta(max_length=64)]


class Subscription(Form, frozen=True, rename={"expiration_time": "expirationTime"}):
    """A browser's `PushSubscription` as JSON; when it expires the push service will say."""

    endpoint: str
    keys: SubscriptionKeys
    expiration_time: float | None = None


class DeviceForm(Form, frozen=True):
    kind: Literal["webpush"]
    subscription: Subscription


class DevTokenForm(Form, frozen=True):
    user: UserId


class Location(Form, frozen=True):
    lat: Annotated[float, Meta(ge=-90, le=90)]
    lng: Annotated[float, Meta(ge=-180, le=180)]
    address: Annotated[str, Meta(max_length=512)] | None = None


class LocationMetadata(Form, frozen=True):
    location: Location


class MediaMetadata(Form, frozen=True):
    media: Id


F = TypeVar("F")

_AT = re.compile(r" - at `(?:key in )?\$\.?(.*?)`$")


def parse(form: type[F], body: bytes) -> F:
    """Read a body as a form.

    Raises:
        Problem: `bad_json` or `invalid_request`, with the field at fault.
    """
    try:
        parsed = msgspec.json.decode(body, type=form)
    except msgspec.ValidationError as error:
        _refuse_bad_json(body)
        raise invalid(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if not body.strip():
            raise invalid_request("body", "The body is empty.") from error
        raise Problem("bad_json", "The body is not JSON in UTF-8.") from error
    refuse_nul(body, parsed)
    return parsed


def _refuse_bad_json(body: bytes) -> None:
    # A wrong field is found before the end of the body is read, which may be worse.
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem("bad_json", "The body is not JSON in UTF-8.") from error


def convert(form: type[F], value: Any, prefix: str) -> F:
    """Read a decoded value as a form; its fields are named below `prefix`."""
    try:
        return msgspec.convert(value, form)
    except msgspec.ValidationError as error:
        raise invalid(error, prefix) from error


def invalid(error: msgspec.ValidationError, prefix: str = "") -> Problem:
    """What a form does not accept, as a problem that names the field but not its value."""
    text = str(error)
    found = _AT.search(text)
    path = found[1] if found else ""
    detail = text[: found.start()] if found else text
    unknown = re.search(r"(?:unknown|missing required) field `(.*)`", detail)
    if unknown:
        path = f"{path}.{unknown[1]}" if path else unknown[1]
    field = ".".join(part for part in (prefix, path) if part)
    return invalid_request(_dotted(field) or "body", detail)


def _dotted(path: str) -> str:
    """A path of msgspec, such as `members[0]`, as clients see it: `members.0`."""
    return re.sub(r"\[(\d+)\]", r".\1", path.replace("[...]", "")).lstrip(".")


def refuse_nul(body: bytes, parsed: object) -> None:
    """Refuse U+0000 anywhere in what was read.

    Raises:
        Problem: `invalid_request`.
    """
    # A NUL can only stand escaped in JSON, and the escape is rare enough to look closer then.
    if b"\\u0000" in body and _has_nul(msgspec.to_builtins(parsed)):
        raise invalid_request("body", "Text must not hold NUL characters.")


def _has_nul(value: object) -> bool:
    match value:
        case str():
            return "\0" in value
        case dict():
            return any(_has_nul(key) or _has_nul(item) for key, item in value.items())
        case list() | tuple():
            return any(map(_has_nul, value))
    return False


def depth(value: object) -> int:
    """How many objects and arrays stand within each other."""
    match value:
        case dict():
            return 1 + max(map(depth, value.values()), default=0)
        case list():
            return 1 + max(map(depth, value), default=0)
    return 0
