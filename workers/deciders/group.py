"""One group of commands: decide each on what those before it leave, commit all at once."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import structlog

from domain import decider
from domain.commands import Command, Outcome
from domain.decider import Record, Verdict
from domain.instants import from_millis
from domain.refusals import INTERNAL_ERROR, TOO_LATE
from domain.state import Part
from workers.deciders.observer import UNHURRIED, Observer
from workers.log.port import Conflict, Group, Ledger, LogError, PartRef
from workers.metrics import Metrics

log = structlog.get_logger()

MAX_GROUP = 512
CACHED_PARTS = 50_000
CACHED_RECEIPTS = 10_000
TOO_LATE_MILLIS = 60_000

K = TypeVar("K")
V = TypeVar("V")


class GroupDecider:
    """Decides groups of commands on a ledger that nobody else writes.

    Within a group each command is decided on the state that those before it leave. That state
    becomes the decider's own once the commit is acknowledged and is dropped otherwise. One group
    at a time.
    """

    def __init__(
        self, ledger: Ledger, clock: Callable[[], int], observer: Observer | None = None
    ) -> None:
        """`clock` gives milliseconds since 1970."""
        self._observer = observer or Observer(Metrics(), clock)
        self._ledger = ledger
        self._clock = clock
        self._parts: OrderedDict[PartRef, Part] = OrderedDict()
        self._receipts: OrderedDict[str, Outcome] = OrderedDict()

    async def decide(
        self, commands: Sequence[Command], places: Sequence[int] | None = None
    ) -> list[Verdict]:
        """The verdicts, durable on return. `places` are those of the commands in their queue.

        Raises:
            LogError: nothing of it is known to be durable.
        """
        with self._observer.group(commands) as observed:
            observed.verdicts = await self._decide(observed.commands, places or [0] * len(commands))
        return list(observed.verdicts)

    async def _decide(self, commands: Sequence[Command], places: Sequence[int]) -> list[Verdict]:
        try:
            return await self._commit(commands, places)
        except Conflict as error:
            # Rejected twice, and not for receipts: what one command or stream has wrong must not
            # stop the others.
            self._parts.clear()
            if len(commands) > 1:
                return [
                    verdict
                    for command, place in zip(commands, places, strict=True)
                    for verdict in await self._decide([command], [place])
                ]
            log.error("command_rejected", stream=commands[0].stream, error=str(error))
            verdict = decider.refuse(None, commands[0], INTERNAL_ERROR)
            kept = [verdict.outcome] if verdict.kept else []
            await self._append(Group((), kept, kept, {}, places[0]))
            return [verdict]
        except LogError:
            # Whether anything is in doubt or not, the log knows best: read it again.
            self._parts.clear()
            raise

    async def _commit(self, commands: Sequence[Command], places: Sequence[int]) -> list[Verdict]:
        try:
            return await self._attempt(commands, places, ())
        except Conflict:
            # A command of the group was decided before. Only now is it worth asking for receipts:
            # asking each time would cost every group a read.
            self._parts.clear()
            return await self._attempt(commands, places, [command.id for command in commands])

    async def _attempt(
        self, commands: Sequence[Command], places: Sequence[int], asked_before: Sequence[str]
    ) -> list[Verdict]:
        late = from_millis(self._clock() - TOO_LATE_MILLIS)
        missing = {
            (command.stream, part)
            for command in commands
            for part in decider.needs(command)
            if (command.stream, part) not in self._parts
        }
        # A command that comes too late may have been decided in time before.
        asked = asked_before or [command.id for command in commands if _is_late(command, late)]
        parts, receipts = await self._ledger.recall(sorted(missing), asked)
        for command in commands:
            if command.id in self._receipts:
                receipts[command.id] = self._receipts[command.id]
        working = _Working(self._parts, parts)
        verdicts = [working.decide(command, receipts, late) for command in commands]
        if working.records or working.kept:
            await self._append(working.group(places[-1]))
        _remember(self._parts, parts, CACHED_PARTS)
        _remember(self._parts, working.changes, CACHED_PARTS)
        _remember(self._receipts, {kept.command: kept for kept in working.kept}, CACHED_RECEIPTS)
        return verdicts

    async def _append(self, group: Group) -> None:
        began = time.perf_counter()
        await self._ledger.commit(group)
        self._observer.committed(time.perf_counter() - began)


def _is_late(command: Command, late: str) -> bool:
    return command.rights not in UNHURRIED and command.time < late


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
        if receipt is None and _is_late(command, late):
            return decider.refuse(None, command, TOO_LATE, kept=False)
        verdict = decider.handle(state, receipt, command)
        self.records += verdict.records
        for part, changed in verdict.changes.items():
            self.changes[command.stream, part] = changed
        if verdict.kept:
            receipts[command.id] = verdict.outcome
            self.kept.append(verdict.outcome)
        return verdict

    def group(self, upto: int) -> Group:
        without_events = [outcome for outcome in self.kept if outcome.status != "accepted"]
        return Group(self.records, self.kept, without_events, self.changes, upto)

    def _find(self, ref: PartRef) -> Part | None:
        part = self.changes.get(ref) or self._known.get(ref)
        return part if part is not None else self._recalled.get(ref)
