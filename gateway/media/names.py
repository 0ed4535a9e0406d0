"""Names of files: as they are kept, and as they are told in a header."""

import unicodedata
from urllib.parse import quote

from gateway.problems import invalid_request

MAX_NAME = 255
NAMELESS = "file"
#: They make text run backwards, so that `gpj.exe` shows as `exe.jpg`.
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")


def clean_name(name: str) -> str:
    """The last part of a path, without what could not be shown; `file` if nothing is left.

    Raises:
        Problem: `invalid_request` for a NUL character.
    """
    if "\0" in name:
        raise invalid_request("file", "A file name must not hold NUL characters.")
    last = name.replace("\\", "/").rpartition("/")[2]
    shown = "".join(
        c for c in last if unicodedata.category(c) not in ("Cc", "Cs") and c not in _DIRECTIONS
    )
    return shown.strip()[-MAX_NAME:].strip(". ") or NAMELESS


def content_disposition(name: str | None, *, inline: bool) -> str:
    """The header (RFC 6266): a name in ASCII, and the true one in the encoding of RFC 8187."""
    kind = "inline" if inline else "attachment"
    name = name or NAMELESS
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
