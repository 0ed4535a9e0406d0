"""A user's own stream: profile, marks, filing, hiding, media."""

import msgspec
import pytest

from domain import account
from domain import commands as c
from domain import events as e
from domain.envelope import Basis
from domain.state import ACCOUNT
from tests.unit.domain.streams import Stream

HIDE = c.HideMessage(chat="g", message=2)
UPLOAD = c.UploadMedia(media="m1", name="cat.png", mime="image/png", size=7, sha256="ab")
NEEDING_AN_ACCOUNT = [
    c.MarkDelivered(chat="g", up_to=2),
    c.MarkRead(chat="g", up_to=2),
    c.FileChat(chat="g", pinned=True),
    HIDE,
    UPLOAD,
    c.BlockUser(user="bob"),
    c.ReportMessage(chat="g", message=2, reason="rude"),
]


def registered() -> Stream:
    user = Stream("users/ann")
    user.do(c.PutProfile(name="Ann"), "ann")
    return user


def after(*events: e.Event) -> Stream:
    """Ann's stream after events that no command of a client brings about."""
    user = registered()
    for event in events:
        user.state |= account.evolve(user.state, event, ())
    return user


def seen(seq: int, chat: str = "g") -> tuple[Basis, ...]:
    return (Basis(f"chats/{chat}", seq - 1), Basis("users/bob", 99), Basis(f"chats/{chat}", seq))


# Profile


def test_the_first_profile_registers() -> None:
    user = Stream("users/ann")
    profile = c.PutProfile(name="Ann", email="ann@example.org")
    assert user.writes(profile, "ann") == [
        ("user.registered", {"name": "Ann", "email": "ann@example.org"})
    ]
    assert user.writes(c.PutProfile(avatar="m1", email=None), "ann") == [
        ("user.changed", {"avatar": "m1", "email": None})
    ]
    assert user.leaves(c.PutProfile(), "ann")


@pytest.mark.parametrize("profile", [c.PutProfile(email="a@b"), c.PutProfile(name=None)])
def test_registering_needs_a_name(profile: c.PutProfile) -> None:
    verdict = Stream("users/ann").do(profile, "ann")
    assert (verdict.outcome.code, verdict.outcome.field) == ("invalid_request", "name")


def test_a_name_can_be_changed_but_not_cleared() -> None:
    user = registered()
    assert user.writes(c.PutProfile(name="Anna"), "ann") == [("user.changed", {"name": "Anna"})]
    assert user.refuses(c.PutProfile(name=None), "ann") == "invalid_request"


@pytest.mark.parametrize("action", NEEDING_AN_ACCOUNT, ids=repr)
def test_everything_else_needs_an_account(action: c.Action) -> None:
    assert Stream("users/ann").refuses(action, "ann") == "not_registered"


@pytest.mark.parametrize("action", [c.PutProfile(name="Eve"), *NEEDING_AN_ACCOUNT], ids=repr)
def test_nobody_writes_to_the_stream_of_another(action: c.Action) -> None:
    verdict = registered().do(action, "eve")
    assert verdict.outcome.status == "refused", verdict.records


@pytest.mark.parametrize(
    "action",
    [c.SendMessage(kind="text", content=""), c.NoteImport(source="f", lines={})],
)
def test_what_belongs_to_another_stream_is_refused(action: c.Action) -> None:
    assert registered().refuses(action, "ann") == "invalid_request"


# Suspension and erasure


@pytest.mark.parametrize("action", [c.PutProfile(name="Anna"), *NEEDING_AN_ACCOUNT], ids=repr)
def test_a_suspended_user_writes_nothing_until_resumed(action: c.Action) -> None:
    assert after(e.UserSuspended()).refuses(action, "ann") == "suspended"
    after(e.UserSuspended()).writes(action, "ann", "operator")
    after(e.UserSuspended(), e.UserResumed()).writes(action, "ann")


def test_a_suspended_user_who_registers_through_an_import_stays_suspended() -> None:
    user = Stream("users/ann")
    user.state |= account.evolve(user.state, e.UserSuspended(), ())
    user.writes(c.PutProfile(name="Ann"), "ann", "operator")
    assert user.refuses(HIDE, "ann") == "suspended"


@pytest.mark.parametrize("action", [c.PutProfile(name="Anna"), *NEEDING_AN_ACCOUNT], ids=repr)
def test_an_erased_user_writes_nothing_ever(action: c.Action) -> None:
    erased = after(e.UserErased(keys=["k1"]), e.UserResumed())
    assert erased.refuses(action, "ann") == "user_erased"
    assert erased.refuses(action, "ann", "operator") == "user_erased"


# Marks


def test_marks_only_rise() -> None:
    user = registered()
    assert user.writes(c.MarkRead(chat="g", up_to=5), "ann") == [
        ("chat.read", {"chat": "g", "up_to": 5})
    ]
    for lower in (5, 4, 0, -1):
        assert user.leaves(c.MarkRead(chat="g", up_to=lower), "ann")
    user.writes(c.MarkRead(chat="g", up_to=6), "ann")
    user.writes(c.MarkRead(chat="h", up_to=1), "ann")


def test_reading_is_delivery_too_but_not_the_other_way_round() -> None:
    user = registered()
    assert user.writes(c.MarkDelivered(chat="g", up_to=5), "ann") == [
        ("chat.delivered", {"chat": "g", "up_to": 5})
    ]
    user.writes(c.MarkRead(chat="g", up_to=3), "ann")
    assert user.leaves(c.MarkDelivered(chat="g", up_to=5), "ann")
    user.writes(c.MarkRead(chat="g", up_to=8), "ann")
    assert user.leaves(c.MarkDelivered(chat="g", up_to=8), "ann")
    user.writes(c.MarkDelivered(chat="g", up_to=9), "ann")


# Filing


def test_a_chat_is_filed_field_by_field() -> None:
    user = registered()
    pinned = c.FileChat(chat="g", pinned=True, muted_until="2030-01-01T00:00:00.000Z")
    assert user.writes(pinned, "ann", basis=seen(3)) == [
        (
            "chat.filed",
            {"chat": "g", "pinned": True, "muted_until": "2030-01-01T00:00:00.000Z"},
        )
    ]
    assert user.leaves(pinned, "ann", basis=seen(3))
    assert user.leaves(c.FileChat(chat="g", pinned=True), "ann", basis=seen(3))
    assert user.writes(c.FileChat(chat="g", muted_until=None), "ann", basis=seen(3)) == [
        ("chat.filed", {"chat": "g", "muted_until": None})
    ]
    assert user.writes(c.FileChat(chat="g", archived=True), "ann", basis=seen(3)) == [
        ("chat.filed", {"chat": "g", "archived": True})
    ]
    assert user.leaves(c.FileChat(chat="g", pinned=True, muted_until=None), "ann", basis=seen(3))


def test_filing_nothing_changes_nothing() -> None:
    assert registered().leaves(c.FileChat(chat="g"), "ann", basis=seen(3))


def test_the_same_filing_of_a_chat_that_went_on_is_a_new_fact() -> None:
    user = registered()
    pinned = c.FileChat(chat="g", pinned=True)
    user.writes(pinned, "ann", basis=seen(3))
    user.writes(pinned, "ann", basis=seen(9))
    assert user.leaves(pinned, "ann", basis=seen(9))
    user.writes(c.FileChat(chat="h", pinned=True), "ann", basis=seen(9, "h"))


# Hiding and media


def test_a_message_is_hidden_once() -> None:
    user = registered()
    assert user.writes(HIDE, "ann") == [("message.hidden", {"chat": "g", "message": 2})]
    assert user.leaves(HIDE, "ann")
    user.writes(c.HideMessage(chat="h", message=2), "ann")
    user.writes(c.HideMessage(chat="g", message=3), "ann")


def test_media_are_uploaded_once() -> None:
    user = registered()
    full = msgspec.structs.replace(UPLOAD, width=4, height=3, duration=1.5, thumbnail="t1")
    assert user.writes(full, "ann") == [
        (
            "media.uploaded",
            {
                "media": "m1",
                "name": "cat.png",
                "mime": "image/png",
                "size": 7,
                "sha256": "ab",
                "width": 4,
                "height": 3,
                "duration": 1.5,
                "thumbnail": "t1",
            },
        )
    ]
    assert user.leaves(UPLOAD, "ann")


def test_an_account_is_small_whatever_the_user_has_done() -> None:
    user = registered()
    before = user.state[ACCOUNT]
    for chat in "gh":
        user.writes(c.MarkRead(chat=chat, up_to=2), "ann")
        user.writes(c.HideMessage(chat=chat, message=2), "ann")
    assert user.state[ACCOUNT] == before


# Blocks


def test_blocking_stands_until_it_ends() -> None:
    user = registered()
    block, unblock = c.BlockUser(user="bob"), c.UnblockUser(user="bob")
    assert user.leaves(unblock, "ann")
    for _ in range(2):
        assert user.writes(block, "ann") == [("user.blocked", {"user": "bob"})]
        assert user.leaves(block, "ann")
        assert user.writes(unblock, "ann") == [("user.unblocked", {"user": "bob"})]
        assert user.leaves(unblock, "ann")


def test_nobody_blocks_themselves() -> None:
    verdict = registered().do(c.BlockUser(user="ann"), "ann")
    assert (verdict.outcome.code, verdict.outcome.field) == ("invalid_request", "user")


# Suspending


@pytest.mark.parametrize("rights", ["moderator", "operator"])
def test_a_suspension_stands_until_it_ends(rights: c.Rights) -> None:
    user = registered()
    assert user.leaves(c.ResumeUser(), "olga", rights)
    assert user.writes(c.SuspendUser(reason="spam"), "olga", rights) == [
        ("user.suspended", {"reason": "spam"})
    ]
    assert user.leaves(c.SuspendUser(), "olga", rights)
    assert user.refuses(HIDE, "ann") == "suspended"
    assert user.writes(c.ResumeUser(), "olga", rights) == [("user.resumed", {})]
    user.writes(HIDE, "ann")


@pytest.mark.parametrize("action", [c.SuspendUser(), c.ResumeUser()], ids=repr)
def test_only_operators_suspend(action: c.Action) -> None:
    assert registered().refuses(action, "ann") == "not_allowed"
    assert registered().refuses(action, "eve") == "not_allowed"
    assert registered().refuses(action, "olga", "auditor") == "not_allowed"
    assert Stream("users/ann").refuses(action, "olga", "moderator") == "user_not_found"
    assert after(e.UserErased(keys=[])).refuses(action, "olga", "operator") == "user_erased"


# Reports


def test_a_message_is_reported_once() -> None:
    user = registered()
    report = c.ReportMessage(chat="g", message=2, reason="rude")
    data = {"chat": "g", "message": 2, "reason": "rude"}
    assert user.writes(report, "ann") == [("message.reported", data)]
    assert user.leaves(c.ReportMessage(chat="g", message=2, reason="very rude"), "ann")
    user.writes(c.ReportMessage(chat="g", message=3, reason="rude"), "ann")
