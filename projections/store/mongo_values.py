"""Values on their way into MongoDB."""

import math

Stored = str | int | None

_HIGHEST = 2**63 - 1


def stored(value: object) -> Stored:
    """The value as a field keeps it.

    Raises:
        ValueError: not a string, an integer of 64 bits, a truth value or None.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and -_HIGHEST <= value <= _HIGHEST:
        return value
    raise ValueError(f"a document cannot be found by this {type(value).__name__}")


def sought(value: object) -> Stored | float:
    """The value as a question gives it. Integers beyond 64 bits are beyond all that are stored."""
    if isinstance(value, int) and not -_HIGHEST <= value <= _HIGHEST:
        return math.copysign(math.inf, value)
    return stored(value)
