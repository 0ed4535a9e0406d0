"""Cursors of lists: a place to go on from, opaque, good for one user and one query only."""

import msgspec

from gateway.problems import invalid_request
from gateway.signing import BadSignatureError, Signer

Place = list[str | int | bool | None]

_decoder = msgspec.json.Decoder(Place)


class CursorCodec:
    """Writes and reads cursors under one key."""

    def __init__(self, key: bytes) -> None:
        self._signer = Signer(key, "cursor")

    def encode(self, user: str, query: str, place: Place) -> str:
        return self._signer.sign(msgspec.json.encode(place), user, query)

    def decode(self, user: str, query: str, cursor: str) -> Place:
        """The place that `encode` was given.

        Raises:
            Problem: `invalid_request` for a made-up cursor, or one of another user or query.
        """
        try:
            return _decoder.decode(self._signer.verify(cursor, user, query))
        except BadSignatureError as error:
            raise invalid_request("cursor", "This is no cursor of this list.") from error
