"""`Hansard-Position`: how far a client's own writes have gone, as text it hands back with reads."""

from gateway.problems import Problem
from gateway.signing import BadSignatureError, Signer

MAX_POSITIONS = 16

_LOG_BYTES = 4
_SEQ_BYTES = 8


class PositionCodec:
    """Positions of one log: the first 8 hex digits of its UUID, a stream and a seq, signed."""

    def __init__(self, log_id: str, key: bytes) -> None:
        self._log = bytes.fromhex(log_id[: 2 * _LOG_BYTES])
        self._signer = Signer(key, "position")

    def encode(self, stream: str, seq: int) -> str:
        return self._signer.sign(self._log + seq.to_bytes(_SEQ_BYTES, "big") + stream.encode())

    def decode(self, header_value: str) -> list[tuple[str, int]]:
        """The (stream, seq) pairs of a header that may hold several, separated by commas.

        Raises:
            Problem: `bad_position` for more than 16, for a made-up one, or for one of another log.
        """
        # RFC 9110, section 5.6.1: empty elements of a list are to be ignored.
        texts = [text for text in map(str.strip, header_value.split(",")) if text]
        if len(texts) > MAX_POSITIONS:
            raise Problem("bad_position", f"Send at most {MAX_POSITIONS} positions.")
        return [self._decode_one(text) for text in texts]

    def _decode_one(self, text: str) -> tuple[str, int]:
        try:
            payload = self._signer.verify(text)
        except BadSignatureError as error:
            raise Problem("bad_position", "This position was not given out here.") from error
        log, rest = payload[:_LOG_BYTES], payload[_LOG_BYTES:]
        if log != self._log:
            raise Problem("bad_position", "This position belongs to another log.")
        return rest[_SEQ_BYTES:].decode(), int.from_bytes(rest[:_SEQ_BYTES], "big")
