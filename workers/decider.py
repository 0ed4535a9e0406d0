"""The single writer: takes commands in groups, decides, commits, replies."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import structlog

from domain import decider
from domain.commands import Command, Outcome
from domain.decider import Record, Verdict
from domain.instants import from_millis
from domain.refusals import TOO_LATE, Refusal
from domain.state import Part
from workers.log.port import Conflict, Group, Ledger, LogError, PartRef

log = structlog.get_logger()

#: Commands waiting for their turn; more are turned away.
MAX_WAITING = 10_000
MAX_GROUP = 512
#: After a group of so many commands the next one is given so many seconds to gather: those who were
#: just answered are about to ask again, and a commit costs much of what it costs whatever its size.
BUSY = 4
GATHER = 0.001
CACHED_PARTS = 50_000
CACHED_RECEIPTS = 10_000
TOO_LATE_MILLIS = 60_000
#: Whose commands may come late: an import has the times of its lines, a schedule its own.
UNHURRIED = ("operator", "system")

K = TypeVar("K")
V = TypeVar("V")

Reply = Callable[[Verdict | None], None]


class Overloaded(Exception):
    """Too many commands are waiting."""


class _Waiting(NamedTuple):
    command: Command
    reply: Reply


class Decider:
    """Group commit: what arrives while a commit is under way joins the next group.

    Within a group each command is decided on the state that those before it leave. That state
    becomes the decider's own once the commit is acknowledged and is dropped otherwise; no reply
    leaves before.
    """

    def __init__(self, ledger: Ledger, clock: Callable[[], int]) -> None:
        """`clock` gives milliseconds since 1970."""
        self._ledger = ledger
        self._clock = clock
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._deciding = asyncio.Lock()
        self._parts: OrderedDict[PartRef, Part] = OrderedDict()
        self._receipts: OrderedDict[str, Outcome] = OrderedDict()

    def submit(self, command: Command, reply: Reply) -> None:
        """Queue a command. `reply` is called with its verdict once that is durable, in the order
        of the commits, or with None when the log could not take it.

        Raises:
            Overloaded: the queue is full.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise Overloaded
        self._waiting.append(_Waiting(command, reply))
        self._arrived.set()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def run(self) -> None:
        """Decide until cancelled. What was submitted is committed and answered before that."""
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                while self._waiting:
                    if await asyncio.shield(self._next_group()) >= BUSY:
                        await asyncio.sleep(GATHER)
        finally:
            await self.drain()

    async def drain(self) -> None:
        """Return once all that was submitted is committed and answered."""
        while await self._next_group():
            pass

    async def _next_group(self) -> int:
        """Decide what waits, up to the size of a group; how many commands that were."""
        # One group at a time: each is decided on the state that the one before it leaves.
        async with self._deciding:
            count = min(len(self._waiting), MAX_GROUP)
            await self._decide([self._waiting.popleft() for _ in range(count)])
            return count

    async def _decide(self, group: Sequence[_Waiting]) -> None:
        try:
            verdicts = await self._commit([waiting.command for waiting in group])
        except LogError as error:
            # Whether anything is in doubt or not, the log knows best: read it again.
            self._parts.clear()
            if isinstance(error, Conflict) and len(group) > 1:
                # Rejected twice, and not for receipts: what one stream has wrong in the log must
                # not stop the others.
                for waiting in group:
                    await self._decide([waiting])
                return
            log.error("commit_failed", commands=len(group), error=str(error))
            for waiting in group:
                waiting.reply(None)
            return
        for waiting, verdict in zip(group, verdicts, strict=True):
            waiting.reply(verdict)

    async def _commit(self, commands: Sequence[Command]) -> list[Verdict]:
        try:
            return await self._attempt(commands, ())
        except Conflict:
            # A command of the group was decided before. Only now is it worth asking for receipts:
            # asking each time would cost every group a read.
            self._parts.clear()
            return await self._attempt(commands, [command.id for command in commands])

    async def _attempt(
        self, commands: Sequence[Command], asked_before: Sequence[str]
    ) -> list[Verdict]:
        missing = {
            (command.stream, part)
            for command in commands
            for part in decider.needs(command)
            if (command.stream, part) not in self._parts
        }
        parts, receipts = await self._ledger.recall(sorted(missing), asked_before)
        for command in commands:
            if command.id in self._receipts:
                receipts[command.id] = self._receipts[command.id]
        late = from_millis(self._clock() - TOO_LATE_MILLIS)
        working = _Working(self._parts, parts)
        verdicts = [working.decide(command, receipts, late) for command in commands]
        if working.records or working.kept:
            await self._ledger.commit(working.group())
        _remember(self._parts, parts, CACHED_PARTS)
        _remember(self._parts, working.changes, CACHED_PARTS)
        _remember(self._receipts, {kept.command: kept for kept in working.kept}, CACHED_RECEIPTS)
        return verdicts


def _remember(cache: OrderedDict[K, V], entries: Mapping[K, V], capacity: int) -> None:
    for key, value in entries.items():
        cache[key] = value
        cache.move_to_end(key)
    while len(cache) > capacity:
        cache.popitem(last=False)


class _Working:
    """The working copy of one group."""

    def __init__(self, known: OrderedDict[PartRef, Part], recalled: dict[PartRef, Part]) -> None:
        self._known = known
        self._recalled = recalled
        self.changes: dict[PartRef, Part] = {}
        self.records: list[Record] = []
        self.kept: list[Outcome] = []

    def decide(self, command: Command, receipts: dict[str, Outcome], late: str) -> Verdict:
        state: dict[str, Part] = {}
        for part in decider.needs(command):
            found = self._find((command.stream, part))
            if found is not None:
                state[part] = found
        receipt = receipts.get(command.id)
        if receipt is None and command.rights not in UNHURRIED and command.time < late:
            return _refuse(command, TOO_LATE)
        verdict = decider.handle(state, receipt, command)
        self.records += verdict.records
        for part, changed in verdict.changes.items():
            self.changes[command.stream, part] = changed
        if verdict.kept:
            receipts[command.id] = verdict.outcome
            self.kept.append(verdict.outcome)
        return verdict

    def group(self) -> Group:
        without_events = [outcome for outcome in self.kept if outcome.status != "accepted"]
        return Group(self.records, self.kept, without_events, self.changes)

    def _find(self, ref: PartRef) -> Part | None:
        part = self.changes.get(ref) or self._known.get(ref)
        return part if part is not None else self._recalled.get(ref)


def _refuse(command: Command, refusal: Refusal) -> Verdict:
    return decider.refuse(None, command, refusal, kept=False)
