"""A stale stream that an operator has marked is read again by the projector that has it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from domain.ids import user_stream
from projections.catalogue import COLLECTIONS
from projections.dead_letters import DEAD_LETTERS, DeadLetter
from projections.engine import Engine
from projections.keyring import open_keyring
from projections.keyring.port import Keyring
from projections.profiles import PROFILES
from projections.progress import Progress
from projections.store import open_store
from projections.store.port import Batch, ReadStore
from projections.vault import Vault
from tests.contract.log.scribe import Scribe
from workers import projector as projector_module
from workers.keys import KeyDestroyer
from workers.log import open_embedded_log
from workers.log.port import EmbeddedLog
from workers.projector import Projector

ANN = user_stream("ann")


class Works:
    def __init__(self, log: EmbeddedLog, store: ReadStore, keyring: Keyring) -> None:
        self.log = log
        self.store = store
        self.scribe = Scribe()
        vault = Vault(keyring)
        keys = KeyDestroyer(store, keyring, vault)
        self.projector = Projector(log, Engine(store, vault, Progress(store)), keys)

    async def happen(self, *names: tuple[str, str]) -> None:
        await self.log.commit(self.scribe.group(*names))
        async with asyncio.timeout(30):
            await self.projector.reach(await self.log.ends())

    async def seen(self, user: str) -> int:
        found = await self.store.get(PROFILES, [(user,)])
        return found[user,].seq if found else 0

    async def letter(self) -> DeadLetter:
        return (await self.store.get(DEAD_LETTERS, [(ANN,)]))[ANN,]

    async def changed(self, before: DeadLetter) -> DeadLetter:
        async with asyncio.timeout(30):
            while (letter := await self.letter()).seq <= before.seq:
                pass
        return letter


@pytest.fixture
async def works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Works]:
    """Ann's stream has stopped at her first event."""
    monkeypatch.setattr(projector_module, "ATTEND", 0.01)
    log = await open_embedded_log(f"sqlite:///{tmp_path}/log.db")
    keyring = await open_keyring(f"sqlite:///{tmp_path}/keys.db", bytes(32))
    store = await open_store(f"sqlite:///{tmp_path}/read.db", COLLECTIONS)
    stopped = DeadLetter(seq=1, stream=ANN, at=1, error="KeyError")
    await store.write(Batch([(DEAD_LETTERS, [stopped])], {}))
    works = Works(log, store, keyring)
    async with asyncio.TaskGroup() as group:
        running = [
            group.create_task(work) for work in (works.projector.run(), works.projector.attend())
        ]
        yield works
        for task in running:
            task.cancel()
    for part in (log, store, keyring):
        await part.close()


async def test_it_goes_on_once_it_is_asked_for(works: Works) -> None:
    await works.happen(("ann", "Ann"), ("ben", "Ben"), ("ann", "Anna"), ("ann", "Annie"))
    assert (await works.seen("ann"), await works.seen("ben")) == (0, 1)
    asked = msgspec.structs.replace(await works.letter(), seq=2, asked=True)
    await works.store.write(Batch([(DEAD_LETTERS, [asked])], {}))
    answer = await works.changed(asked)
    assert (answer.error, answer.asked) == (None, False)
    assert await works.seen("ann") == 3
    await works.happen(("ann", "Anne"))
    assert await works.seen("ann") == 4
