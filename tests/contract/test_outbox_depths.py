"""How much of the notifier's work is due, as it is measured."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from domain.instants import from_millis
from projections.catalogue import COLLECTIONS
from projections.outbox import DIGESTS, Digest
from projections.store import open_store
from workers.metrics import Metrics
from workers.notifier.depths import EVERY, Depths
from workers.notifier.queue import Queue

NOW = 1_700_000_000_000


class Watched:
    """Depths of the partitions `a` and `b`, with a clock of their own."""

    def __init__(self, queue: Queue) -> None:
        self.now = 0.0
        self.queue = queue
        self.registry = CollectorRegistry()
        self.depths = Depths(queue, Metrics(self.registry), lambda: self.now)

    async def want(self, user: str, partition: str, due: int) -> None:
        digest = Digest(seq=1, user=user, partition=partition, due=from_millis(NOW + due * 1000))
        await self.queue.write({DIGESTS: [digest]})

    async def look(self, *partitions: str) -> tuple[float | None, float | None]:
        """How many are due, and the seconds for which the first has been."""
        for partition in partitions or ("a", "b"):
            await self.depths.carry_out(partition)
        labels = {"outbox": "digests"}
        tasks = self.registry.get_sample_value("hansard_outbox_tasks", labels)
        return tasks, self.registry.get_sample_value("hansard_outbox_age_seconds", labels)


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    store = await open_store(f"sqlite:///{tmp_path / 'read.db'}", COLLECTIONS)
    yield Watched(Queue(store, lambda: from_millis(NOW), lambda: 0.0))
    await store.close()


async def test_only_what_is_due_counts(watched: Watched) -> None:
    assert await watched.look() == (0, 0)
    watched.now += EVERY
    for user, partition, due in (("x", "a", -30), ("y", "b", -5), ("z", "b", 60)):
        await watched.want(user, partition, due)
    assert await watched.look() == (2, 30)


async def test_it_is_looked_at_now_and_then(watched: Watched) -> None:
    await watched.look()
    await watched.want("x", "a", -30)
    watched.now += EVERY / 2
    assert await watched.look() == (0, 0)
    watched.now += EVERY / 2
    assert await watched.look() == (1, 30)


async def test_what_another_process_works_on_is_not_counted(watched: Watched) -> None:
    await watched.want("x", "a", -30)
    await watched.want("y", "b", -5)
    assert await watched.look() == (2, 30)
    watched.depths.share(["b"])
    assert await watched.look("b") == (1, 5)
