"""What every fold works with: an event as it is seen, and the documents at hand."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, cast

import msgspec

from domain.envelope import Envelope
from domain.events import Event, Sealable
from projections.store.port import Collection, D, Document, Key, Ref


class Seen(NamedTuple):
    """One event with its data decoded. `clear` holds its sealed fields opened; null where the key
    is gone."""

    envelope: Envelope
    data: Event
    clear: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The id of the chat or user whose stream this is."""
        return self.envelope.source.rpartition("/")[2]


class Held(msgspec.Struct, frozen=True, array_like=True):
    """A sealed field as a document keeps it: unopened, with the command that sealed it."""

    value: Sealable
    command: str


class WorkingSet:
    """The documents of one batch: loaded ones and those folds have made."""

    def __init__(self) -> None:
        self._documents: dict[Ref, Document] = {}
        self._changed: dict[Ref, None] = {}

    def __contains__(self, ref: Ref) -> bool:
        return ref in self._documents

    def get(self, collection: Collection[D], *key: str | int) -> D | None:
        return cast(D | None, self._documents.get((collection, key)))

    def load(self, collection: Collection[D], documents: Mapping[Key, D]) -> None:
        for key, document in documents.items():
            self._documents.setdefault((collection, key), document)

    def put(self, collection: Collection[D], document: D) -> None:
        """Take a document unless the one at hand has seen as much of the stream."""
        ref = (collection, collection.key_of(document))
        known = self._documents.get(ref)
        if known is None or known.seq < document.seq:
            self._documents[ref] = document
            self._changed[ref] = None

    def changed(self) -> Iterator[tuple[Collection[Any], Document]]:
        for ref in self._changed:
            yield ref[0], self._documents[ref]


Made = Iterable[tuple[Collection[Any], Document]]


def nothing_more(_seen: Seen, _docs: WorkingSet) -> Iterable[Ref]:
    """The needs of a read model that folds an event without looking at what is there."""
    return ()


class ReadModel(NamedTuple):
    """One read model: what to load before an event, and the documents that the event makes.

    `then` is asked once the answers of `needs` are loaded, and may name further ones. A fold is
    pure. A write may stop between two collections and the batch be folded again, so a fold may
    rely on another document only if its collection is written after the fold's own
    (`projections.catalogue`), or on what never changes in it.
    """

    collections: tuple[Collection[Any], ...]
    needs: Callable[[Seen, WorkingSet], Iterable[Ref]]
    fold: Callable[[Seen, WorkingSet], Made]
    then: Callable[[Seen, WorkingSet], Iterable[Ref]] = nothing_more


def held(seen: Seen, value: Sealable) -> Held | None:
    return None if value is None else Held(value, seen.envelope.commandid)
