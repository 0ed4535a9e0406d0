"""What is seen of projectors in other processes: how far they are, and whether they move."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from projections.catalogue import COLLECTIONS
from projections.engine import Engine
from projections.keyring import open_keyring
from projections.progress import Progress
from projections.store import open_store
from projections.store.port import Batch, ReadStore
from projections.vault import Vault
from tests.contract.log.scribe import Scribe
from workers.log import open_embedded_log
from workers.log.port import EmbeddedLog
from workers.store_watch import StoreWatch

#: The partition that events of users are in.
EVENTS = "events"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Works:
    """A log, and a projector that goes on when told."""

    def __init__(self, log: EmbeddedLog, store: ReadStore, vault: Vault) -> None:
        self.log = log
        self.store = store
        self.clock = Clock()
        self.watch = StoreWatch(log, store, Progress(store), self.clock)
        self._engine = Engine(store, vault, Progress(store))
        self._scribe = Scribe()
        self._projected = 0

    async def happen(self, count: int) -> None:
        names = [("ann", f"Ann {self.log.end(EVENTS) + n}") for n in range(count)]
        await self.log.commit(self._scribe.group(*names))

    async def project(self, count: int) -> None:
        await self._engine.apply(await self.log.read(EVENTS, self._projected, count))
        self._projected += count

    async def look(self, seconds: float) -> None:
        """Look after so many seconds."""
        self.clock.now += seconds
        await self.watch.look_around()


@pytest.fixture
async def works(tmp_path: Path) -> AsyncIterator[Works]:
    log = await open_embedded_log(f"sqlite:///{tmp_path}/log.db")
    keyring = await open_keyring(f"sqlite:///{tmp_path}/keys.db", bytes(32))
    store = await open_store(f"sqlite:///{tmp_path}/read.db", COLLECTIONS)
    works = Works(log, store, Vault(keyring))
    await works.look(0)
    yield works
    for part in (log, store, keyring):
        await part.close()


async def test_nothing_is_behind_when_nothing_is_to_do(works: Works) -> None:
    await works.look(100)
    assert (works.watch.behind, works.watch.lag, works.watch.stuck) == (0, 0.0, {})


async def test_who_goes_on_under_a_load_that_does_not_end_is_neither_behind_nor_stuck(
    works: Works,
) -> None:
    await works.happen(1)
    for _ in range(100):
        await works.look(1)
        await works.happen(10)
        await works.project(10)
        assert works.watch.behind == 1
        assert works.watch.lag <= 2
        assert works.watch.stuck[EVENTS] <= 1


async def test_who_lags_and_goes_on_is_behind_and_not_stuck(works: Works) -> None:
    await works.happen(100)
    for second in range(1, 100):
        await works.look(1)
        assert works.watch.lag == second
        assert works.watch.stuck[EVENTS] <= 1
        await works.project(1)
    await works.project(1)
    await works.look(1)
    assert (works.watch.behind, works.watch.lag, works.watch.stuck) == (0, 0.0, {})


async def test_who_does_nothing_is_stuck_from_when_there_was_something_to_do(works: Works) -> None:
    await works.look(500)
    await works.happen(2)
    await works.look(1)
    await works.look(30)
    assert works.watch.stuck == {EVENTS: 30.0}
    # What others write about their own work is no progress of this one.
    await works.store.write(Batch([], {f"fanout:{EVENTS}": 2}))
    await works.look(1)
    assert works.watch.stuck == {EVENTS: 31.0}
    await works.project(1)
    await works.look(1)
    assert works.watch.stuck == {EVENTS: 0.0}


async def test_how_long_nothing_was_seen_is_told(works: Works) -> None:
    await works.look(5)
    works.clock.now += 20
    assert works.watch.silent[1] == 20
    await works.look(0)
    assert works.watch.silent[1] == 0
