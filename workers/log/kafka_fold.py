"""Folds the log's records into a decider's cache: what it lacks when a partition is taken over."""

from collections.abc import Iterator, Mapping, Sequence

from domain.commands import Outcome
from domain.decider import Record, replay
from domain.state import HEAD, Part
from workers.log.kafka_cache import Place, StateCache
from workers.log.port import PartRef

#: Parts held in memory before they are written.
HELD = 50_000


class Fold:
    """Used by one thread at a time. What was folded is in the cache after `flush`."""

    def __init__(self, cache: StateCache, places: Mapping[str, Place]) -> None:
        """`places` are those of the cache."""
        self._cache = cache
        self._counts = {kind: place.records for kind, place in places.items()}
        self._parts: dict[PartRef, Part | None] = {}
        self._changed: dict[PartRef, Part] = {}
        self._receipts: dict[str, Outcome] = {}
        self._places: dict[str, Place] = {}

    def events(self, records: Sequence[Record]) -> None:
        for record in records:
            stream, command = record.envelope.stream, record.envelope.commandid
            known = self._receipts.get(command)
            if known is None and (stream, HEAD) not in self._changed:
                # Only the event before this one can be of the same command.
                known = self._cache.receipt(command)
            changes, receipt = replay(_Parts(self, stream), record, known)
            for name, part in changes.items():
                self._parts[stream, name] = self._changed[stream, name] = part
            if receipt is not None:
                self._receipts[command] = receipt

    def outcomes(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            self._receipts[outcome.command] = outcome

    def reach(self, kind: str, offset: int, hash: str, count: int) -> None:
        """What was folded of a kind of topic were so many records, of which this was the last."""
        self._counts[kind] = self._counts.get(kind, 0) + count
        self._places[kind] = Place(offset, hash, self._counts[kind])
        if len(self._changed) + len(self._receipts) > HELD:
            self.flush()
            self._parts.clear()

    def flush(self) -> None:
        self._cache.write(self._changed, list(self._receipts.values()), self._places)
        self._changed, self._receipts, self._places = {}, {}, {}

    def find(self, ref: PartRef) -> Part | None:
        if ref not in self._parts:
            self._parts[ref] = self._cache.part(ref)
        return self._parts[ref]


class _Parts(Mapping[str, Part]):
    """A stream's state, loaded part by part as the fold asks for it."""

    def __init__(self, fold: Fold, stream: str) -> None:
        self._fold = fold
        self._stream = stream

    def __getitem__(self, name: str) -> Part:
        part = self._fold.find((self._stream, name))
        if part is None:
            raise KeyError(name)
        return part

    def __iter__(self) -> Iterator[str]:
        raise TypeError("the parts of a stream are not counted")

    def __len__(self) -> int:
        raise TypeError("the parts of a stream are not counted")
