"""Changes of the primary, as the answers to writes tell them."""

from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)


class Elections(CommandListener):
    """Counts how often writes were answered by another primary than the write before.

    No two primaries have the same election id, nor has one that was elected anew.
    """

    def __init__(self) -> None:
        self.seen = 0
        self._last: object = None

    def started(self, event: CommandStartedEvent) -> None:
        pass

    def succeeded(self, event: CommandSucceededEvent) -> None:
        election = event.reply.get("electionId")
        if election is not None and election != self._last:
            self.seen += self._last is not None
            self._last = election

    def failed(self, event: CommandFailedEvent) -> None:
        pass
