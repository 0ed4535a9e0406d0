"""Instants as the log writes them: RFC 3339, UTC, milliseconds, always 24 characters.

The form is fixed in width, so comparing two of these strings compares the instants.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII
)


def from_datetime(moment: datetime) -> str:
    """The canonical form of an aware datetime, cut to milliseconds."""
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z".rjust(24, "0")


def from_millis(millis: int) -> str:
    """The canonical form of milliseconds since 1970."""
    seconds, millis = divmod(millis, 1000)
    return f"{_second(seconds)}.{millis:03d}Z"


@lru_cache(8)
def _second(seconds: int) -> str:
    return from_datetime(datetime.fromtimestamp(seconds, UTC))[:19]


def to_datetime(instant: str) -> datetime:
    return datetime.fromisoformat(instant)


def to_millis(instant: str) -> int:
    return round(to_datetime(instant).timestamp() * 1000)


def parse(text: str) -> str:
    """The canonical form of an RFC 3339 time; leap seconds are not taken.

    Raises:
        ValueError: the text is no RFC 3339 time with an offset in the years 1 to 9999.
    """
    if _RFC_3339.fullmatch(text) is None:
        raise ValueError("not an RFC 3339 time")
    try:
        moment = datetime.fromisoformat(text.upper())
        if moment.tzinfo is None:
            raise ValueError("a time needs an offset")
        return from_datetime(moment)
    except OverflowError as error:
        raise ValueError("out of range") from error


def later(instant: str, seconds: int) -> str:
    """The instant `seconds` after another."""
    return from_datetime(to_datetime(instant) + timedelta(seconds=seconds))
