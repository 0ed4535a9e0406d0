"""Projectors that share the partitions of a Kafka log over one store."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from domain.ids import user_stream
from projections.catalogue import COLLECTIONS
from projections.engine import Engine, Logged
from projections.keyring import open_keyring
from projections.keyring.port import Keyring
from projections.profiles import PROFILES
from projections.progress import Progress
from projections.store import open_store
from projections.store.port import ReadStore
from projections.vault import Vault
from tests.contract.log.scribe import Scribe
from tests.contract.log.written import WrittenKafkaLog, open_written_log
from workers.keys import KeyDestroyer
from workers.log.kafka_topics import USERS
from workers.projector import Projector

USERS_COUNT = 20
SECONDS = 60


class Noting(Engine):
    """Notes which partitions it is given anything of."""

    def __init__(self, store: ReadStore, vault: Vault) -> None:
        super().__init__(store, vault, Progress(store))
        self.seen: set[str] = set()

    async def apply(self, batch: Logged) -> None:
        await super().apply(batch)
        if batch.events:
            self.seen.add(batch.partition)


class Works:
    def __init__(self, log: WrittenKafkaLog, store: ReadStore, keyring: Keyring) -> None:
        self.log = log
        self.store = store
        self.keyring = keyring
        self.vault = Vault(keyring)
        self.scribe = Scribe()

    @asynccontextmanager
    async def projector(self) -> AsyncIterator[Noting]:
        """One more projector, as one more process has it."""
        engine = Noting(self.store, self.vault)
        keys = KeyDestroyer(self.store, self.keyring, self.vault)
        running = asyncio.create_task(Projector(self.log, engine, keys).run())
        try:
            yield engine
        finally:
            running.cancel()
            await asyncio.wait([running])

    async def write(self, name: str) -> None:
        await self.log.commit(
            self.scribe.group(*((f"u{n}", f"{name} {n}") for n in range(USERS_COUNT)))
        )

    async def behind(self) -> set[str]:
        """The users whose profiles are not as the log has them, once the store has seen all."""
        ends = {p: end for p, end in (await self.log.ends()).items() if end}
        async with asyncio.timeout(SECONDS):
            while True:
                checkpoints = await self.store.checkpoints()
                if all(checkpoints.get(p, 0) >= end for p, end in ends.items()):
                    break
                await asyncio.sleep(0.01)
        users = {f"u{n}" for n in range(USERS_COUNT)}
        profiles = await self.store.get(PROFILES, [(user,) for user in users])
        shown = {p.user for p in profiles.values() if p.seq == self.scribe.head(p.user)}
        return users - shown


@pytest.fixture
async def works(tmp_path: Path, new_kafka_url: Callable[[], str]) -> AsyncIterator[Works]:
    keyring = await open_keyring(f"sqlite:///{tmp_path}/keys.db", bytes(32))
    store = await open_store(f"sqlite:///{tmp_path}/read.db", COLLECTIONS)
    async with open_written_log(new_kafka_url()) as log:
        assert isinstance(log, WrittenKafkaLog)
        yield Works(log, store, keyring)
    await store.close()
    await keyring.close()


async def until_both_work(works: Works, one: Noting, other: Noting) -> None:
    """Write until each has seen something of its own since, and neither what the other sees."""
    async with asyncio.timeout(SECONDS):
        while True:
            one.seen.clear()
            other.seen.clear()
            await works.write("Both")
            assert not await works.behind()
            if one.seen and other.seen and one.seen.isdisjoint(other.seen):
                return


async def test_what_one_leaves_the_other_takes_over(works: Works) -> None:
    async with works.projector() as one:
        await works.write("First")
        assert not await works.behind()
        assert all(partition.startswith(USERS) for partition in one.seen)
        async with works.projector() as other:
            await until_both_work(works, one, other)
        for number in range(5):
            await works.write(f"Alone {number}")
        assert not await works.behind()
        # Once more two: what the first remembers of the other's streams is old by now.
        async with works.projector() as third:
            await until_both_work(works, one, third)
        await works.write("Last")
        assert not await works.behind()


async def test_one_ends_while_the_other_begins(works: Works) -> None:
    for number in range(4):
        async with works.projector():
            await works.write(f"Round {number}")
    async with works.projector():
        assert not await works.behind()


async def test_a_record_that_is_no_event_stops_its_stream_alone(works: Works) -> None:
    await works.write("First")
    await works.log.writer.commit_raw(USERS, user_stream("u3"), b"no event")
    async with works.projector() as engine:
        await works.write("Second")
        assert await works.behind() == {"u3"}
        assert [*engine.stale] == [user_stream("u3")]
    # The next one finds the dead letter in the store.
    async with works.projector() as engine:
        await works.write("Third")
        assert await works.behind() == {"u3"}
        assert [*engine.stale] == [user_stream("u3")]
