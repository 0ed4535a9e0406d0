"""The projector between a real log and a real store: how far it is, and how old what it lacks."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from projections.catalogue import COLLECTIONS
from projections.engine import Engine, Logged
from projections.keyring import open_keyring
from projections.keyring.port import Keyring
from projections.progress import Progress
from projections.store import open_store
from projections.store.port import StoreError
from projections.store.sqlite import SqliteStore
from projections.vault import Vault
from tests.contract.log.scribe import TIME, Scribe
from workers import projector as projector_module
from workers.keys import KeyDestroyer
from workers.log import open_embedded_log
from workers.log.port import EmbeddedLog
from workers.projector import Projector


class Watched(Engine):
    """Notes what the projector says of itself while a batch is folded."""

    projector: Projector

    def __init__(self, store: SqliteStore, vault: Vault) -> None:
        super().__init__(store, vault, Progress(store))
        self.oldest: list[str | None] = []
        self.failed = asyncio.Event()

    async def apply(self, batch: Logged) -> None:
        self.oldest.append(self.projector.oldest_not_shown)
        try:
            await super().apply(batch)
        except StoreError:
            self.failed.set()
            raise


class Works:
    def __init__(self, log: EmbeddedLog, store: SqliteStore, keyring: Keyring) -> None:
        vault = Vault(keyring)
        engine = Watched(store, vault)
        self.log = log
        self.store = store
        self.engine = engine
        self.projector = engine.projector = Projector(
            log, engine, KeyDestroyer(store, keyring, vault)
        )
        self.scribe = Scribe()

    async def catch_up(self) -> None:
        async with asyncio.timeout(30):
            await self.projector.reach({p: self.log.end(p) for p in self.log.partitions})


@pytest.fixture
async def works(tmp_path: Path) -> AsyncIterator[Works]:
    log = await open_embedded_log(f"sqlite:///{tmp_path}/log.db")
    keyring = await open_keyring(f"sqlite:///{tmp_path}/keys.db", bytes(32))
    store = await open_store(f"sqlite:///{tmp_path}/read.db", COLLECTIONS)
    assert isinstance(store, SqliteStore)
    works = Works(log, store, keyring)
    running = asyncio.create_task(works.projector.run())
    yield works
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    for part in (log, store, keyring):
        await part.close()


async def test_nothing_is_old_when_everything_is_shown(works: Works) -> None:
    assert works.projector.oldest_not_shown is None
    for number in range(3):
        await works.log.commit(works.scribe.group(("ann", f"Ann {number}")))
        await works.catch_up()
        assert works.projector.oldest_not_shown is None
        assert set(works.projector.behind().values()) == {0}
    assert works.engine.oldest == [TIME] * 3


async def test_outcomes_are_no_events_that_are_not_shown(works: Works) -> None:
    await works.log.commit(works.scribe.group(("ann", None)))
    await works.catch_up()
    assert works.engine.oldest == [None]


async def test_the_age_stays_while_the_store_does_not_answer(
    works: Works, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector_module, "RETRY", 0.001)
    works.store._connection.execute("PRAGMA busy_timeout = 0").fetchall()
    other = sqlite3.connect(tmp_path / "read.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    await works.log.commit(works.scribe.group(("ann", "Ann"), ("bob", "Bob")))
    for _ in range(2):
        works.engine.failed.clear()
        async with asyncio.timeout(30):
            await works.engine.failed.wait()
        assert works.projector.oldest_not_shown == TIME
        assert works.projector.behind()["events"] == 2
    other.execute("ROLLBACK")
    other.close()
    await works.catch_up()
    assert works.projector.oldest_not_shown is None
    assert set(works.projector.behind().values()) == {0}
