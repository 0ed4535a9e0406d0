"""Realtime: what passes from whoever turns events into frames to the gateways, and is kept nowhere.

A channel is a stream's name. Whatever the number of members, an event is published once. What is
published may come twice, and it may be lost; after a loss whoever listens is told.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, Protocol

import msgspec

Kind = Literal["event", "receipt", "typing", "presence", "profile", "membership"]


class RealtimeError(Exception):
    """Some of what was to be published may have reached nobody."""


class Publication(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One frame on its way to those who may see it.

    `frame` is the JSON text of the frame. For an event, `redacted` is the frame for those who may
    not see its `message`, the seq of the message it is about; `touches` are the users whom it lets
    in or out, and `command` and the fields after it make the acknowledgement of the one who wrote.
    For `message.hidden`, `chat` and `message` say which. A membership has no frame: it tells in the
    channel of a user that the event `seq` of this `type` let them into `chat`, or out. For the
    other kinds `user` is who it is about, and `up_to` how far a mark has come. What a user tells of
    themself, presence and profile, comes in many channels under one `seq`. `traceparent` is that of
    an event that is traced.
    """

    channel: str
    kind: Kind
    frame: bytes = b""
    seq: int = 0
    type: str = ""
    redacted: bytes | None = None
    message: int | None = None
    chat: str = ""
    touches: tuple[str, ...] = ()
    command: str = ""
    digest: str = ""
    time: str = ""
    ordinal: int | None = None
    user: str = ""
    up_to: int = 0
    traceparent: str = ""


#: They return at once and raise nothing.
Listener = Callable[[Sequence[Publication]], None]
MailListener = Callable[[Sequence[bytes]], None]
Interrupted = Callable[[], None]


class Realtime(Protocol):
    """What is published in a channel while a subscription to it stands is heard in its order,
    or else `interrupted` is called, each time once the subscriptions stand again."""

    async def publish(self, publications: Sequence[Publication]) -> None:
        """Hand publications to every gateway that has subscribed to their channels.

        Raises:
            RealtimeError: nobody can tell which of them have been heard.
        """

    def listen(self, listener: Listener, interrupted: Interrupted) -> None:
        """Where this gateway takes its publications. It may hear channels that it never named."""

    async def subscribe(self, channels: Iterable[str]) -> None:
        """Hear these channels too. Returns once that stands; without a connection it returns as
        well, and `interrupted` is called when there is one."""

    def unsubscribe(self, channels: Iterable[str]) -> None:
        """Hear these channels no longer; what is on its way may still come."""

    async def send(self, mailbox: str, messages: Sequence[bytes]) -> None:
        """Hand messages to whoever receives under this name.

        Raises:
            RealtimeError: nobody can tell whether they have been received.
        """

    async def receive(self, mailbox: str, listener: MailListener, interrupted: Interrupted) -> None:
        """Take what is sent under this name from now on; returns as `subscribe` does."""

    async def close(self) -> None: ...
