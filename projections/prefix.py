"""Servers that several installations may share: the path of their URL is a prefix."""

import re
from urllib.parse import urlsplit

DEFAULT = "hansard"

_FORM = re.compile(r"[A-Za-z0-9._-]{1,64}")


def server_and_prefix(url: str) -> tuple[str, str]:
    """The URL without its path, and the path, with which every name on that server begins.

    Raises:
        ValueError: the path can't begin a name.
    """
    parts = urlsplit(url)
    prefix = parts.path.strip("/") or DEFAULT
    if _FORM.fullmatch(prefix) is None:
        raise ValueError("the path of the URL is a prefix: letters, digits, dots, dashes")
    return parts._replace(path="").geturl(), prefix
