"""Scheduled messages in their user's stream: made, changed, cancelled, claimed, fired."""

from typing import Any

import pytest

from domain import account
from domain import commands as c
from domain import events as e
from domain.ids import schedule_step
from domain.schedules import MAX_AHEAD
from tests.unit.domain.streams import Stream, at

DUE = at(1000)
LATER = at(2000)
CLAIM = c.ClaimSchedule(schedule="s", due=DUE)
CHANGE = c.ChangeSchedule(schedule="s", content="new")
CANCEL = c.CancelSchedule(schedule="s")
FIRED = c.FireSchedule(schedule="s", seq=7)


def scheduling(**fields: Any) -> c.ScheduleMessage:
    given: dict[str, Any] = {"schedule": "s", "chat": "g", "due": DUE, "kind": "text"}
    return c.ScheduleMessage(**(given | {"content": "hello"} | fields))


def registered() -> Stream:
    user = Stream("users/ann")
    user.do(c.PutProfile(name="Ann"), "ann")
    return user


def scheduled(**fields: Any) -> Stream:
    user = registered()
    user.writes(scheduling(**fields), "ann")
    return user


def claimed() -> Stream:
    user = scheduled()
    user.writes(CLAIM, "system", "system", time=DUE)
    return user


def test_a_schedule_keeps_all_that_will_be_sent() -> None:
    fields = {
        "kind": "image",
        "content": "caption",
        "media": "m1",
        "reply_to": 4,
        "mentions": ("bob",),
        "expires_in": 60,
    }
    assert registered().writes(scheduling(**fields), "ann") == [
        (
            "message.scheduled",
            {"schedule": "s", "chat": "g", "due": DUE, **fields, "mentions": ["bob"]},
        )
    ]


def test_it_is_made_once() -> None:
    assert scheduled().leaves(scheduling(content="other"), "ann")


def test_it_lies_ahead_and_not_more_than_a_year() -> None:
    user = registered()
    now = at(500)
    for due in (at(500), at(499.999), at(-1000)):
        verdict = user.do(scheduling(due=due), "ann", time=now)
        assert (verdict.outcome.code, verdict.outcome.field) == ("due_in_past", "scheduled_for")
    assert user.refuses(scheduling(due=at(500.001 + MAX_AHEAD)), "ann", time=now) == (
        "invalid_request"
    )
    user.writes(scheduling(schedule="soon", due=at(500.001)), "ann", time=now)
    user.writes(scheduling(schedule="late", due=at(500 + MAX_AHEAD)), "ann", time=now)


def test_a_time_in_the_past_is_told_by_the_stream_where_its_last_event_is_later() -> None:
    user = registered()
    user.writes(c.PutProfile(name="Anna"), "ann", time=at(600))
    assert user.refuses(scheduling(due=at(550)), "ann", time=at(500)) == "due_in_past"


def test_it_is_changed_field_by_field() -> None:
    user = scheduled()
    assert user.writes(CHANGE, "ann") == [("schedule.changed", {"schedule": "s", "content": "new"})]
    change = c.ChangeSchedule(schedule="s", due=LATER, mentions=("bob",))
    assert user.writes(change, "ann") == [
        ("schedule.changed", {"schedule": "s", "due": LATER, "mentions": ["bob"]})
    ]
    assert user.leaves(c.ChangeSchedule(schedule="s"), "ann")
    late = c.ChangeSchedule(schedule="s", due=DUE)
    assert user.refuses(late, "ann", time=DUE) == "due_in_past"


def test_a_text_stays_a_text_but_a_caption_may_go() -> None:
    blank = c.ChangeSchedule(schedule="s", content="", blank=True)
    verdict = scheduled().do(blank, "ann")
    assert (verdict.outcome.code, verdict.outcome.field) == ("invalid_request", "content")
    scheduled(kind="image", media="m").writes(blank, "ann")


def test_it_can_be_changed_as_long_as_it_is_not_claimed() -> None:
    scheduled().writes(CHANGE, "ann", time=LATER)


def test_it_is_cancelled_once_and_for_good() -> None:
    user = scheduled()
    assert user.writes(CANCEL, "ann") == [("schedule.cancelled", {"schedule": "s"})]
    assert user.leaves(CANCEL, "ann")
    assert user.refuses(CHANGE, "ann") == "schedule_not_found"
    assert user.leaves(CLAIM, "system", "system", time=DUE)
    assert user.refuses(FIRED, "system", "system") == "not_allowed"


@pytest.mark.parametrize("action", [CHANGE, CANCEL, CLAIM, FIRED], ids=repr)
def test_an_unknown_one_is_not_found(action: c.Action) -> None:
    rights: Any = "system" if action in (CLAIM, FIRED) else "client"
    assert registered().refuses(action, "ann", rights) == "schedule_not_found"


def test_nobody_changes_that_of_another() -> None:
    assert scheduled().refuses(CANCEL, "bob") == "not_allowed"


@pytest.mark.parametrize("rights", ["client", "moderator", "operator"])
def test_only_the_scheduler_claims_and_fires(rights: Any) -> None:
    assert scheduled().refuses(CLAIM, "ann", rights, time=DUE) == "not_allowed"
    assert claimed().refuses(FIRED, "ann", rights) == "not_allowed"


def test_it_is_claimed_once_and_not_before_its_time() -> None:
    user = scheduled()
    assert user.refuses(CLAIM, "system", "system", time=at(999.999)) == "not_allowed"
    assert user.writes(CLAIM, "system", "system", time=DUE) == [
        ("schedule.claimed", {"schedule": "s", "due": DUE})
    ]
    assert user.leaves(CLAIM, "system", "system", time=LATER)


def test_whether_it_is_due_goes_by_the_commands_time() -> None:
    user = scheduled()
    user.writes(c.PutProfile(name="Anna"), "ann", time=LATER)
    assert user.refuses(CLAIM, "system", "system", time=at(999)) == "not_allowed"


def test_one_that_was_put_off_is_not_claimed() -> None:
    user = scheduled()
    user.writes(c.ChangeSchedule(schedule="s", due=LATER), "ann")
    assert user.leaves(CLAIM, "system", "system", time=at(3000))
    user.writes(c.ClaimSchedule(schedule="s", due=LATER), "system", "system", time=at(3000))


def test_a_claim_that_came_too_soon_does_not_stand_in_the_way_of_the_next() -> None:
    """It has the same id when a user has put the message off and back again."""
    user = scheduled()
    id = schedule_step("s", DUE, "claim")
    user.writes(c.ChangeSchedule(schedule="s", due=LATER), "ann")
    assert user.leaves(CLAIM, "system", "system", id=id, time=at(1001))
    user.writes(c.ChangeSchedule(schedule="s", due=DUE), "ann", time=at(999))
    user.writes(CLAIM, "system", "system", id=id, time=at(1002))


def test_from_the_claim_on_it_is_not_the_users_any_more() -> None:
    user = claimed()
    for _ in range(2):
        assert user.refuses(CHANGE, "ann") == "schedule_claimed"
        assert user.refuses(CANCEL, "ann") == "schedule_claimed"
        user.do(FIRED, "system", "system")


@pytest.mark.parametrize(
    ("action", "outcome"),
    [(FIRED, {"seq": 7}), (c.FireSchedule(schedule="s", refusal="x"), {"refusal": "x"})],
)
def test_it_fires_once(action: c.Action, outcome: dict[str, Any]) -> None:
    user = claimed()
    assert user.writes(action, "system", "system") == [
        ("schedule.fired", {"schedule": "s", **outcome})
    ]
    assert user.leaves(c.FireSchedule(schedule="s", seq=8), "system", "system")
    assert user.leaves(CLAIM, "system", "system", time=LATER)


def test_it_does_not_fire_unclaimed() -> None:
    assert scheduled().refuses(FIRED, "system", "system", time=LATER) == "not_allowed"


@pytest.mark.parametrize("event", [e.UserErased(keys=[]), e.UserSuspended()], ids=repr)
def test_what_is_due_comes_to_an_end_whatever_became_of_the_account(event: e.Event) -> None:
    user = scheduled()
    user.state |= account.evolve(user.state, event, ())
    code = "user_erased" if isinstance(event, e.UserErased) else "suspended"
    assert user.writes(CLAIM, "system", "system", time=DUE) == [
        ("schedule.claimed", {"schedule": "s", "due": DUE}),
        ("schedule.fired", {"schedule": "s", "refusal": code}),
    ]
    assert user.leaves(FIRED, "system", "system")
    for action in (CHANGE, CANCEL, scheduling(schedule="t")):
        assert user.refuses(action, "ann") == code


def test_schedules_do_not_get_in_each_others_way() -> None:
    user = scheduled()
    user.writes(scheduling(schedule="t", due=LATER), "ann")
    user.writes(CANCEL, "ann")
    user.writes(c.ChangeSchedule(schedule="t", content="x"), "ann")
    user.writes(c.ClaimSchedule(schedule="t", due=LATER), "system", "system", time=LATER)
