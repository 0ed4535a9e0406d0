"""Wherever a write stops, and whoever else writes: folding again ends where one fold would have."""

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from domain.envelope import Envelope
from projections.catalogue import COLLECTIONS
from projections.engine import Engine
from projections.progress import Progress
from projections.store import open_store
from projections.store.port import Batch, Collection, D, Document, Key, ReadStore, Scan, StoreError
from projections.vault import Vault
from tests.contract.views.test_readers_agree import ACTS, Readers
from tests.contract.views.world import Logged, World

# What folds nothing by itself, and needs no key that is gone.
SAID = [act for act in ACTS if act not in ("fold", "fold_again", "erase")]
EVENTS = 250


class TornStore:
    """Writes one collection after the other, as a store may whose batches are no transactions, and
    when `torn` is a number stops in the collection of that number, after some of its documents."""

    def __init__(self, store: ReadStore, chance: random.Random) -> None:
        self._store = store
        self._chance = chance
        self.torn: int | None = None

    async def write(self, batch: Batch) -> None:
        torn, self.torn = self.torn, None
        for number, (collection, documents) in enumerate(batch.documents):
            kept = list(documents)
            if number == torn:
                kept = self._chance.sample(kept, self._chance.randrange(len(kept) + 1))
            await self._store.write(Batch([(collection, kept)], {}))
            if number == torn:
                raise StoreError("torn")
        if torn is not None:
            raise StoreError("torn before the checkpoint")
        await self._store.write(Batch([], batch.checkpoints))

    async def get(self, collection: Collection[D], keys: Iterable[Key]) -> dict[Key, D]:
        return await self._store.get(collection, keys)

    async def scan(self, collection: Collection[D], scans: Sequence[Scan]) -> list[list[D]]:
        return await self._store.scan(collection, scans)

    async def checkpoints(self) -> dict[str, int]:
        return await self._store.checkpoints()


class Worker:
    """An engine with its place in the log."""

    def __init__(self, store: Any, vault: Vault, log: Sequence[Envelope]) -> None:
        self._store = store
        self._engine = Engine(store, vault, Progress(store))
        self._log = log
        self.at = 0

    async def start(self) -> None:
        self.at = (await self._engine.start()).get("events", 0)

    async def step(self, size: int) -> bool:
        """Whether the write went through."""
        end = min(self.at + size, len(self._log))
        try:
            await self._engine.apply(Logged("events", end, self._log[self.at : end]))
        except StoreError:
            return False
        assert not self._engine.stale
        self.at = end
        return True


async def contents(store: ReadStore) -> dict[str, list[Document]]:
    return {c.name: (await store.scan(c, [Scan()]))[0] for c in COLLECTIONS}


def happened(seed: int, url: str) -> Readers:
    """A world in which many have acted, none of it folded."""
    chance = random.Random(seed)
    readers = Readers(url)
    readers.begin()
    while len(readers.world.log) < EVENTS:
        act, numbers = chance.choice(SAID), [chance.randrange(1000) for _ in range(4)]
        readers.happen([(act, numbers[0], numbers[1], numbers[2], numbers[3])])
    return readers


async def fold_badly(store: ReadStore, world: World, chance: random.Random) -> None:
    """Fold the log by one worker after another; each ends in the middle of a write or is left with
    its old documents, to go on when others have long passed it."""
    torn = TornStore(store, chance)
    zombies: list[Worker] = []
    worker = Worker(torn, world.vault, world.log)
    await worker.start()
    while worker.at < len(world.log):
        size = chance.choice((1, 3, 10, 40))
        if zombies and chance.random() < 0.5:
            zombie = chance.choice(zombies)
            await asyncio.gather(worker.step(size), zombie.step(chance.choice((1, 10, 40))))
            continue
        torn.torn = chance.choice((None, *range(12)))
        went = await worker.step(size)
        # After a failure the same worker tries again, or another one takes its place.
        if chance.random() < (0.1 if went else 0.5):
            zombies.append(worker)
            worker = Worker(torn, world.vault, world.log)
            await worker.start()
    for zombie in zombies:
        await zombie.step(40)


@pytest.mark.parametrize("seed", range(6))
def test_torn_and_doubled_writes_change_nothing(
    new_store_url: Callable[[], str], tmp_path: Path, seed: int
) -> None:
    readers = happened(seed, f"sqlite:///{tmp_path}/fresh.db")

    async def compare() -> None:
        await readers.world.fold()
        store = await open_store(new_store_url(), COLLECTIONS)
        await fold_badly(store, readers.world, random.Random(seed))
        expected = await contents(readers.world.store)
        found = await contents(store)
        for name, documents in expected.items():
            assert found[name] == documents, name
        assert await store.checkpoints() == await readers.world.store.checkpoints()
        await store.close()
        await readers.world.close()

    readers.wait(compare())
    readers.loop.close()
    readers.folder.cleanup()
