"""How much of the notifier's work is due, and for how long: measured now and then."""

import time
from collections.abc import Callable, Sequence
from functools import partial

from domain import instants
from projections.outbox import OUTBOX
from workers.metrics import Metrics
from workers.notifier.queue import Queue

#: Seconds between looks at a partition, and what is counted of each kind at most.
EVERY = 10.0
MOST = 1_000


class Depths:
    def __init__(
        self, queue: Queue, metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock` gives seconds."""
        self._queue = queue
        self._clock = clock
        self._looked: dict[str, float] = {}
        # By the name of the outbox and the partition: how many are due, and since when the first.
        self._due: dict[tuple[str, str], tuple[int, str]] = {}
        for outbox in OUTBOX:
            metrics.outbox_tasks.labels(outbox.name).set_function(partial(self._tasks, outbox.name))
            metrics.outbox_age.labels(outbox.name).set_function(partial(self._age, outbox.name))

    def share(self, partitions: Sequence[str]) -> None:
        """Only these are counted from now on."""
        self._looked.clear()
        self._due = {key: due for key, due in self._due.items() if key[1] in partitions}

    async def carry_out(self, partition: str) -> None:
        """Look, if it is time.

        Raises:
            StoreError: it can't be told.
        """
        if self._clock() - self._looked.get(partition, -EVERY) < EVERY:
            return
        self._looked[partition] = self._clock()
        for outbox in OUTBOX:
            found = await self._queue.due(outbox, partition, MOST)
            self._due.pop((outbox.name, partition), None)
            if found:
                self._due[outbox.name, partition] = len(found), found[0].due

    def _tasks(self, outbox: str) -> float:
        return sum(count for (name, _), (count, _) in self._due.items() if name == outbox)

    def _age(self, outbox: str) -> float:
        since = [due for (name, _), (_, due) in self._due.items() if name == outbox]
        if not since:
            return 0.0
        now = instants.to_millis(self._queue.clock())
        return max(0, now - instants.to_millis(min(since))) / 1000
