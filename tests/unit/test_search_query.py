from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projections.search_query import (
    HAS,
    MAX_QUERY,
    MAX_TERMS,
    QueryError,
    SearchQuery,
    parse_query,
)
from projections.words import words_of

CHAT = "5f2d9a3e-7b51-5c0e-9f44-0d6a1c2b3e4f"
OTHER_CHAT = "00000000-0000-5000-8000-000000000000"
properties = settings(deadline=None, max_examples=500)


@pytest.mark.parametrize(
    ("query", "parsed"),
    [
        ("hello", SearchQuery(prefix="hello")),
        ("Hello Wörld", SearchQuery(words=("hello",), prefix="world")),
        ("  hello\t world \n", SearchQuery(words=("hello",), prefix="world")),
        ("hello\u3000漢", SearchQuery(words=("hello", "漢"))),
        ("hello w", SearchQuery(words=("hello", "w"))),
        ("東京都", SearchQuery(words=("東京", "京都"))),
        ('"foo bar"', SearchQuery(words=("foo",), prefix="bar")),
        ("foo* %bar_ (x|y)", SearchQuery(words=("foo", "bar", "x", "y"))),
        ("foo !!!", SearchQuery(prefix="foo")),
        ("hello from:alice", SearchQuery(prefix="hello", senders=("alice",))),
        ("hel from:alice lo", SearchQuery(words=("hel",), prefix="lo", senders=("alice",))),
        ("from:Alice", SearchQuery(senders=("Alice",))),
        ("from:org:a.b_c-d@x", SearchQuery(senders=("org:a.b_c-d@x",))),
        (f"in:{CHAT}", SearchQuery(chats=(CHAT,))),
        (f"In:{CHAT.upper()} Has:LINK", SearchQuery(chats=(CHAT,), has=("link",))),
        ("from:a from:b from:a", SearchQuery(senders=("a", "b"))),
        (f"in:{CHAT} in:{OTHER_CHAT}", SearchQuery(chats=(CHAT, OTHER_CHAT))),
        ("has:link has:image has:link", SearchQuery(has=("link", "image"))),
        ("to:bob", SearchQuery(words=("to",), prefix="bob")),
        ("https://from:x", SearchQuery(words=("https", "from", "x"))),
        (":from:x", SearchQuery(words=("from", "x"))),
        ("from", SearchQuery(prefix="from")),
        ("!!! from:a", SearchQuery(senders=("a",))),
    ],
)
def test_queries(query: str, parsed: SearchQuery) -> None:
    assert parse_query(query) == parsed


@pytest.mark.parametrize("value", HAS)
def test_has(value: str) -> None:
    assert parse_query(f"has:{value}") == SearchQuery(has=(value,))


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2024-05-01", datetime(2024, 5, 1, tzinfo=UTC)),
        ("2024-02-29", datetime(2024, 2, 29, tzinfo=UTC)),
        ("2024-05-01T10:20:30Z", datetime(2024, 5, 1, 10, 20, 30, tzinfo=UTC)),
        ("2024-05-01t10:20:30z", datetime(2024, 5, 1, 10, 20, 30, tzinfo=UTC)),
        ("2024-05-01T10:20:30.5+02:00", datetime(2024, 5, 1, 8, 20, 30, 500_000, tzinfo=UTC)),
        ("2024-05-01T10:20:30-00:00", datetime(2024, 5, 1, 10, 20, 30, tzinfo=UTC)),
        ("2024-05-01T10:20:30.1230000001Z", datetime(2024, 5, 1, 10, 20, 30, 124_000, tzinfo=UTC)),
        ("2024-12-31T23:59:59.9999Z", datetime(2025, 1, 1, tzinfo=UTC)),
    ],
)
def test_times(value: str, moment: datetime) -> None:
    assert parse_query(f"before:{value}") == SearchQuery(before=moment)
    assert parse_query(f"after:{value}") == SearchQuery(after=moment)


@properties
@given(
    st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)),
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
)
def test_a_time_is_the_same_instant_in_every_zone(moment: datetime, offset: int) -> None:
    local = moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC).astimezone(
        timezone(timedelta(minutes=offset))
    )
    assert parse_query(f"after:{local.isoformat()}").after == local


def test_the_narrower_time_counts() -> None:
    query = "before:2024-03-01 before:2024-02-01 after:2024-01-01 after:2023-01-01T00:00:00Z"
    assert parse_query(query) == SearchQuery(
        before=datetime(2024, 2, 1, tzinfo=UTC), after=datetime(2024, 1, 1, tzinfo=UTC)
    )


@pytest.mark.parametrize(
    "query",
    [
        "",
        "   ",
        "!!! ...",
        '""',
        "a\0b",
        "from:",
        "from: alice",
        "hello from:a/b",
        "from:ünal",
        "from:" + "a" * 129,
        "in:",
        "in:general",
        "in:" + CHAT.replace("-", ""),
        "in:{" + CHAT + "}",
        "in:" + CHAT + "\u0661",
        "has:",
        "has:links",
        "has:text",
        "before:",
        "before:yesterday",
        "before:2024",
        "before:20240501",
        "before:2024-5-1",
        "before:2024-W18-3",
        "before:2024-02-30",
        "before:0000-01-01",
        "before:٢٠٢٤-٠٥-٠١",
        "after:2024-05-01T10:20:30",
        "after:2024-05-01T10:20Z",
        "after:2024-05-01T10:20:30,5Z",
        "after:2024-05-01T10:20:30.Z",
        "after:2024-05-01T10:20:30.٥Z",
        "after:2024-05-01T24:00:00Z",
        "after:2024-05-01T10:60:00Z",
        "after:2024-05-01T10:20:30+24:00",
        "after:2024-05-01T10:20:30+0200",
        "after:0001-01-01T00:00:00+01:00",
        "after:9999-12-31T23:59:59.9999Z",
    ],
)
def test_wrong_queries(query: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_query(query)
    assert caught.value.field == "q"
    assert str(caught.value) == caught.value.detail


def numbered(count: int) -> Iterable[str]:
    return (f"w{number}" for number in range(count))


def test_bounds() -> None:
    assert len(parse_query(" ".join(numbered(MAX_TERMS))).words) == MAX_TERMS - 1
    assert parse_query(" ".join([*numbered(MAX_TERMS), "w0"])).prefix is None
    with pytest.raises(QueryError, match="16 words"):
        parse_query(" ".join(numbered(MAX_TERMS + 1)))
    with pytest.raises(QueryError, match="16 words"):
        parse_query("".join(map(chr, range(0x4E00, 0x4E00 + MAX_TERMS + 2))))

    assert parse_query("x" * MAX_QUERY).prefix == "x" * 64
    with pytest.raises(QueryError, match="512 characters"):
        parse_query("x" * (MAX_QUERY + 1))


@properties
@given(
    st.text(max_size=40) | st.text(st.sampled_from("fromhasinbef:ater0-9é漢👍🏽 \0"), max_size=40)
)
def test_a_query_is_parsed_or_refused(query: str) -> None:
    try:
        parsed = parse_query(query)
    except QueryError:
        return
    assert parsed != SearchQuery()
    assert len(parsed.words) + (parsed.prefix is not None) <= MAX_TERMS
    assert len(set(parsed.words)) == len(parsed.words)
    found = {word.text for word in words_of(query)}
    assert found.issuperset(parsed.words)
    assert parsed.prefix is None or parsed.prefix in found
