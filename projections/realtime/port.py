"""Realtime: what passes from whoever turns events into frames to the gateways, and is kept nowhere.

A channel is a stream's name. Whatever the number of members, an event is published once.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, Protocol

import msgspec

Kind = Literal["event", "receipt", "typing", "profile"]


class Publication(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One frame on its way to those who may see it.

    `frame` is the JSON text of the frame. For an event, `redacted` is the frame for those who may
    not see its `message`, the seq of the message it is about; `touches` are the users whom it lets
    in or out, and `command` and the fields after it make the acknowledgement of the one who wrote.
    For `message.hidden`, `chat` and `message` say which. For the other kinds `user` is who it is
    about, and `up_to` how far a mark has come.
    """

    channel: str
    kind: Kind
    frame: bytes
    seq: int = 0
    type: str = ""
    redacted: bytes | None = None
    message: int | None = None
    chat: str = ""
    touches: tuple[str, ...] = ()
    command: str = ""
    time: str = ""
    ordinal: int | None = None
    user: str = ""
    up_to: int = 0


Listener = Callable[[Sequence[Publication]], None]


class Realtime(Protocol):
    async def publish(self, publications: Sequence[Publication]) -> None:
        """Hand publications to every gateway that listens to their channels, in order a channel."""

    def listen(self, listener: Listener) -> None:
        """Where this gateway takes its publications; it returns at once and raises nothing."""

    def subscribe(self, channels: Iterable[str]) -> None: ...

    def unsubscribe(self, channels: Iterable[str]) -> None: ...

    async def close(self) -> None: ...
