"""What a user is told of: preferences, the read mark, devices, the proven address."""

from typing import Any

import pytest

from domain import commands as c
from domain.notifications import CHANNELS, KINDS, MAX_DEVICES, fingerprint, wants
from tests.unit.domain.streams import Stream

BOX = {"sealed": "users/ann", "commit": "0", "nonce": "1", "box": "2"}
OTHER_BOX = {**BOX, "nonce": "3"}


@pytest.fixture
def user() -> Stream:
    stream = Stream("users/ann")
    stream.do(c.PutProfile(name="Ann"), "ann")
    return stream


def add(device: str, subscription: Any = BOX) -> c.AddDevice:
    return c.AddDevice(device=device, kind="webpush", subscription=subscription)


def test_at_first_everything_is_wanted_but_mails_of_reactions_and_messages() -> None:
    unwanted = {(k, ch) for k in KINDS for ch in CHANNELS if not wants({}, k, ch)}
    assert unwanted == {("reaction", "email"), ("message", "email")}
    assert set(KINDS) == {"mention", "reply", "reaction", "group_invite", "message"}


def test_an_event_names_only_what_changed(user: Stream) -> None:
    put = c.PutPreferences(
        preferences={"reaction": {"push": True, "email": True}, "reply": {"push": False}}
    )
    assert user.writes(put, "ann") == [
        (
            "notifications.preferred",
            {"preferences": {"reaction": {"email": True}, "reply": {"push": False}}},
        )
    ]
    assert user.leaves(put, "ann")
    back = c.PutPreferences(preferences={"reply": {"push": True, "email": True}})
    assert user.writes(back, "ann") == [
        ("notifications.preferred", {"preferences": {"reply": {"push": True}}})
    ]
    assert user.leaves(c.PutPreferences(preferences={"reaction": {"email": True}}), "ann")


def test_the_read_mark_only_rises(user: Stream) -> None:
    assert user.writes(c.ReadNotifications(up_to="b"), "ann") == [
        ("notifications.read", {"up_to": "b"})
    ]
    assert user.leaves(c.ReadNotifications(up_to="a"), "ann")
    assert user.leaves(c.ReadNotifications(up_to="b"), "ann")
    assert user.writes(c.ReadNotifications(up_to="c"), "ann")


def test_a_device_is_added_replaced_and_removed(user: Stream) -> None:
    for box in (BOX, OTHER_BOX):
        assert user.writes(add("phone", box), "ann") == [
            ("device.added", {"device": "phone", "kind": "webpush", "subscription": box})
        ]
    assert user.writes(c.RemoveDevice(device="phone"), "ann") == [
        ("device.removed", {"device": "phone"})
    ]
    assert user.leaves(c.RemoveDevice(device="phone"), "ann")


def test_a_dead_subscription_does_not_take_its_successor_along(user: Stream) -> None:
    user.do(add("phone", OTHER_BOX), "ann")
    dead = c.RemoveDevice(device="phone", fingerprint=fingerprint(BOX))
    assert user.leaves(dead, "ann", "system")
    user.do(add("phone", BOX), "ann")
    assert user.writes(dead, "ann", "system") == [("device.removed", {"device": "phone"})]


def test_a_user_has_a_bounded_number_of_devices(user: Stream) -> None:
    for number in range(MAX_DEVICES):
        user.writes(add(f"d{number}"), "ann")
    assert user.refuses(add("more"), "ann") == "invalid_request"
    assert user.writes(add("d0", OTHER_BOX), "ann")
    user.writes(c.RemoveDevice(device="d0"), "ann")
    assert user.writes(add("more"), "ann")


def test_users_do_not_vouch_for_their_own_addresses(user: Stream) -> None:
    verify = c.VerifyEmail(email=BOX)
    assert user.refuses(verify, "ann") == "not_allowed"
    assert user.writes(verify, "ann", "system") == [("email.verified", {"email": BOX})]


@pytest.mark.parametrize(
    "action",
    [
        c.PutPreferences(preferences={}),
        c.ReadNotifications(up_to="a"),
        add("phone"),
        c.RemoveDevice(device="phone"),
    ],
)
def test_nobody_else_decides_of_it(user: Stream, action: c.Action) -> None:
    assert user.refuses(action, "bob") == "not_allowed"
    assert Stream("users/ann").refuses(action, "ann") == "not_registered"
