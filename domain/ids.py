"""Names of streams, and ids: UUIDv5, so that a repeated request names the same thing."""

import uuid

NAMESPACE = uuid.UUID("3ed3acef-3566-5d4c-a6e5-52204805ed8a")


def _derived(*parts: str) -> str:
    return str(uuid.uuid5(NAMESPACE, "\0".join(parts)))


def command_id(user: str, stream: str, key: str) -> str:
    """The id of the command that `user` sends to `stream` under an idempotency key."""
    return _derived("command", user, stream, key)


def direct_chat_id(one: str, other: str) -> str:
    return _derived("direct", *sorted((one, other)))


def group_id(command: str) -> str:
    return _derived("group", command)


def schedule_id(command: str) -> str:
    return _derived("schedule", command)


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
