"""The decider of a log with one writer: commands wait in memory, in this process."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from domain.commands import Command
from workers.deciders.group import MAX_GROUP, GroupDecider
from workers.deciders.observer import Observer
from workers.deciders.port import Overloaded, Reply
from workers.log.port import Ledger, LogError
from workers.metrics import Metrics

log = structlog.get_logger()

#: Commands waiting for their turn; more are turned away.
MAX_WAITING = 10_000
#: After a group of so many commands the next one is given so many seconds to gather: those who were
#: just answered are about to ask again, and a commit costs much of what it costs whatever its size.
BUSY = 4
GATHER = 0.001


class _Waiting(NamedTuple):
    command: Command
    reply: Reply
    since: float


class LocalDecider:
    """Group commit: what arrives while a commit is under way joins the next group.

    No reply leaves before its group is durable.
    """

    def __init__(
        self, ledger: Ledger, clock: Callable[[], int], observer: Observer | None = None
    ) -> None:
        """`clock` gives milliseconds since 1970."""
        self._observer = observer or Observer(Metrics(), clock)
        self._group = GroupDecider(ledger, clock, self._observer)
        self._under_way: Sequence[_Waiting] = ()
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._deciding = asyncio.Lock()

    def submit(self, command: Command, reply: Reply) -> None:
        if len(self._waiting) >= MAX_WAITING:
            raise Overloaded
        self._waiting.append(_Waiting(command, reply, time.monotonic()))
        self._arrived.set()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def oldest(self) -> float:
        first = next(iter(self._under_way or self._waiting), None)
        return time.monotonic() - first.since if first is not None else 0.0

    async def carry(self) -> None:
        """Nothing has to be carried."""

    async def decide(self) -> None:
        try:
            with self._observer.holding():
                await self._decide_all()
        finally:
            await self.drain()

    async def _decide_all(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                if await asyncio.shield(self._next_group()) >= BUSY:
                    await asyncio.sleep(GATHER)

    async def drain(self) -> None:
        while await self._next_group():
            pass

    async def close(self) -> None:
        """The ledger is its owner's to close."""

    async def _next_group(self) -> int:
        """Decide what waits, up to the size of a group; how many commands that were."""
        # One group at a time: each is decided on the state that the one before it leaves.
        async with self._deciding:
            count = min(len(self._waiting), MAX_GROUP)
            self._under_way = [self._waiting.popleft() for _ in range(count)]
            try:
                await self._decide(self._under_way)
            finally:
                self._under_way = ()
            return count

    async def _decide(self, waiting: Sequence[_Waiting]) -> None:
        if not waiting:
            return
        try:
            verdicts = await self._group.decide([one.command for one in waiting])
        except LogError as error:
            log.error("commit_failed", commands=len(waiting), error=str(error))
            for one in waiting:
                one.reply(None)
            return
        for one, verdict in zip(waiting, verdicts, strict=True):
            one.reply(verdict)
