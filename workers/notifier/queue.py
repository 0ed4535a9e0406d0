"""Tasks in the read store: found when they are due, taken by one, put off when they fail."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar
from uuid import uuid4

import msgspec

from domain import instants
from projections.outbox import Task
from projections.store.port import Batch, Collection, ReadStore, Scan

#: Seconds that who has taken a task has for it. Another takes it after that: this must be longer
#: than any of them can last.
LEASE = 120
#: Seconds until the first new attempt; twice as long each time, up to the cap.
FIRST_PAUSE = 10
LONGEST_PAUSE = 1800
#: What was attempted as often is given up.
ATTEMPTS = 8

T = TypeVar("T", bound=Task)


class Queue:
    def __init__(
        self, store: ReadStore, clock: Callable[[], str], jitter: Callable[[], float]
    ) -> None:
        """`jitter` gives numbers from 0 to 1, so that what failed at once is not tried at once."""
        self.store = store
        self.clock = clock
        self._jitter = jitter

    async def due(self, tasks: Collection[T], partition: str, limit: int) -> list[T]:
        """What is due in a partition, the oldest first."""
        # No instant lies between this one and one with something after it.
        scan = Scan((partition,), along="due", below=f"{self.clock()}~", limit=limit)
        [found] = await self.store.scan(tasks, [scan])
        return found

    async def take(self, tasks: Collection[T], found: Sequence[T], **change: object) -> list[T]:
        """Those of the tasks that nobody else has taken or changed meanwhile, as they are now."""
        token, until = uuid4().hex, instants.later(self.clock(), LEASE)
        return await self.change(
            tasks,
            found,
            lambda task: {
                "due": until,
                "token": token,
                "attempts": task.attempts + 1,
                **change,
            },
        )

    async def change(
        self, tasks: Collection[T], found: Sequence[T], change: Callable[[T], dict[str, object]]
    ) -> list[T]:
        """Change tasks that are still as they were found; those that were, as they are now."""
        if not found:
            return []
        changed = [
            msgspec.structs.replace(task, seq=task.seq + 1, **change(task)) for task in found
        ]
        await self.write({tasks: changed})
        kept = await self.store.get(tasks, map(tasks.key_of, changed))
        return [task for task in changed if kept.get(tasks.key_of(task)) == task]

    async def keep(self, tasks: Collection[T], ended: T) -> None:
        """Write what became of a task that was taken."""
        await self.write({tasks: [ended]})

    async def write(
        self,
        tasks: Mapping[Collection[Any], Sequence[Task]],
        checkpoints: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Write tasks in this order, then checkpoints."""
        await self.store.write(
            Batch([(c, found) for c, found in tasks.items() if found], checkpoints)
        )

    def done(self, task: T, **change: object) -> T:
        return msgspec.structs.replace(task, seq=task.seq + 1, waiting=False, token="", **change)

    def put_off(self, task: T, at_least: int | None = None, **change: object) -> T | None:
        """The task with a later time, at least so many seconds from now; None once it was attempted
        often enough."""
        if task.attempts >= ATTEMPTS:
            return None
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (task.attempts - 1))
        pause = max(round(pause * (1 + self._jitter()) / 2), at_least or 0, 1)
        due = instants.later(self.clock(), pause)
        return msgspec.structs.replace(task, seq=task.seq + 1, due=due, token="", **change)
