"""Texts in the order that every store keeps: by code point."""

import sys


def end_of(prefix: str) -> str | None:
    """The first text after all that begin so; None when there is none."""
    for place in reversed(range(len(prefix))):
        code = ord(prefix[place])
        if code < sys.maxunicode:
            # What stands between are surrogates, which no text has.
            return prefix[:place] + chr(0xE000 if code == 0xD7FF else code + 1)
    return None
