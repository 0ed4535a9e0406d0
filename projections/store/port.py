"""The read store as the projections see it: collections of documents, each fed by one stream.

Everything the read models mean lives above this port, in folds and views; an adapter only keeps
documents, finds them by a declared index, and never lets an older document replace a newer one.
"""

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec

Value = str | int | bool | None
Key = tuple[str | int, ...]


class Document(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`seq`, that of the last event of its stream it has seen, guards its writes."""

    seq: int


D = TypeVar("D", bound=Document)


class Index(NamedTuple):
    """Documents in the order of `fields`; only those whose field `where` is set (not null, not
    false) when it is given. A field may be null in the index."""

    name: str
    fields: tuple[str, ...]
    where: str | None = None


class Terms(NamedTuple):
    """An inverted index: `field` holds each document's terms (a list of strings or the keys of an
    object), found within the values of the field `scope`, newest first by the field `time`."""

    field: str
    scope: str
    time: str


class Collection(Generic[D]):
    """The form of a collection. `key` names the fields that identify a document."""

    def __init__(
        self,
        name: str,
        document: type[D],
        key: tuple[str, ...],
        indexes: tuple[Index, ...] = (),
        terms: Terms | None = None,
    ) -> None:
        self.name = name
        self.document = document
        self.key = key
        self.indexes = {index.name: index for index in indexes}
        self.terms = terms
        # Of one field `attrgetter` gives the value itself, not a tuple.
        self._key = attrgetter(*key) if len(key) > 1 else None
        #: What orders matches, where there are terms: time, scope, the rest of the key.
        self.place: tuple[str, ...] = ()
        if terms is not None:
            rest = (field for field in key if field != terms.scope)
            self.place = (terms.time, terms.scope, *rest)
            self.place_of: attrgetter[tuple[Any, ...]] = attrgetter(*self.place)
        self._fields = {field.name for field in msgspec.structs.fields(document)}
        assert {*key, *(f for i in indexes for f in i.fields)} <= self._fields
        assert {i.where for i in indexes if i.where} | {*(terms or ())} <= self._fields

    def key_of(self, document: D) -> Key:
        if self._key is None:
            return (getattr(document, self.key[0]),)
        key: Key = self._key(document)
        return key

    def __repr__(self) -> str:
        return f"Collection({self.name})"


Ref = tuple[Collection[Any], Key]


class Scan(NamedTuple):
    """A run of documents along an index (`along` names it; the key when it is None).

    `equal` fixes the index's first fields; `above` and `below`, both exclusive, bound the one
    after them. Ascending unless `newest`; ties go by the key, in the same direction. A null is
    neither above nor below a bound.
    """

    equal: tuple[Value, ...] = ()
    along: str | None = None
    above: Value = None
    below: Value = None
    newest: bool = False
    limit: int | None = None


class Begun(NamedTuple):
    """The first terms that begin with a prefix, in their order: all that some scopes have from the
    first of these to the last. `postings` is how often documents there hold one of them, or None
    where that was too much to count."""

    terms: tuple[str, ...]
    postings: int | None = None


class Match(NamedTuple):
    """Documents that hold, for every set of `all_of`, and every one of `begun`, at least one of its
    terms. What is begun is of these scopes, or of more.

    `since` (inclusive) and `until` (exclusive) bound the time; `after` is the place (time, scope,
    rest of the key …) of the last document of the page before. A document whose scope or time is
    null is not found. Terms and texts are ordered by code point.
    """

    scopes: tuple[str, ...]
    all_of: tuple[tuple[str, ...], ...]
    limit: int
    since: str | None = None
    until: str | None = None
    after: tuple[Value, ...] | None = None
    begun: tuple[Begun, ...] = ()

    @property
    def sets(self) -> tuple[tuple[str, ...], ...]:
        """All sets of which a document holds a term."""
        return (*self.all_of, *(begun.terms for begun in self.begun))


class Batch(NamedTuple):
    """What one step of the engine writes. `checkpoints` name positions of the log by partition."""

    documents: Sequence[tuple[Collection[Any], Sequence[Document]]]
    checkpoints: Mapping[str, int]


class StoreError(Exception):
    """The store did not do what it was asked, or is closed; the caller may try again."""


class TooCostly(StoreError):
    """A search would have gone through more than one may; trying again is no use."""


class ReadStore(Protocol):
    async def get(self, collection: Collection[D], keys: Iterable[Key]) -> dict[Key, D]:
        """The documents of these keys; keys without one are left out."""

    async def scan(self, collection: Collection[D], scans: Sequence[Scan]) -> list[list[D]]:
        """The documents of each run, in its order. All runs are answered from one state."""

    async def count(self, collection: Collection[Any], scans: Sequence[Scan]) -> list[int]:
        """How many documents each run has."""

    async def match(self, collection: Collection[D], match: Match) -> list[D]:
        """Matching documents, newest first: by time, then scope, then the rest of the key, all
        descending.

        Raises `TooCostly`, as `expand` does.
        """

    async def expand(
        self, collection: Collection[Any], scopes: Sequence[str], prefix: str, limit: int
    ) -> Begun:
        """Up to `limit` terms that begin with the prefix in any of the scopes."""

    async def write(self, batch: Batch) -> None:
        """Write documents in the order given, then the checkpoints, durably.

        A document whose stored one has the same or a higher `seq` is passed over. Checkpoints only
        rise. Where a batch is not one transaction a reader may see a part of it: what is named
        first comes first, in no order within a collection, and the checkpoints last.

        Raises `StoreError` with nothing lost: the same batch may be written again; and
        `ValueError`, with nothing written, for what no store can hold (a lone surrogate, an integer
        beyond 64 bits in a key or an index).
        """

    async def checkpoints(self) -> dict[str, int]:
        """The log position after which to go on, by partition."""

    async def bind(self, log_id: str) -> None:
        """Bind the store to the log of this identity, once and for good.

        Raises `StoreError` when it is bound to another.
        """

    async def close(self) -> None: ...
