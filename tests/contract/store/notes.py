"""Collections of the suite's own, and the plainest thing that answers as a store must."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from projections.store.port import (
    Batch,
    Collection,
    Document,
    Index,
    Key,
    Match,
    ReadStore,
    Scan,
    Terms,
    Value,
)


class Note(Document, frozen=True):
    """Terms are the keys of an object; the scope leads the key; times rise with `number`."""

    room: str
    number: int
    time: str = "t0"
    kind: str | None = None
    due: int | None = None
    done: bool = False
    text: str = ""
    terms: dict[str, int] = msgspec.field(default_factory=dict)


class Tag(Document, frozen=True):
    """Terms are a list; the scope is no part of the key; times come in any order."""

    tag: str
    owner: str | None = None
    at: str | None = None
    words: tuple[str, ...] = ()


class Count(Document, frozen=True):
    name: str
    value: int = 0


NOTES = Collection(
    "notes",
    Note,
    ("room", "number"),
    (
        Index("by_kind", ("room", "kind")),
        Index("by_due", ("due", "kind"), where="due"),
        Index("done", ("room", "number"), where="done"),
    ),
    Terms("terms", "room", "time"),
)
TAGS = Collection(
    "tags", Tag, ("tag",), (Index("by_owner", ("owner",)),), Terms("words", "owner", "at")
)
COUNTS = Collection("counts", Count, ("name",))
COLLECTIONS: tuple[Collection[Any], ...] = (NOTES, TAGS, COUNTS)


def batch(*documents: Document, **checkpoints: int) -> Batch:
    """A batch of documents of one kind after the other."""
    parts: list[tuple[Collection[Any], list[Document]]] = []
    for document in documents:
        [collection] = [c for c in COLLECTIONS if isinstance(document, c.document)]
        if not parts or parts[-1][0] is not collection:
            parts.append((collection, []))
        parts[-1][1].append(document)
    return Batch(parts, checkpoints)


class Model:
    """A store as a dict."""

    def __init__(self) -> None:
        self._documents: dict[str, dict[Key, Any]] = {c.name: {} for c in COLLECTIONS}
        self.checkpoints: dict[str, int] = {}

    def write(self, batch: Batch) -> None:
        for collection, documents in batch.documents:
            kept = self._documents[collection.name]
            for document in documents:
                known = kept.get(key := collection.key_of(document))
                if known is None or known.seq < document.seq:
                    kept[key] = document
        for partition, position in batch.checkpoints.items():
            self.checkpoints[partition] = max(position, self.checkpoints.get(partition, position))

    def get(self, collection: Collection[Any], keys: Iterable[Key]) -> dict[Key, Any]:
        kept = self._documents[collection.name]
        return {key: kept[key] for key in keys if key in kept}

    def scan(self, collection: Collection[Any], scan: Scan) -> list[Any]:
        index = collection.indexes[scan.along] if scan.along is not None else None
        fields = index.fields if index else collection.key
        found = [
            document
            for document in self._documents[collection.name].values()
            if (index is None or index.where is None or is_set(getattr(document, index.where)))
            and all(getattr(document, f) == v for f, v in zip(fields, scan.equal, strict=False))
            and _within(document, fields[len(scan.equal) :], scan)
        ]
        found.sort(key=lambda d: _order(d, (*fields, *collection.key)), reverse=scan.newest)
        return found[: scan.limit]

    def match(self, collection: Collection[Any], match: Match) -> list[Any]:
        assert collection.terms is not None
        terms = collection.terms
        found = [
            document
            for document in self._found(collection, match.scopes)
            if all(set(getattr(document, terms.field)) & set(wanted) for wanted in match.sets)
            and (match.since is None or getattr(document, terms.time) >= match.since)
            and (match.until is None or getattr(document, terms.time) < match.until)
            and (match.after is None or collection.place_of(document) < match.after)
        ]
        found.sort(key=lambda document: collection.place_of(document), reverse=True)
        return found[: match.limit]

    def expand(
        self, collection: Collection[Any], scopes: Sequence[str], prefix: str, limit: int
    ) -> list[str]:
        assert collection.terms is not None
        terms = {
            term
            for document in self._found(collection, scopes)
            for term in getattr(document, collection.terms.field)
            if term.startswith(prefix)
        }
        return sorted(terms)[:limit]

    def _found(self, collection: Collection[Any], scopes: Sequence[str]) -> Iterator[Any]:
        assert collection.terms is not None
        for document in self._documents[collection.name].values():
            scope = getattr(document, collection.terms.scope)
            if scope in scopes and getattr(document, collection.terms.time) is not None:
                yield document


async def begun(
    store: ReadStore, collection: Collection[Any], scopes: Sequence[str], prefix: str, limit: int
) -> list[str]:
    """The terms that begin with a prefix."""
    return list((await store.expand(collection, scopes, prefix, limit)).terms)


def is_set(value: object) -> bool:
    return value is not None and value is not False


def _within(document: Document, rest: Sequence[str], scan: Scan) -> bool:
    if scan.above is None and scan.below is None:
        return True
    value = getattr(document, rest[0])
    return (
        value is not None
        and (scan.above is None or value > scan.above)
        and (scan.below is None or value < scan.below)
    )


def _order(document: Document, fields: Sequence[str]) -> list[tuple[bool, Value]]:
    values = [getattr(document, field) for field in fields]
    return [(value is not None, value) for value in values]
