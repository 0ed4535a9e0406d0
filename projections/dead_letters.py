"""Streams whose folding has stopped at an event that could not be folded."""

from projections.store.port import Collection, Document


class DeadLetter(Document, frozen=True):
    """The first event that failed, at `at`, and why. `error` is null once the stream goes on.
    `asked` says that an operator wants it tried again.

    `seq` counts the changes of this document itself: no stream feeds it.
    """

    stream: str
    at: int
    error: str | None = None
    asked: bool = False


DEAD_LETTERS = Collection("dead_letters", DeadLetter, ("stream",))
