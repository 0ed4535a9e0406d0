"""The way of an import's lines to the decider: many at once, each stream's in the files' order.

A line that builds on another (a reply, a reaction, the joining of a user) waits until that one is
durable, and with it the later lines of its stream. Other streams go on meanwhile, and lines are
read far ahead, so that there are mostly some that can go.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from domain.decider import Verdict
from domain.envelope import Basis
from gateway.commander import refused
from gateway.problems import Problem
from workers.core import Core
from workers.tools import import_commands as commands
from workers.tools.import_known import Known
from workers.tools.import_lines import Raw, type_of
from workers.tools.import_plan import Planner, Policy, Rejections, Step

#: Lines that were read and are not durable yet.
READ_AHEAD = 8192
#: Commands on their way; the decider's own queue is longer.
IN_FLIGHT = 1024
#: Commands made before the decider and the projector have their turn.
SLICE = 32
#: Events that the read models may be behind. The log still has these in memory.
LAG = 4000


class LogUnavailable(Exception):
    """The log takes no more commands. What it acknowledged is durable."""


class Tally:
    """Lines by what became of them; `right` has those that hold, by file and type."""

    def __init__(self) -> None:
        self.written = 0
        self.repeated = 0
        self.unchanged = 0
        self.right: dict[Path, Counter[str]] = {}

    def add(self, raw: Raw, kind: str, verdict: Verdict) -> None:
        if verdict.replayed:
            self.repeated += 1
        elif verdict.outcome.status == "unchanged":
            self.unchanged += 1
        else:
            self.written += 1
        self.right.setdefault(raw.file, Counter())[kind] += 1

    @property
    def total(self) -> int:
        return self.written + self.repeated + self.unchanged


class Run:
    """One import. When it has ended early, what comes before its end in the files is still carried
    out, and of what comes after nothing more is handed on."""

    def __init__(self, core: Core, policy: Policy, rejections: Rejections) -> None:
        self.known = Known(core.store)
        self.tally = Tally()
        self._core = core
        self._rejections = rejections
        self._planner = Planner(self.known, core.vault, policy, rejections)
        self._queues: dict[str, deque[Step]] = {}
        # Each queue is in exactly one place: here, or among those that wait for one fact.
        self._ready: deque[str] = deque()
        self._open = 0
        self._in_flight = 0
        self._started = 0
        self._answers: deque[tuple[Step, Verdict | None]] = deque()
        self._answered = asyncio.Event()

    async def take(self, chunk: Sequence[Raw]) -> None:
        """Take the next lines, and hand on what can go.

        Raises:
            LogUnavailable: the import can't go on.
        """
        for step in await self._planner.plan(chunk):
            if step.doubtful and not self._rejections.keep_going:
                # If it is turned down, nothing that comes after it may be under way.
                await self._hand_on(0)
                self._put(step)
                await self._hand_on(0)
                if self._rejections.ended:
                    return
            else:
                self._put(step)
        await self._hand_on(READ_AHEAD)
        log = self._core.event_log
        await self._core.reach({p: log.end(p) - LAG for p in log.partitions})

    async def finish(self) -> None:
        """Wait until every line taken is durable or turned down.

        Raises:
            LogUnavailable: the import can't go on.
        """
        await self._hand_on(0)

    def _put(self, step: Step) -> None:
        queue = self._queues.get(step.stream)
        if queue is None:
            queue = self._queues[step.stream] = deque()
            self._ready.append(step.stream)
        queue.append(step)
        self._open += 1

    async def _hand_on(self, left: int) -> None:
        """Hand on what can go, until no more than `left` lines are open."""
        while True:
            self._answered.clear()
            self._take_answers()
            while self._ready and self._in_flight < IN_FLIGHT:
                await self._advance(self._ready.popleft())
            if self._open <= left:
                return
            if not self._answers:
                await self._answered.wait()

    async def _advance(self, stream: str) -> None:
        queue = self._queues[stream]
        while queue and self._in_flight < IN_FLIGHT:
            step = queue[0]
            if self._rejections.before(step.of.raw):
                self._settle(queue.popleft(), None)
                continue
            awaited = next((fact for _, fact in step.needs if fact.open), None)
            if awaited is not None:
                awaited.waiting = (*awaited.waiting, stream)
                return
            queue.popleft()
            try:
                await self._start(step)
            except Problem as problem:
                self._rejections.add(step.of.raw, problem)
                self._settle(step, None)
        if queue:
            self._ready.append(stream)
        else:
            del self._queues[stream]

    async def _start(self, step: Step) -> None:
        seen: dict[str, int] = {}
        for stream, fact in step.needs:
            if fact.seq is None:
                raise Problem("invalid_request", "It builds on a line that was turned down.")
            if stream != step.stream:
                seen[stream] = max(fact.seq, seen.get(stream, 0))
        line = step.of.line
        message = None if step.message is None else step.message.seq
        command = await self._core.commander.command(
            commands.actor(line),
            step.stream,
            step.of.command,
            commands.action(line, step.chat, message),
            basis=[Basis(stream, seq) for stream, seq in seen.items()],
            rights="operator",
            time=step.of.time,
            key=self._planner.message_key(line),
        )
        self._core.commander.start(command, partial(self._answer, step))
        self._in_flight += 1
        self._started += 1
        if self._started % SLICE == 0:
            await asyncio.sleep(0)

    def _answer(self, step: Step, verdict: Verdict | None) -> None:
        self._answers.append((step, verdict))
        self._answered.set()

    def _take_answers(self) -> None:
        while self._answers:
            step, verdict = self._answers.popleft()
            self._in_flight -= 1
            if verdict is None:
                raise LogUnavailable
            if verdict.outcome.status == "refused":
                self._rejections.add(step.of.raw, refused(verdict.outcome))
                self._settle(step, None)
            else:
                self.tally.add(step.of.raw, type_of(step.of.line), verdict)
                self._settle(step, verdict.outcome.seq)

    def _settle(self, step: Step, seq: int | None) -> None:
        """Note what has become of a line; without a seq it was turned down."""
        self._open -= 1
        fact = step.fact
        fact.seq, fact.refused = seq, seq is None
        self._ready.extend(fact.waiting)
        fact.waiting = ()
