"""Names of streams, and ids: UUIDv5, so that a repeated request names the same thing."""

import hashlib
import uuid

NAMESPACE = uuid.UUID("3ed3acef-3566-5d4c-a6e5-52204805ed8a")

#: The form of a user id.
USER_ID = r"[A-Za-z0-9._:@-]{1,128}"

_NAMESPACE_HASHED = hashlib.sha1(NAMESPACE.bytes, usedforsecurity=False)
_VARIANT = "89ab"


def _derived(*parts: str) -> str:
    """A UUIDv5 (RFC 9562, section 5.5). Every command takes one or two; `uuid.uuid5` makes an
    object on the way to the text and takes four times as long."""
    hashed = _NAMESPACE_HASHED.copy()
    hashed.update("\0".join(parts).encode())
    digits = hashed.hexdigest()
    variant = _VARIANT[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def command_id(user: str, stream: str, key: str) -> str:
    """The id of the command that `user` sends to `stream` under an idempotency key."""
    return _derived("command", user, stream, key)


def direct_chat_id(one: str, other: str) -> str:
    return _derived("direct", *sorted((one, other)))


def group_id(command: str) -> str:
    return _derived("group", command)


def schedule_id(command: str) -> str:
    return _derived("schedule", command)


def schedule_step(schedule: str, due: str, step: str) -> str:
    """The id of one of the commands that carry a due schedule out: `claim`, `send` or `fired`."""
    return _derived("schedule", schedule, due, step)


def expiry_command(chat: str, message: int) -> str:
    """The id of the command that ends the time of a message."""
    return _derived("expire", chat, str(message))


def media_id(command: str) -> str:
    return _derived("media", command)


def imported_chat_id(foreign: str) -> str:
    return _derived("import", foreign)


def chat_stream(chat: str) -> str:
    return f"chats/{chat}"


def user_stream(user: str) -> str:
    return f"users/{user}"


def operator_stream(operator: str) -> str:
    return f"operators/{operator}"


def split_stream(stream: str) -> tuple[str, str]:
    """`chats/x` as its category and id."""
    category, _, name = stream.partition("/")
    return category, name
