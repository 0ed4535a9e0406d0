"""Folds the log's records into a decider's cache: what it lacks when a partition is taken over."""

from collections.abc import Iterator, Mapping, Sequence

from domain.commands import Outcome
from domain.decider import Record, replay
from domain.state import Part
from workers.log.kafka_cache import Place, StateCache
from workers.log.port import PartRef

#: Parts held in memory before they are written.
HELD = 50_000


class Fold:
    """Used by one thread at a time. What was folded is in the cache after `flush`."""

    def __init__(self, cache: StateCache) -> None:
        self._cache = cache
        self._parts: dict[PartRef, Part | None] = {}
        self._changed: dict[PartRef, Part] = {}
        self._receipts: dict[str, Outcome] = {}
        self._places: dict[str, Place] = {}

    def events(self, kind: str, records: Sequence[Record], place: Place) -> None:
        """Fold a run of events of a kind of topic; `place` is that of the last of them."""
        for record in records:
            stream, command = record.envelope.stream, record.envelope.commandid
            known = self._receipts.get(command) or self._cache.receipt(command)
            changes, receipt = replay(_Parts(self, stream), record, known)
            for name, part in changes.items():
                self._parts[stream, name] = self._changed[stream, name] = part
            if receipt is not None:
                self._receipts[command] = receipt
        self._reach(kind, place)

    def outcomes(self, kind: str, outcomes: Sequence[Outcome], place: Place) -> None:
        for outcome in outcomes:
            self._receipts[outcome.command] = outcome
        self._reach(kind, place)

    def flush(self) -> None:
        self._cache.write(self._changed, list(self._receipts.values()), self._places)
        self._changed, self._receipts, self._places = {}, {}, {}

    def find(self, ref: PartRef) -> Part | None:
        if ref not in self._parts:
            self._parts[ref] = self._cache.part(ref)
        return self._parts[ref]

    def _reach(self, kind: str, place: Place) -> None:
        self._places[kind] = place
        if len(self._changed) + len(self._receipts) > HELD:
            self.flush()
            self._parts.clear()


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
