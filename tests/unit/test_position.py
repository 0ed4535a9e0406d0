import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.position import PositionCodec
from gateway.problems import Problem

LOG = "0f8fad5b-d9cb-469f-a165-70867728950e"
KEY = b"k" * 32


@pytest.fixture
def codec() -> PositionCodec:
    return PositionCodec(LOG, KEY)


def refusal(codec: PositionCodec, header: str) -> Problem:
    with pytest.raises(Problem) as caught:
        codec.decode(header)
    return caught.value


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=150),
    st.integers(0, 2**63 - 1),
)
def test_a_position_comes_back(stream: str, seq: int) -> None:
    codec = PositionCodec(LOG, KEY)
    assert codec.decode(codec.encode(stream, seq)) == [(stream, seq)]


def test_it_fits_into_a_header_that_lists_several(codec: PositionCodec) -> None:
    text = codec.encode("users/ann", 7)
    assert text.isascii()
    assert "," not in text


def test_a_list_keeps_its_order(codec: PositionCodec) -> None:
    places = [("chats/b", 2), ("users/ann", 9), ("chats/b", 1)]
    header = " ,".join(codec.encode(*place) for place in places) + ","
    assert codec.decode(header) == places


def test_no_element_is_no_position(codec: PositionCodec) -> None:
    assert codec.decode("") == []


def test_sixteen_are_allowed_and_seventeen_not(codec: PositionCodec) -> None:
    one = codec.encode("chats/b", 1)
    assert len(codec.decode(",".join([one] * 16))) == 16
    problem = refusal(codec, ",".join([one] * 17))
    assert (problem.status, problem.code) == (400, "bad_position")


@pytest.mark.parametrize("header", ["x", "chats/b:1", "A" * 40, "é", "Zm9v"])
def test_a_made_up_one_is_refused(codec: PositionCodec, header: str) -> None:
    problem = refusal(codec, f"{codec.encode('chats/b', 1)},{header}")
    assert (problem.status, problem.code) == (400, "bad_position")


def test_one_of_another_log_is_refused(codec: PositionCodec) -> None:
    foreign = PositionCodec("aaaaaaaa" + LOG[8:], KEY).encode("chats/b", 1)
    assert refusal(codec, foreign).code == "bad_position"


def test_one_under_another_key_is_refused(codec: PositionCodec) -> None:
    foreign = PositionCodec(LOG, b"o" * 32).encode("chats/b", 1)
    assert refusal(codec, foreign).code == "bad_position"
