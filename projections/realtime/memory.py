"""Realtime within one process."""

from collections.abc import Iterable, Sequence

from projections.realtime.port import Interrupted, Listener, MailListener, Publication


class MemoryRealtime:
    """Hands publications straight on; there is one gateway and it hears every channel."""

    def __init__(self) -> None:
        self._listener: Listener | None = None
        self._mailboxes: dict[str, MailListener] = {}

    async def publish(self, publications: Sequence[Publication]) -> None:
        if self._listener is not None and publications:
            self._listener(publications)

    def listen(self, listener: Listener, interrupted: Interrupted) -> None:  # noqa: ARG002
        self._listener = listener

    async def subscribe(self, channels: Iterable[str]) -> None:
        pass

    def unsubscribe(self, channels: Iterable[str]) -> None:
        pass

    async def send(self, mailbox: str, messages: Sequence[bytes]) -> None:
        listener = self._mailboxes.get(mailbox)
        if listener is not None:
            listener(messages)

    async def receive(
        self,
        mailbox: str,
        listener: MailListener,
        interrupted: Interrupted,  # noqa: ARG002
    ) -> None:
        self._mailboxes[mailbox] = listener

    async def close(self) -> None:
        self._listener = None
        self._mailboxes.clear()
