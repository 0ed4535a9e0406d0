"""Realtime within one process."""

from collections.abc import Iterable, Sequence

from projections.realtime.port import Listener, Publication


class MemoryRealtime:
    """Hands publications straight on; there is one gateway and it hears every channel."""

    def __init__(self) -> None:
        self._listener: Listener | None = None

    async def publish(self, publications: Sequence[Publication]) -> None:
        if self._listener is not None and publications:
            self._listener(publications)

    def listen(self, listener: Listener) -> None:
        self._listener = listener

    def subscribe(self, channels: Iterable[str]) -> None:
        pass

    def unsubscribe(self, channels: Iterable[str]) -> None:
        pass

    async def close(self) -> None:
        self._listener = None
