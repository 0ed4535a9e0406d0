"""The engine of all read models: read a batch, load the touched documents, fold, write.

A fold that raises stops its own stream and no other: the first failed event becomes a dead letter,
later events of that stream wait, and `retry` reads them again from there.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import structlog

from domain.catalogue import decode_data, sealed_values
from domain.commands import Outcome
from domain.envelope import Envelope
from domain.events import Event
from projections import outcomes
from projections.catalogue import COLLECTIONS, MODELS
from projections.chats import CHATS, MEMBERSHIPS
from projections.dead_letters import DEAD_LETTERS, DeadLetter
from projections.fold import ReadModel, Seen, WorkingSet, nothing_more
from projections.marks import MARKS
from projections.outcomes import OUTCOMES
from projections.profiles import PROFILES
from projections.progress import Progress
from projections.store.port import Batch, Collection, Document, Key, ReadStore, Ref, Scan
from projections.vault import Vault

log = structlog.get_logger()

#: Documents that nearly every event of their stream changes.
HOT = frozenset((CHATS, MEMBERSHIPS, MARKS, PROFILES))
REMEMBERED = 20_000
#: Events decoded or folded before others have their turn.
SLICE = 100


class Logged(Protocol):
    """A batch of the log, as the engine reads it: events in order, outcomes, the place after it."""

    @property
    def partition(self) -> str: ...
    @property
    def end(self) -> int: ...
    @property
    def events(self) -> Sequence[Envelope]: ...
    @property
    def outcomes(self) -> Sequence[Outcome]: ...


class Engine:
    """Folds batches into a store.

    While it runs, no other engine writes the documents of its partitions; `start` begins anew
    after one may have.
    """

    def __init__(
        self,
        store: ReadStore,
        vault: Vault,
        progress: Progress,
        models: Sequence[ReadModel] = MODELS,
    ) -> None:
        self._models = models
        self._phases = (
            [model.needs for model in models if model.needs is not nothing_more],
            [model.then for model in models if model.then is not nothing_more],
        )
        self._store = store
        self._vault = vault
        self._progress = progress
        self._letters: dict[str, DeadLetter] = {}
        self._hot: OrderedDict[Ref, Document] = OrderedDict()

    async def start(self) -> dict[str, int]:
        """Load what is stale, and say after which positions to go on."""
        self._hot.clear()
        [letters] = await self._store.scan(DEAD_LETTERS, [Scan()])
        self._take(letters)
        return await self._store.checkpoints()

    @property
    def stale(self) -> dict[str, DeadLetter]:
        """The streams that have stopped, with the event each stopped at."""
        return {s: letter for s, letter in self._letters.items() if letter.error is not None}

    async def apply(self, batch: Logged) -> None:
        """Fold a batch and write it with its checkpoint.

        Raises:
            StoreError: nothing was taken; the same batch may be applied again.
        """
        stopped = self.stale
        going = [event for event in batch.events if event.stream not in stopped]
        letters = await self._write(
            going, [outcomes.document(o) for o in batch.outcomes], {batch.partition: batch.end}
        )
        self._take(letters)

    async def asked(self) -> list[DeadLetter]:
        """What an operator wants tried again."""
        [letters] = await self._store.scan(DEAD_LETTERS, [Scan()])
        return [letter for letter in letters if letter.asked]

    async def retry(self, letter: DeadLetter, events: Sequence[Envelope]) -> bool:
        """Fold a stale stream's events from its dead letter on; true if all of them went."""
        self._take([letter])
        resolved = DeadLetter(seq=letter.seq + 1, stream=letter.stream, at=letter.at)
        letters = await self._write(events, [], {}, resolved)
        self._take(letters or [resolved])
        return not letters

    def _take(self, letters: Iterable[DeadLetter]) -> None:
        self._letters.update({letter.stream: letter for letter in letters})
        self._progress.stale = frozenset(self.stale)

    async def _write(
        self,
        events: Sequence[Envelope],
        refused: list[Document],
        checkpoints: dict[str, int],
        resolved: DeadLetter | None = None,
    ) -> list[DeadLetter]:
        docs = WorkingSet()
        letters: dict[str, DeadLetter] = {}
        await self._fold(events, docs, letters)
        documents: dict[Collection[Any], list[Document]] = {c: [] for c in COLLECTIONS}
        documents[OUTCOMES] = refused
        documents[DEAD_LETTERS] = list(letters.values()) or ([resolved] if resolved else [])
        for collection, document in docs.changed():
            documents[collection].append(document)
        await self._store.write(Batch([(c, d) for c, d in documents.items() if d], checkpoints))
        self._keep(docs)
        self._progress.advance(
            {event.stream: event.seq for event in events if event.stream not in letters}
        )
        return list(letters.values())

    async def _fold(
        self, events: Sequence[Envelope], docs: WorkingSet, letters: dict[str, DeadLetter]
    ) -> None:
        seen = await self._see(events, letters)
        await self._load(seen, docs)
        for n, one in enumerate(seen, 1):
            if n % SLICE == 0:
                await asyncio.sleep(0)
            stopped = letters.get(one.envelope.stream)
            if stopped is not None and stopped.at <= one.envelope.seq:
                continue
            try:
                made = [made for model in self._models for made in model.fold(one, docs)]
            except Exception as error:
                letters[one.envelope.stream] = self._letter(one.envelope, error)
                continue
            for collection, document in made:
                docs.put(collection, document)

    async def _see(self, events: Sequence[Envelope], letters: dict[str, DeadLetter]) -> list[Seen]:
        seen: list[Seen] = []
        for start in range(0, len(events), SLICE):
            if start:
                await asyncio.sleep(0)
            seen += await self._see_slice(events[start : start + SLICE], letters)
        return seen

    async def _see_slice(
        self, events: Sequence[Envelope], letters: dict[str, DeadLetter]
    ) -> list[Seen]:
        decoded: list[tuple[Envelope, Event]] = []
        keys: set[str] = set()
        for envelope in events:
            if envelope.stream in letters:
                continue
            try:
                data = decode_data(envelope)
            except Exception as error:
                letters[envelope.stream] = self._letter(envelope, error)
                continue
            decoded.append((envelope, data))
            keys |= self._vault.key_ids(sealed_values(data, envelope.type).values())
        await self._vault.load(keys)
        return [Seen(envelope, data, self._clear(envelope, data)) for envelope, data in decoded]

    def _clear(self, envelope: Envelope, data: Event) -> dict[str, Any]:
        return {
            field: self._vault.open(envelope.stream, envelope.commandid, field, value).value
            for field, value in sealed_values(data, envelope.type).items()
        }

    async def _load(self, seen: Sequence[Seen], docs: WorkingSet) -> None:
        for phase in self._phases:
            wanted: dict[Collection[Any], dict[Key, None]] = {}
            for one in seen:
                for needs in phase:
                    for ref in needs(one, docs):
                        if ref in docs:
                            continue
                        if ref in self._hot:
                            docs.load(ref[0], {ref[1]: self._hot[ref]})
                        else:
                            wanted.setdefault(ref[0], {})[ref[1]] = None
            for collection, keys in wanted.items():
                docs.load(collection, await self._store.get(collection, keys))

    def _keep(self, docs: WorkingSet) -> None:
        """Remember what the next batch is likely to load: this engine alone writes it."""
        for collection, document in docs.changed():
            if collection in HOT:
                ref = (collection, collection.key_of(document))
                self._hot[ref] = document
                self._hot.move_to_end(ref)
        while len(self._hot) > REMEMBERED:
            self._hot.popitem(last=False)

    def _letter(self, envelope: Envelope, error: Exception) -> DeadLetter:
        # The class of the error alone: its text could quote what was said.
        name = type(error).__name__
        log.error("fold_failed", stream=envelope.stream, seq=envelope.seq, error=name)
        known = self._letters.get(envelope.stream)
        return DeadLetter(
            seq=known.seq + 1 if known else 1,
            stream=envelope.stream,
            at=envelope.seq,
            error=name,
        )
