"""Links to media that need no header: they let in for one user, for 5 minutes, to one address."""

import msgspec

from domain import instants
from gateway.auth import Unauthenticated
from gateway.signing import BadSignatureError, Signer

GOOD_SECONDS = 300


class _Link(msgspec.Struct, array_like=True, frozen=True):
    user: str
    until: str


_decoder = msgspec.json.Decoder(_Link)


class LinkCodec:
    """Signs links under one key."""

    def __init__(self, key: bytes) -> None:
        self._signer = Signer(key, "media")

    def sign(self, user: str, path: str, now: str) -> str:
        """The value of the `link` parameter of a path."""
        until = instants.later(now, GOOD_SECONDS)
        return self._signer.sign(msgspec.json.encode(_Link(user, until)), path)

    def user(self, link: str, path: str, now: str) -> str:
        """Whom a link lets in.

        Raises:
            Unauthenticated: it was not made here, is for another path, or is too old.
        """
        try:
            found = _decoder.decode(self._signer.verify(link, path))
        except BadSignatureError as error:
            raise Unauthenticated(
                "unauthenticated", "The link is not one of this server."
            ) from error
        if found.until <= now:
            raise Unauthenticated("unauthenticated", "The link is too old. Ask for a new one.")
        return found.user
