"""Wire names and versions of all events, and how older versions become the present ones.

Names and versions are written out here and nowhere derived from class paths: renaming a class
must never change the record.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from domain import events as e
from domain.envelope import Envelope

PUBLISHED: dict[tuple[str, int], type[e.Event]] = {
    ("chat.created", 1): e.ChatCreated,
    ("chat.changed", 1): e.ChatChanged,
    ("member.added", 1): e.MemberAdded,
    ("member.removed", 1): e.MemberRemoved,
    ("member.promoted", 1): e.MemberPromoted,
    ("member.demoted", 1): e.MemberDemoted,
    ("message.sent", 1): e.MessageSent,
    ("message.edited", 1): e.MessageEdited,
    ("message.deleted", 1): e.MessageDeleted,
    ("message.expired", 1): e.MessageExpired,
    ("reaction.set", 1): e.ReactionSet,
    ("reaction.cleared", 1): e.ReactionCleared,
    ("user.registered", 1): e.UserRegistered,
    ("user.changed", 1): e.UserChanged,
    ("user.erased", 1): e.UserErased,
    ("user.suspended", 1): e.UserSuspended,
    ("user.resumed", 1): e.UserResumed,
    ("chat.delivered", 1): e.ChatDelivered,
    ("chat.read", 1): e.ChatRead,
    ("chat.filed", 1): e.ChatFiled,
    ("message.hidden", 1): e.MessageHidden,
    ("message.scheduled", 1): e.MessageScheduled,
    ("schedule.changed", 1): e.ScheduleChanged,
    ("schedule.cancelled", 1): e.ScheduleCancelled,
    ("schedule.claimed", 1): e.ScheduleClaimed,
    ("schedule.fired", 1): e.ScheduleFired,
    ("notifications.preferred", 1): e.NotificationsPreferred,
    ("notifications.read", 1): e.NotificationsRead,
    ("device.added", 1): e.DeviceAdded,
    ("device.removed", 1): e.DeviceRemoved,
    ("email.verified", 1): e.EmailVerified,
    ("user.blocked", 1): e.UserBlocked,
    ("user.unblocked", 1): e.UserUnblocked,
    ("message.reported", 1): e.MessageReported,
    ("media.uploaded", 1): e.MediaUploaded,
    ("record.read", 1): e.RecordRead,
    ("message.removed", 1): e.MessageRemoved,
    ("suspension.ordered", 1): e.SuspensionOrdered,
    ("suspension.lifted", 1): e.SuspensionLifted,
    ("erasure.ordered", 1): e.ErasureOrdered,
    ("data.imported", 1): e.DataImported,
}

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

# (wire name, version) -> the data of the next version.
UPCASTERS: dict[tuple[str, int], Upcaster] = {}

# The fields that can name or quote a person: sealed by the gateway wherever they occur.
SEALED_FIELDS: dict[str, tuple[str, ...]] = {
    "chat.created": ("name", "description", "avatar"),
    "chat.changed": ("name", "description", "avatar"),
    "message.sent": ("content", "metadata"),
    "message.edited": ("content",),
    "user.registered": ("name", "email", "avatar"),
    "user.changed": ("name", "email", "avatar"),
    "user.suspended": ("reason",),
    "message.scheduled": ("content", "metadata"),
    "schedule.changed": ("content",),
    "device.added": ("subscription",),
    "email.verified": ("email",),
    "message.reported": ("reason",),
    "media.uploaded": ("name", "sha256"),
}


class UnknownEvent(ValueError):
    """A type or version that this release has not published."""


def _latest() -> dict[str, int]:
    latest: dict[str, int] = {}
    for name, version in PUBLISHED:
        latest[name] = max(version, latest.get(name, 0))
    return latest


LATEST = _latest()
WIRE_NAMES: dict[type[e.Event], tuple[str, int]] = {
    PUBLISHED[name, version]: (name, version) for name, version in LATEST.items()
}
_decoders = {key: msgspec.json.Decoder(cls) for key, cls in PUBLISHED.items()}


def sealed_values(data: e.Event, wire_name: str) -> dict[str, e.Sealable]:
    """The fields of an event that may be sealed and are there, by name."""
    return {
        field: value
        for field in SEALED_FIELDS.get(wire_name, ())
        if (value := getattr(data, field)) is not msgspec.UNSET
    }


def decode_data(
    envelope: Envelope, upcasters: dict[tuple[str, int], Upcaster] = UPCASTERS
) -> e.Event:
    """The data of an event in its present version.

    Raises:
        UnknownEvent: this release does not know the type or the version.
        msgspec.ValidationError: the data has not the published form.
    """
    try:
        name, version = envelope.type, envelope.version
    except ValueError as error:
        raise UnknownEvent(envelope.dataschema) from error
    if (name, version) not in PUBLISHED:
        raise UnknownEvent(f"{name} version {version}")
    if version == LATEST[name]:
        return _decoders[name, version].decode(envelope.data)
    data: dict[str, Any] = msgspec.json.decode(envelope.data)
    while version < LATEST[name]:
        data = upcasters[name, version](data)
        version += 1
    return msgspec.convert(data, PUBLISHED[name, version])
