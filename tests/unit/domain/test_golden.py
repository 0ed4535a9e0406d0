"""One record of each published version, as it was once written: it must be read for ever.

A golden file never changes. A version whose fields change is a new version with a file of its own.
"""

import hashlib
import json
from pathlib import Path

import msgspec
import pytest

from domain import events as e
from domain.catalogue import PUBLISHED, decode_data
from domain.envelope import decode, encode

GOLDEN = Path(__file__).parent / "golden"
CHAT = "5f1c1d5e-6f0e-5f3b-9f0a-0c1f2e3d4a5b"
MEDIA = "0f9e8d7c-6b5a-5948-8372-61504f3e2d1c"
SCHEDULE = "a2b7c9d0-1e2f-5a3b-8c4d-5e6f7a8b9c0d"
BOX = {
    "sealed": "key-1",
    "commit": hashlib.sha256(b"derived key").hexdigest(),
    "nonce": "dHdlbHZlIGJ5dGVz",
    "box": "d2hhdCB3YXMgc2VhbGVk",
}

EXPECTED: dict[str, e.Event] = {
    "chat.created.v1": e.ChatCreated(
        kind="group",
        members=["ann", "bob"],
        admins=["ann"],
        name=BOX,
        description="Plain, as sealing is off",
        avatar=MEDIA,
        history="since_joined",
    ),
    "chat.changed.v1": e.ChatChanged(name=None, description=BOX, avatar=MEDIA),
    "member.added.v1": e.MemberAdded(user="cat"),
    "member.removed.v1": e.MemberRemoved(user="cat", removed="left"),
    "member.promoted.v1": e.MemberPromoted(user="bob"),
    "member.demoted.v1": e.MemberDemoted(user="bob"),
    "message.sent.v1": e.MessageSent(
        ordinal=1,
        kind="image",
        content=BOX,
        metadata=BOX,
        media=MEDIA,
        reply_to=7,
        mentions=["bob"],
        expires_at="2024-01-02T00:00:00.000Z",
        schedule=SCHEDULE,
    ),
    "message.edited.v1": e.MessageEdited(
        message=8, content='Grüße 👋 "quoted"', mentions=["bob", "cat"]
    ),
    "message.deleted.v1": e.MessageDeleted(message=8),
    "message.expired.v1": e.MessageExpired(message=8, key="key-2"),
    "reaction.set.v1": e.ReactionSet(message=8, emoji="👍🏽"),
    "reaction.cleared.v1": e.ReactionCleared(message=8, emoji="👍🏽"),
    "user.registered.v1": e.UserRegistered(name=BOX, email=BOX, avatar=MEDIA),
    "user.changed.v1": e.UserChanged(name=BOX, email=None, avatar=None),
    "user.erased.v1": e.UserErased(keys=["key-1", "key-2"]),
    "user.suspended.v1": e.UserSuspended(reason=BOX),
    "user.resumed.v1": e.UserResumed(),
    "chat.delivered.v1": e.ChatDelivered(chat=CHAT, up_to=8),
    "chat.read.v1": e.ChatRead(chat=CHAT, up_to=8),
    "chat.filed.v1": e.ChatFiled(chat=CHAT, pinned=True, archived=False, muted_until=None),
    "message.hidden.v1": e.MessageHidden(chat=CHAT, message=8),
    "message.scheduled.v1": e.MessageScheduled(
        schedule=SCHEDULE,
        chat=CHAT,
        due="2024-01-03T08:00:00.000Z",
        kind="location",
        content=BOX,
        metadata={"location": {"lat": 52.5, "lng": 13.25}},
        media=MEDIA,
        reply_to=7,
        mentions=[],
        expires_in=3600,
    ),
    "schedule.changed.v1": e.ScheduleChanged(
        schedule=SCHEDULE, due="2024-01-03T09:00:00.000Z", content=BOX, mentions=["bob"]
    ),
    "schedule.cancelled.v1": e.ScheduleCancelled(schedule=SCHEDULE),
    "schedule.claimed.v1": e.ScheduleClaimed(schedule=SCHEDULE, due="2024-01-03T09:00:00.000Z"),
    "schedule.fired.v1": e.ScheduleFired(schedule=SCHEDULE, seq=9),
    "notifications.preferred.v1": e.NotificationsPreferred(
        preferences={"mention": {"push": True, "email": False}}
    ),
    "notifications.read.v1": e.NotificationsRead(up_to="n-17"),
    "device.added.v1": e.DeviceAdded(device="phone", kind="webpush", subscription=BOX),
    "device.removed.v1": e.DeviceRemoved(device="phone"),
    "email.verified.v1": e.EmailVerified(email=BOX),
    "user.blocked.v1": e.UserBlocked(user="eve"),
    "user.unblocked.v1": e.UserUnblocked(user="eve"),
    "message.reported.v1": e.MessageReported(chat=CHAT, message=8, reason=BOX),
    "media.uploaded.v1": e.MediaUploaded(
        media=MEDIA,
        name=BOX,
        mime="video/mp4",
        size=1_048_576,
        sha256=BOX,
        width=640,
        height=480,
        duration=12.5,
        thumbnail=MEDIA,
    ),
    "record.read.v1": e.RecordRead(what="as-of", of="users/ann", as_of="2024-01-01T00:00:00.000Z"),
    "message.removed.v1": e.MessageRemoved(chat=CHAT, message=8),
    "suspension.ordered.v1": e.SuspensionOrdered(user="ann"),
    "suspension.lifted.v1": e.SuspensionLifted(user="ann"),
    "erasure.ordered.v1": e.ErasureOrdered(user="ann"),
    "data.imported.v1": e.DataImported(source="old.ndjson", lines={"message": 3, "user": 2}),
}

# Fields that exclude one that the golden file shows.
ALTERNATIVES = {"schedule.fired.v1": {"refusal"}}


def golden(version: str) -> bytes:
    return (GOLDEN / f"{version}.json").read_bytes()


def published() -> dict[str, type[e.Event]]:
    return {f"{name}.v{version}": cls for (name, version), cls in PUBLISHED.items()}


def test_every_published_version_has_a_golden_file_and_no_other_has() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == published().keys() == EXPECTED.keys()


@pytest.mark.parametrize("version", EXPECTED)
def test_the_record_of_then_is_read_today(version: str) -> None:
    envelope = decode(golden(version))
    assert f"{envelope.type}.v{envelope.version}" == version
    assert decode_data(envelope) == EXPECTED[version]


@pytest.mark.parametrize("version", EXPECTED)
def test_it_would_be_written_the_same(version: str) -> None:
    record = golden(version)
    envelope = decode(record)
    assert encode(envelope) == record
    data = msgspec.Raw(msgspec.json.encode(EXPECTED[version]))
    assert encode(msgspec.structs.replace(envelope, data=data)) == record


@pytest.mark.parametrize("version", EXPECTED)
def test_a_published_version_has_the_fields_it_was_published_with(version: str) -> None:
    shown = json.loads(golden(version))["data"].keys()
    fields = {field.encode_name for field in msgspec.structs.fields(published()[version])}
    assert fields == shown | ALTERNATIVES.get(version, set())
