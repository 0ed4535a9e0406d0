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
        self._behind = 0
        self._caught_up = clock()
        self._moved = clock()

    @property
    def behind(self) -> int:
        """How many positions of the log the read models had not come to, when last looked at."""
        return self._behind

    @property
    def lag(self) -> float:
        """Seconds since the read models were last seen to hold the whole log."""
        return self._clock() - self._caught_up if self._behind else 0.0

    @property
    def stuck(self) -> float:
        """Seconds in which nothing has moved although there is something to do."""
        return self._clock() - self._moved if self._behind else 0.0

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
                    await self._look_around()
            except (StoreError, LogError) as error:
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
        if self._checkpoints != before:
            self._moved = self._clock()
        for positions, future in self._waiting:
            if self._has(positions) and not future.done():
                future.set_result(None)

    async def _look_around(self) -> None:
        ends = await self._log.ends()
        await self._look()
        self._behind = sum(
            max(0, end - self._checkpoints.get(partition, 0)) for partition, end in ends.items()
        )
        if not self._behind:
            self._caught_up = self._moved = self._clock()
        [letters] = await self._store.scan(DEAD_LETTERS, [Scan()])
        self._progress.stale = frozenset(one.stream for one in letters if one.error is not None)

    def _has(self, positions: Mapping[str, int]) -> bool:
        return all(self._checkpoints.get(p, 0) >= n for p, n in positions.items())
