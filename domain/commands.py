"""Everything that can be asked for. A command goes to one stream and is decided there alone."""

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from domain.envelope import Basis
from domain.events import Channel, ChatKind, History, MessageKind, Sealable

Rights = Literal["client", "moderator", "auditor", "operator", "system"]
Role = Literal["admin", "member"]
OutcomeStatus = Literal["accepted", "unchanged", "refused"]


class Action(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="do"):
    """What a command asks for."""


# To a chat


class CreateChat(Action, frozen=True, tag="create_chat"):
    """`members` holds the caller too. Without `admins` a group's first admin is the caller."""

    kind: ChatKind
    members: tuple[str, ...]
    admins: tuple[str, ...] = ()
    name: Sealable = None
    description: Sealable = None
    avatar: Sealable = None
    history: History = "all"


class ChangeChat(Action, frozen=True, tag="change_chat"):
    name: Sealable | UnsetType = UNSET
    description: Sealable | UnsetType = UNSET
    avatar: Sealable | UnsetType = UNSET


class AddMembers(Action, frozen=True, tag="add_members"):
    users: tuple[str, ...]


class RemoveMember(Action, frozen=True, tag="remove_member"):
    user: str


class SetRole(Action, frozen=True, tag="set_role"):
    user: str
    role: Role


class SendMessage(Action, frozen=True, tag="send_message"):
    """`expires_in` is in seconds, counted from the time of the event."""

    kind: MessageKind
    content: Sealable
    metadata: Sealable = None
    media: str | None = None
    reply_to: int | None = None
    mentions: tuple[str, ...] = ()
    expires_in: int | None = None
    schedule: str | None = None


class EditMessage(Action, frozen=True, tag="edit_message"):
    """`blank` tells the decider that the content, which it can't open, is empty."""

    message: int
    content: Sealable
    mentions: tuple[str, ...] = ()
    blank: bool = False


class DeleteMessage(Action, frozen=True, tag="delete_message"):
    message: int


class ExpireMessage(Action, frozen=True, tag="expire_message"):
    message: int
    key: str | None = None


class React(Action, frozen=True, tag="react"):
    """Sets the caller's one reaction; null clears it."""

    message: int
    emoji: str | None


# To a user


class PutProfile(Action, frozen=True, tag="put_profile"):
    """The first one registers the user and needs a name."""

    name: Sealable | UnsetType = UNSET
    email: Sealable | UnsetType = UNSET
    avatar: Sealable | UnsetType = UNSET


class MarkDelivered(Action, frozen=True, tag="mark_delivered"):
    chat: str
    up_to: int


class MarkRead(Action, frozen=True, tag="mark_read"):
    chat: str
    up_to: int


class FileChat(Action, frozen=True, tag="file_chat"):
    chat: str
    pinned: bool | UnsetType = UNSET
    archived: bool | UnsetType = UNSET
    muted_until: str | None | UnsetType = UNSET


class HideMessage(Action, frozen=True, tag="hide_message"):
    chat: str
    message: int


class UploadMedia(Action, frozen=True, tag="upload_media"):
    media: str
    name: Sealable
    mime: str
    size: int
    sha256: Sealable
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    thumbnail: str | None = None


class ScheduleMessage(Action, frozen=True, tag="schedule_message"):
    """`expires_in` is in seconds, counted from the sending."""

    schedule: str
    chat: str
    due: str
    kind: MessageKind
    content: Sealable
    metadata: Sealable = None
    media: str | None = None
    reply_to: int | None = None
    mentions: tuple[str, ...] = ()
    expires_in: int | None = None


class ChangeSchedule(Action, frozen=True, tag="change_schedule"):
    """`blank` tells the decider that the content, which it can't open, is empty."""

    schedule: str
    due: str | UnsetType = UNSET
    content: Sealable | UnsetType = UNSET
    mentions: tuple[str, ...] | UnsetType = UNSET
    blank: bool = False


class CancelSchedule(Action, frozen=True, tag="cancel_schedule"):
    schedule: str


class ClaimSchedule(Action, frozen=True, tag="claim_schedule"):
    """`due` is what the scheduler found: a schedule that was put off meanwhile is not claimed."""

    schedule: str
    due: str


class FireSchedule(Action, frozen=True, tag="fire_schedule"):
    """What became of the sending: the message's `seq`, or the code of the `refusal`."""

    schedule: str
    seq: int | None = None
    refusal: str | None = None


class BlockUser(Action, frozen=True, tag="block_user"):
    user: str


class UnblockUser(Action, frozen=True, tag="unblock_user"):
    user: str


class ReportMessage(Action, frozen=True, tag="report_message"):
    chat: str
    message: int
    reason: Sealable


class SuspendUser(Action, frozen=True, tag="suspend_user"):
    reason: Sealable = None


class ResumeUser(Action, frozen=True, tag="resume_user"):
    pass


class PutPreferences(Action, frozen=True, tag="put_preferences"):
    """kind -> channel -> wanted; what is left out stays as it is."""

    preferences: dict[str, dict[Channel, bool]]


class ReadNotifications(Action, frozen=True, tag="read_notifications"):
    up_to: str


class AddDevice(Action, frozen=True, tag="add_device"):
    device: str
    kind: Literal["webpush"]
    subscription: Sealable


class RemoveDevice(Action, frozen=True, tag="remove_device"):
    """`fingerprint` is that of the only subscription which is meant, if one is."""

    device: str
    fingerprint: str | None = None


class VerifyEmail(Action, frozen=True, tag="verify_email"):
    email: Sealable


# To an operator's stream


class OrderSuspension(Action, frozen=True, tag="order_suspension"):
    user: str


class LiftSuspension(Action, frozen=True, tag="lift_suspension"):
    user: str


class NoteRemoval(Action, frozen=True, tag="note_removal"):
    chat: str
    message: int


class NoteReading(Action, frozen=True, tag="note_reading"):
    what: str
    of: str | None = None
    as_of: str | None = None


class NoteImport(Action, frozen=True, tag="note_import"):
    source: str
    lines: dict[str, int]


# To any stream


class Unreadable(Action, frozen=True, tag="unreadable"):
    """Stands for what could not be decoded; it is refused."""


AnyAction = (
    CreateChat
    | ChangeChat
    | AddMembers
    | RemoveMember
    | SetRole
    | SendMessage
    | EditMessage
    | DeleteMessage
    | ExpireMessage
    | React
    | PutProfile
    | MarkDelivered
    | MarkRead
    | FileChat
    | HideMessage
    | UploadMedia
    | ScheduleMessage
    | ChangeSchedule
    | CancelSchedule
    | ClaimSchedule
    | FireSchedule
    | BlockUser
    | UnblockUser
    | ReportMessage
    | SuspendUser
    | ResumeUser
    | OrderSuspension
    | LiftSuspension
    | NoteRemoval
    | NoteReading
    | PutPreferences
    | ReadNotifications
    | AddDevice
    | RemoveDevice
    | VerifyEmail
    | NoteImport
    | Unreadable
)

#: Actions whose refusal or lack of effect leaves no receipt: they repeat harmlessly. Of the
#: scheduler's steps only the sending needs one, for what the others came to is in the state.
REPEATABLE: tuple[type[Action], ...] = (
    MarkDelivered,
    MarkRead,
    ClaimSchedule,
    FireSchedule,
    ExpireMessage,
)


class Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request to one stream.

    `id` and `digest` make the receipt. `time` is the gateway's clock, or with `rights` of an
    operator the original time of an imported line.
    """

    id: str
    digest: str
    stream: str
    actor: str
    time: str
    action: AnyAction
    rights: Rights = "client"
    basis: tuple[Basis, ...] = ()
    causationid: str | None = None
    correlationid: str | None = None
    traceparent: str | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a command; kept as its receipt.

    `first` and `seq` are the first and the last event it wrote. Without events `seq` is the head
    of the stream at that moment (0: there is no such stream).
    """

    command: str
    digest: str
    stream: str
    status: OutcomeStatus
    time: str
    seq: int
    first: int | None = None
    ordinal: int | None = None
    code: str | None = None
    detail: str | None = None
    field: str | None = None
