"""What the projectors of other processes have written, for those who wait for it here."""

import asyncio
import time
from collections.abc import Callable, Mapping

import structlog

from projections.dead_letters import DEAD_LETTERS
from projections.progress import Progress
from projections.store.port import ReadStore, Scan, StoreError
from workers.log.port import EventLog, LogError

log = structlog.get_logger()

#: Seconds between looks at the store while somebody waits, and while nobody does.
WAITED_FOR = 0.01
IDLE = 1.0


class StoreWatch:
    """Looks at the store often while somebody waits, and now and then otherwise."""

    def __init__(
        self,
        event_log: EventLog,
        store: ReadStore,
        progress: Progress,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = event_log
        self._store = store
        self._progress = progress
        self._clock = clock
        self._checkpoints: dict[str, int] = {}
        self._waiting: list[tuple[Mapping[str, int], asyncio.Future[None]]] = []
        self._behind: dict[str, int] = {}
        self._moved: dict[str, float] = {}
        # All that the log held at the first instant is shown. Whether that is so of the second
        # one tells whether the read models have come to the ends that the log had then.
        self._shown = self._asked = clock()
        self._goal: Mapping[str, int] = {}
        self._looked = clock()
        self._mute = "log"

    @property
    def behind(self) -> int:
        """How many positions of the log the read models had not come to, when last looked at."""
        return sum(self._behind.values())

    @property
    def lag(self) -> float:
        """Seconds since an instant of which all that the log held then is shown, while it holds
        more."""
        return self._clock() - self._shown if self._behind else 0.0

    @property
    def stuck(self) -> dict[str, float]:
        """Seconds for which nothing was projected of a partition that has something to project."""
        now = self._clock()
        return {partition: now - self._moved[partition] for partition in self._behind}

    @property
    def silent(self) -> tuple[str, float]:
        """What does not answer, and the seconds since all did."""
        return self._mute, self._clock() - self._looked

    async def reach(self, positions: Mapping[str, int]) -> None:
        """Wait until the read models hold the log up to these positions, by partition."""
        if self._has(positions):
            return
        future = asyncio.get_running_loop().create_future()
        waiting = (positions, future)
        self._waiting.append(waiting)
        self._progress.asked.set()
        try:
            await future
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    async def run(self) -> None:
        """Watch until cancelled."""
        looked = 0.0
        while True:
            try:
                await self._progress.refresh()
                if self._waiting:
                    await self._look()
                if self._clock() - looked >= IDLE:
                    looked = self._clock()
                    await self.look_around()
            except (StoreError, LogError) as error:
                self._mute = "log" if isinstance(error, LogError) else "read store"
                log.warning("store_not_watched", error=str(error))
                await asyncio.sleep(IDLE)
            if self._waiting or self._progress.awaited:
                await asyncio.sleep(WAITED_FOR)
            else:
                self._progress.asked.clear()
                try:
                    async with asyncio.timeout(IDLE):
                        await self._progress.asked.wait()
                except TimeoutError:
                    pass

    async def _look(self) -> None:
        before, self._checkpoints = self._checkpoints, await self._store.checkpoints()
        now = self._clock()
        moved = self._checkpoints.items() - before.items()
        self._moved.update((partition, now) for partition, _ in moved)
        for positions, future in self._waiting:
            if self._has(positions) and not future.done():
                future.set_result(None)

    async def look_around(self) -> None:
        """Find out how far the read models are.

        Raises:
            StoreError, LogError: one of them does not answer.
        """
        now = self._clock()
        ends = await self._log.ends()
        await self._look()
        to_go = {p: end - self._checkpoints.get(p, 0) for p, end in ends.items()}
        for partition, count in to_go.items():
            if count <= 0 or partition not in self._behind:
                self._moved[partition] = now
        self._behind = {partition: count for partition, count in to_go.items() if count > 0}
        if self._has(self._goal):
            self._shown, self._asked, self._goal = self._asked, now, ends
        if not self._behind:
            self._shown = now
        [letters] = await self._store.scan(DEAD_LETTERS, [Scan()])
        self._progress.stale = frozenset(one.stream for one in letters if one.error is not None)
        self._looked = self._clock()

    def _has(self, positions: Mapping[str, int]) -> bool:
        return all(self._checkpoints.get(p, 0) >= n for p, n in positions.items())
