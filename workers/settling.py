"""Waiting until the read models hold all that the log holds now."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from projections.progress import Behind
from workers.log.port import EventLog, LogError


class Settling:
    """Those who ask while one round waits share the next, which asks the log after all of them."""

    def __init__(
        self, event_log: EventLog, reach: Callable[[Mapping[str, int]], Awaitable[None]]
    ) -> None:
        """`reach` returns once the read models hold the log up to these positions."""
        self._log = event_log
        self._reach = reach
        self._one_round = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        """Raises Behind: the log does not say where it ends."""
        if self._next is None:
            self._next = asyncio.create_task(self._round())
        await asyncio.shield(self._next)

    async def _round(self) -> None:
        async with self._one_round:
            self._next = None
            try:
                ends = await self._log.acknowledged()
            except LogError as error:
                raise Behind from error
            await self._reach(ends)
