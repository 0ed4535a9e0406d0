import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cursor import CursorCodec, Place
from gateway.position import PositionCodec
from gateway.problems import FieldError, Problem

KEY = b"k" * 32

values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.text(st.characters(exclude_categories=["Cs"])),
)


@given(st.lists(values))
def test_a_place_comes_back(place: Place) -> None:
    codec = CursorCodec(KEY)
    found = codec.decode("ann", "chats", codec.encode("ann", "chats", place))
    assert [(type(value), value) for value in found] == [(type(value), value) for value in place]


@pytest.mark.parametrize(("user", "query"), [("bob", "chats"), ("ann", "chats?archived=true")])
def test_it_is_good_for_its_user_and_query_only(user: str, query: str) -> None:
    codec = CursorCodec(KEY)
    with pytest.raises(Problem) as caught:
        codec.decode(user, query, codec.encode("ann", "chats", [1]))
    assert (caught.value.status, caught.value.code) == (422, "invalid_request")
    assert [error.field for error in caught.value.errors] == ["cursor"]


@pytest.mark.parametrize("cursor", ["", "x", "W10", "é", "A" * 30])
def test_a_made_up_one_is_refused(cursor: str) -> None:
    with pytest.raises(Problem) as caught:
        CursorCodec(KEY).decode("ann", "chats", cursor)
    assert caught.value.errors == (FieldError("cursor", caught.value.detail),)


def test_a_position_is_no_cursor() -> None:
    position = PositionCodec("0f8fad5b", KEY).encode("chats/b", 1)
    with pytest.raises(Problem):
        CursorCodec(KEY).decode("ann", "chats", position)
