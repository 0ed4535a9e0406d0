"""By what an action is found in the logs of all processes."""

import re
from contextvars import ContextVar
from uuid import uuid4

import msgspec

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Trail(msgspec.Struct):
    """What is known of the request, or the frame, that is being carried out. `commands` are the ids
    of those it has led to, by which deciders, projectors and fan-out know it."""

    request_id: str
    traceparent: str | None = None
    user: str | None = None
    commands: list[str] = []


#: The trail of what runs in this context, if a client has asked for it.
TRAIL: ContextVar[Trail | None] = ContextVar("trail", default=None)


def request_id(asked: str | None) -> str:
    """The id that a client gives its request; one of our own in place of none, or of another form
    than 1 to 64 letters, digits, dots, underscores and hyphens."""
    if asked is not None and _REQUEST_ID.fullmatch(asked) is not None:
        return asked
    return uuid4().hex
