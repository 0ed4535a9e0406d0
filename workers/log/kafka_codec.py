"""Commands and outcomes as Kafka keeps them.

What it takes to refuse a command stands in the headers, so that one whose body can't be read is
refused like any other and stops nothing.
"""

import re
from typing import TYPE_CHECKING

import msgspec

from domain.commands import Command, Outcome, Unreadable
from domain.instants import from_millis
from workers.log.port import Asked, ReplyTo

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord

#: The longest id, digest, stream or mailbox of a command, in characters.
MAX_NAME = 1_000
_NUMBER = re.compile(r"[0-9]{1,15}").fullmatch

_encode = msgspec.json.Encoder().encode
_decode_command = msgspec.json.Decoder(Command).decode
_decode_outcome = msgspec.json.Decoder(Outcome).decode


def encode_command(command: Command, reply_to: ReplyTo) -> tuple[bytes, list[tuple[str, bytes]]]:
    """The value of a command's record and its headers."""
    return _encode(command), [
        ("id", command.id.encode()),
        ("digest", command.digest.encode()),
        ("reply-to", f"{reply_to.mailbox} {reply_to.number}".encode()),
    ]


def read_command(record: "ConsumerRecord[bytes, bytes]") -> Asked:
    headers = {name: value.decode(errors="replace") for name, value in record.headers}
    mailbox, _, number = headers.get("reply-to", "").rpartition(" ")
    reply_to = ReplyTo(mailbox, int(number)) if _is_name(mailbox) and _NUMBER(number) else None
    try:
        command = _decode_command(record.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        command = None
    if command is None or not all(map(_is_name, (command.id, command.digest, command.stream))):
        id, digest = headers.get("id", ""), headers.get("digest", "")
        stream = (record.key or b"").decode(errors="replace")
        command = Command(
            id=id if _is_name(id) else f"{record.topic}/{record.partition}/{record.offset}",
            digest=digest if _is_name(digest) else "",
            stream=stream if _is_name(stream) else "",
            actor="",
            time=from_millis(record.timestamp),
            action=Unreadable(),
            rights="system",
        )
    return Asked(command, record.offset + 1, reply_to)


def _is_name(text: str) -> bool:
    """No gateway makes longer ones, and an outcome that repeats them has to fit into a record."""
    return 0 < len(text) <= MAX_NAME


def encode_outcome(outcome: Outcome) -> bytes:
    return _encode(outcome)


def decode_outcome(record: bytes) -> Outcome:
    """Read an outcome.

    Raises:
        msgspec.DecodeError: the bytes are none.
    """
    return _decode_outcome(record)
