"""From forms to actions: the rules that types can't say."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from domain import commands as c
from gateway import actions, forms
from gateway.problems import Problem
from tests.unit.test_forms import taken, texts, values

ANN, BOB = "ann", "bob"


def send(**fields: Any) -> c.SendMessage:
    body = {"kind": "text", "content": "Hi"} | fields
    return actions.send(forms.parse(forms.SendForm, msgspec.json.encode(body)))


def at_fault(**fields: Any) -> str:
    """The field that a message with these fields is refused for."""
    with pytest.raises(Problem) as refused:
        send(**fields)
    assert refused.value.code == "invalid_request"
    [error] = refused.value.errors
    return error.field


@given(
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["text", "image", "voice_note", "location"])},
        optional={
            "content": texts,
            "metadata": st.none()
            | st.dictionaries(texts, values, max_size=3)
            | st.fixed_dictionaries({"location": values})
            | st.fixed_dictionaries({"media": values}),
            "mentions": st.lists(st.sampled_from([ANN, BOB]), max_size=4),
            "expires_in": st.none() | st.integers(),
            "reply_to": st.none() | st.integers(),
            "scheduled_for": st.none() | texts,
        },
    )
)
def test_any_message_is_an_action_or_a_problem(body: dict[str, Any]) -> None:
    form = taken(forms.SendForm, msgspec.json.encode(body))
    if isinstance(form, Problem):
        return
    assert isinstance(form, forms.SendForm)
    try:
        action = actions.send(form)
    except Problem as problem:
        refusal = problem
    else:
        fits(action, body)
        return
    assert refusal.code == "invalid_request"


def fits(action: c.SendMessage, body: dict[str, Any]) -> None:
    assert action.content == body.get("content", "")
    assert (action.media is not None) == (action.kind in actions.MEDIA_KINDS)
    # A command is one record of the log, so it must be possible to write it down.
    assert msgspec.json.decode(msgspec.json.encode(action), type=c.SendMessage) == action


def test_a_message_is_scheduled_for_an_instant_of_its_own_form() -> None:
    def schedule(due: str, **fields: Any) -> c.ScheduleMessage:
        body = {"kind": "text", "content": "Hi"} | fields
        form = forms.parse(forms.SendForm, msgspec.json.encode(body))
        return actions.schedule(form, due, "g", "s")

    made = schedule("2030-01-01T02:00:00+02:00", mentions=[BOB, BOB], expires_in=60, reply_to=3)
    assert made == c.ScheduleMessage(
        schedule="s",
        chat="g",
        due="2030-01-01T00:00:00.000Z",
        kind="text",
        content="Hi",
        mentions=(BOB,),
        expires_in=60,
        reply_to=3,
    )
    for due in ("", "tomorrow", "2030-01-01T00:00:00", "2030-02-30T00:00:00Z"):
        with pytest.raises(Problem) as refused:
            schedule(due)
        assert [error.field for error in refused.value.errors] == ["scheduled_for"]


def test_of_a_schedule_only_what_is_given_changes() -> None:
    def change(**fields: Any) -> c.ChangeSchedule:
        form = forms.parse(forms.ScheduleForm, msgspec.json.encode(fields))
        return actions.change_schedule(form, "s")

    assert change() == c.ChangeSchedule(schedule="s")
    assert change(content="") == c.ChangeSchedule(schedule="s", content="", blank=True)
    due = "2030-01-01T00:00:00.000Z"
    assert change(scheduled_for=due, mentions=[ANN, ANN]) == c.ChangeSchedule(
        schedule="s", due=due, mentions=(ANN,)
    )


def test_metadata_may_have_4_kib_and_8_levels() -> None:
    assert send(metadata={"a": "x" * (4096 - len('{"a":""}'))})
    assert at_fault(metadata={"a": "x" * (4097 - len('{"a":""}'))}) == "metadata"
    assert send(metadata={"a": [[[[[[[1]]]]]]]})
    assert at_fault(metadata={"a": [[[[[[[[1]]]]]]]]}) == "metadata"


def test_metadata_is_counted_in_bytes() -> None:
    assert at_fault(metadata={"a": "é" * 2048}) == "metadata"


def test_a_text_has_some_and_a_caption_may_be_empty() -> None:
    assert at_fault(content="") == "content"
    assert send(kind="image", content="", metadata={"media": "m"}).media == "m"


def test_media_come_by_their_id_alone() -> None:
    assert send(kind="file", metadata={"media": "m"}).metadata is None
    assert at_fault(kind="file") == "metadata.media"
    assert at_fault(kind="file", metadata={"media": "m", "file_size": 1}) == "metadata.file_size"


def test_places_are_on_earth() -> None:
    place = {"lat": -90, "lng": 180.0}
    assert send(kind="location", metadata={"location": place}).metadata == {"location": place}
    for wrong in ({"lat": 90.1, "lng": 0}, {"lat": 0, "lng": -180.1}, {"lat": "1", "lng": 1}):
        field = at_fault(kind="location", metadata={"location": wrong})
        assert field.startswith("metadata.location.")


def test_each_mention_counts_once() -> None:
    assert send(mentions=[BOB, ANN, BOB]).mentions == (BOB, ANN)


def chat(**fields: Any) -> c.CreateChat:
    body = {"kind": "group", "members": [BOB]} | fields
    return actions.create_chat(forms.parse(forms.ChatForm, msgspec.json.encode(body)), ANN)


def test_the_maker_of_a_chat_is_in_it() -> None:
    assert chat().members == (ANN, BOB)
    assert chat(members=[BOB, ANN, BOB]).members == (ANN, BOB)
    assert chat(kind="direct", members=[ANN, BOB]).members == (ANN, BOB)
    assert chat(members=[]).members == (ANN,)


def test_a_group_shows_all_of_its_history_unless_said() -> None:
    assert chat().history == "all"
    assert chat(history="since_joined").history == "since_joined"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"members": []}, "members"),
        ({"members": [ANN]}, "members"),
        ({"members": [BOB, "cid"]}, "members"),
        ({"name": "Us"}, "name"),
        ({"description": "Us"}, "description"),
        ({"avatar": "m"}, "avatar"),
        ({"history": "since_joined"}, "history"),
    ],
)
def test_a_direct_chat_is_between_two_and_has_nothing_of_a_group(
    fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(Problem) as refused:
        chat(kind="direct", **fields)
    assert [error.field for error in refused.value.errors] == [field]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-02-29T12:00:00Z", "2024-02-29T12:00:00.000Z"),
        ("2024-02-29t12:00:00.1234z", "2024-02-29T12:00:00.123Z"),
        ("2024-02-29T12:00:00+02:00", "2024-02-29T10:00:00.000Z"),
        ("2024-02-29 12:00:00-00:30", "2024-02-29T12:30:00.000Z"),
    ],
)
def test_times_are_kept_in_utc(text: str, instant: str) -> None:
    assert actions.instant(text, "muted_until") == instant


@given(texts.filter(lambda text: len(text) < 20 or not text[:4].isdecimal()))
def test_what_is_no_time_is_a_problem(text: str) -> None:
    with pytest.raises(Problem) as refused:
        actions.instant(text, "muted_until")
    assert [error.field for error in refused.value.errors] == ["muted_until"]


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-29",
        "2024-02-29T12:00:00",
        "2024-02-30T12:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "20240229T120000+0000Z",
    ],
)
def test_times_without_a_place_on_the_line_are_refused(text: str) -> None:
    with pytest.raises(Problem):
        actions.instant(text, "muted_until")


def test_filing_keeps_what_was_left_out_apart_from_null() -> None:
    form = forms.parse(forms.FilingForm, b'{"muted_until": null}')
    action = actions.file_chat(form, "c")
    assert (action.pinned, action.archived, action.muted_until) == (UNSET, UNSET, None)


def test_an_edit_says_whether_it_is_blank() -> None:
    assert actions.edit(forms.EditForm(content=""), 2).blank
    assert not actions.edit(forms.EditForm(content=" "), 2).blank
