"""Ids are UUIDv5 of their parts joined by U+0000."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import ids

NAMESPACE = uuid.UUID("3ed3acef-3566-5d4c-a6e5-52204805ed8a")


def named(*parts: str) -> str:
    return str(uuid.uuid5(NAMESPACE, "\x00".join(parts)))


@pytest.mark.parametrize(
    ("made", "known"),
    [
        (ids.direct_chat_id("ann", "bob"), "bf48d8bb-3ebd-554d-aa42-972ae14e75d1"),
        (ids.group_id("c"), "1eeb7220-ba43-51b1-aa00-01991dc919af"),
        (ids.command_id("ann", "chats/g", "key"), "e4926fa4-0d00-54bd-a8dc-e8eaef3b48ab"),
    ],
)
def test_known_ids(made: str, known: str) -> None:
    assert made == known


def test_each_kind_of_id_is_made_of_its_word_and_its_parts() -> None:
    assert ids.command_id("ann", "chats/g", "key") == named("command", "ann", "chats/g", "key")
    assert ids.direct_chat_id("ann", "bob") == named("direct", "ann", "bob")
    assert ids.group_id("c") == named("group", "c")
    assert ids.schedule_id("c") == named("schedule", "c")
    assert ids.schedule_step("s", "due", "claim") == named("schedule", "s", "due", "claim")
    assert ids.expiry_command("g", 7) == named("expire", "g", "7")
    assert ids.media_id("c") == named("media", "c")
    assert ids.imported_chat_id("#ubuntu") == named("import", "#ubuntu")


@given(st.text(), st.text())
def test_a_direct_chat_is_the_same_from_both_ends(one: str, other: str) -> None:
    assert ids.direct_chat_id(one, other) == ids.direct_chat_id(other, one)


WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(st.tuples(WORDS, WORDS, WORDS), st.tuples(WORDS, WORDS, WORDS))
def test_different_parts_make_different_ids(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    assert (ids.command_id(*one) == ids.command_id(*other)) == (one == other)


def test_ids_of_different_kinds_differ() -> None:
    makers = (ids.group_id, ids.schedule_id, ids.media_id, ids.imported_chat_id)
    assert len({make("c") for make in makers}) == len(makers)


def test_streams_are_named_by_kind_and_id() -> None:
    streams = [ids.chat_stream("g"), ids.user_stream("ann"), ids.operator_stream("olga")]
    assert streams == ["chats/g", "users/ann", "operators/olga"]
    assert ids.split_stream("users/a:b@c/d") == ("users", "a:b@c/d")
