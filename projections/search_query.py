"""What a user asks the search for: words and filters, never a pattern."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from domain.ids import USER_ID
from projections.words import query_terms

MAX_QUERY = 512
"""Characters of a query."""

MAX_TERMS = 16
"""Terms of a query, the prefix among them. In unspaced scripts each pair of characters is one."""

HAS = ("link", "media", "image", "file", "audio", "video", "voice_note", "location")
"""What `has:` takes. `media` stands for every kind of message that carries a media item."""

_USER = re.compile(USER_ID)
_CHAT = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d))?",
    re.ASCII,
)


class QueryError(ValueError):
    """A query that can't be answered; `field` names the parameter, `detail` says what is wrong."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field
        self.detail = detail


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """What a message must meet: every part of this that is not empty.

    `words` are terms it has, all of them; `prefix` begins at least one of its terms. It is of one
    of the `senders`, in one of the `chats`, bears everything in `has`, and was sent at or after
    `after` and before `before` (UTC, whole milliseconds).
    """

    words: tuple[str, ...] = ()
    prefix: str | None = None
    senders: tuple[str, ...] = ()
    chats: tuple[str, ...] = ()
    has: tuple[str, ...] = ()
    before: datetime | None = None
    after: datetime | None = None


def parse_query(query: str) -> SearchQuery:
    """The query in the form that the index answers.

    Filter names, chat ids and `has:` values may be in capitals, since keyboards begin a line with
    one. A filter that stands twice means either value for `from:` and `in:`, both for `has:`, and
    the narrower time for `before:` and `after:`. Quotes and other punctuation are passed over.

    Raises:
        QueryError: a filter has a wrong value, or the query is too long, has a NUL character, has
            too many terms, or asks for nothing.
    """
    if len(query) > MAX_QUERY:
        raise QueryError("q", f"A query has at most {MAX_QUERY} characters.")
    if "\0" in query:
        raise QueryError("q", "A query has no NUL character.")
    plain: list[str] = []
    filters: dict[str, list[str]] = {"from": [], "in": [], "has": [], "before": [], "after": []}
    for word in query.split():
        name, colon, value = word.partition(":")
        if colon and name.lower() in filters:
            filters[name.lower()].append(value)
        else:
            plain.append(word)
    words, prefix = query_terms(" ".join(plain))
    if len(words) + (prefix is not None) > MAX_TERMS:
        raise QueryError("q", f"A query has at most {MAX_TERMS} words.")
    parsed = SearchQuery(
        words=words,
        prefix=prefix,
        senders=_each_once(map(_user, filters["from"])),
        chats=_each_once(map(_chat, filters["in"])),
        has=_each_once(map(_has, filters["has"])),
        before=min((_time("before", value) for value in filters["before"]), default=None),
        after=max((_time("after", value) for value in filters["after"]), default=None),
    )
    if parsed == SearchQuery():
        raise QueryError("q", "A query has at least one word or filter.")
    return parsed


def _each_once(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _user(value: str) -> str:
    if _USER.fullmatch(value) is None:
        raise QueryError("q", "from: takes the id of a user.")
    return value


def _chat(value: str) -> str:
    if _CHAT.fullmatch(value.lower()) is None:
        raise QueryError("q", "in: takes the id of a chat.")
    return value.lower()


def _has(value: str) -> str:
    if value.lower() not in HAS:
        raise QueryError("q", f"has: takes {', '.join(HAS)}.")
    return value.lower()


def _time(name: str, value: str) -> datetime:
    """The first whole millisecond at or after a time, or after the beginning of a day in UTC.

    Messages have whole milliseconds, so rounding up changes no answer.
    """
    wrong = QueryError("q", f"{name}: takes a day (2024-12-31) or an RFC 3339 time.")
    match = _TIME.fullmatch(value.upper())
    if match is None:
        raise wrong
    day, clock, fraction, offset = match.groups()
    try:
        second = datetime.fromisoformat(f"{day}T{clock or '00:00:00'}{offset or 'Z'}")
        millis = -(int(fraction or 0) * -1000 // 10 ** len(fraction or ""))
        return second.astimezone(UTC) + timedelta(milliseconds=millis)
    except (ValueError, OverflowError) as error:
        raise wrong from error
