"""Marks by WebSocket: the newest wins, and a chat's members write at most so often."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Literal

import structlog

from gateway.commander import Done
from gateway.problems import Problem
from projections.store.port import StoreError

log = structlog.get_logger()

MarkKind = Literal["delivered", "read"]
#: (user, chat, kind)
Place = tuple[str, str, MarkKind]

#: Members that share one mark a second in a chat.
MEMBERS_A_SECOND = 50

Write = Callable[[str, str, MarkKind, int], Awaitable[Done]]
Settled = Callable[[int, Done | Problem], None]


class _Pending:
    def __init__(self) -> None:
        self.up_to = 0
        self.waiting: list[tuple[int, Settled]] = []
        self.task: asyncio.Task[None] | None = None
        self.flush = asyncio.Event()


class MarkWriter:
    """Writes each user's mark in a chat at once, and then at most once in max(1, members / 50)
    seconds; every mark is settled when it, or a higher one, is written."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._pending: dict[Place, _Pending] = {}

    def mark(self, place: Place, up_to: int, members_count: int, settled: Settled) -> None:
        """Take a mark. `settled` is called once with the mark written, or with why it was not."""
        pending = self._pending.get(place)
        if pending is None:
            pending = self._pending[place] = _Pending()
        pending.up_to = max(pending.up_to, up_to)
        pending.waiting.append((up_to, settled))
        if pending.task is None:
            pause = max(1.0, members_count / MEMBERS_A_SECOND)
            pending.task = asyncio.create_task(self._run(place, pending, pause))

    def flush(self, user: str) -> None:
        """Write what is pending for a user now: they have disconnected."""
        for place, pending in self._pending.items():
            if place[0] == user:
                pending.flush.set()

    async def close(self) -> None:
        """Write everything that is pending."""
        tasks = [pending.task for pending in self._pending.values() if pending.task is not None]
        for pending in self._pending.values():
            pending.flush.set()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, place: Place, pending: _Pending, pause: float) -> None:
        try:
            while pending.waiting:
                up_to, waiting = pending.up_to, pending.waiting
                pending.waiting = []
                result: Done | Problem
                try:
                    result = await self._write(*place, up_to)
                except Problem as problem:
                    result = problem
                except StoreError:
                    result = Problem("projection_behind", "Try again shortly.")
                except Exception as error:
                    log.error("mark_failed", error=type(error).__name__)
                    result = Problem("internal_error", "Something went wrong here.")
                for wanted, settled in waiting:
                    settled(wanted, result)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await pending.flush.wait()
                pending.flush.clear()
        finally:
            self._pending.pop(place, None)
