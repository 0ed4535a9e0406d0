"""Replies on their way from a decider to the gateway that asked."""

import msgspec

from domain.commands import Outcome
from domain.decider import Verdict


class _Reply(msgspec.Struct, frozen=True, array_like=True):
    number: int
    outcome: Outcome
    replayed: bool


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Reply).decode


def encode_reply(number: int, verdict: Verdict) -> bytes:
    return _encode(_Reply(number, verdict.outcome, verdict.replayed))


def decode_reply(message: bytes) -> tuple[int, Verdict]:
    """The number of the question and its verdict, without records and changes.

    Raises:
        msgspec.DecodeError: it is no reply.
    """
    reply = _decode(message)
    return reply.number, Verdict(reply.outcome, kept=False, replayed=reply.replayed)
