"""Values on their way into SQLite and back.

They travel as JSON, many in one statement. SQLite ends a JSON string at U+0000, so text is written
without it: U+0000 and U+0001 become two characters each, in a way that keeps order and prefixes.
"""

from typing import Any

import msgspec

Stored = str | int | None

_encode = msgspec.json.Encoder().encode
_HIGHEST = 2**63 - 1
_ABOVE_ALL = msgspec.Raw(b"9e999")
_BELOW_ALL = msgspec.Raw(b"-9e999")


def to_json(value: Any) -> str:
    """Raises ValueError when a text has a lone surrogate."""
    return _encode(value).decode()


def escape(text: str) -> str:
    return text.replace("\x01", "\x01\x02").replace("\x00", "\x01\x01")


def unescape(text: str) -> str:
    return text.replace("\x01\x01", "\x00").replace("\x01\x02", "\x01")


def stored(value: object) -> Stored:
    """The value as a column keeps it.

    Raises:
        ValueError: not a string, an integer of 64 bits, a truth value or None.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, int) and -_HIGHEST <= value <= _HIGHEST:
        return value
    raise ValueError(f"a document cannot be found by this {type(value).__name__}")


def sought(value: object) -> Stored | msgspec.Raw:
    """The value as a question gives it. Integers beyond 64 bits are beyond all that are stored."""
    if isinstance(value, int) and not -_HIGHEST <= value <= _HIGHEST:
        return _ABOVE_ALL if value > 0 else _BELOW_ALL
    return stored(value)
