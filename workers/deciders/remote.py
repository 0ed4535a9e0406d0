"""A gateway's way to deciders in other processes: commands through the log, replies by realtime.

A reply may be lost. A command without one after a second is looked for in the read models, and sent
once more, which receipts make harmless; after ten seconds its outcome is unknown to its asker.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextvars import Context
from uuid import uuid4

import msgspec
import structlog

from domain.commands import Command, Outcome
from domain.decider import Verdict
from projections.feed import FEED, FeedItem
from projections.outcomes import OUTCOMES
from projections.realtime.port import Realtime
from projections.store.port import ReadStore, Scan, StoreError
from workers.deciders.observer import Observer
from workers.deciders.partitions import PartitionDecider
from workers.deciders.port import Overloaded, Reply
from workers.deciders.replies import decode_reply
from workers.log.port import CommandLog, LogError, ReplyTo

log = structlog.get_logger()

#: Commands without a reply; more are turned away.
MAX_WAITING = 10_000
#: Seconds without a reply after which it is looked for, and after which it is given up.
LOOK_AFTER = 1.0
GIVE_UP_AFTER = 10.0
#: Seconds between looks at what waits.
PATROL = 0.1
#: Commands looked for at once.
LOOKED_FOR = 500
#: Events of one command that are read to find its first and last.
EVENTS = 2_000


class _Waiting:
    __slots__ = ("command", "looked", "reply", "since")

    def __init__(self, command: Command, reply: Reply, since: float) -> None:
        self.command = command
        self.reply = reply
        self.since = since
        self.looked = 0.0


class RemoteDeciders:
    def __init__(
        self,
        commands: CommandLog,
        realtime: Realtime,
        store: ReadStore,
        clock: Callable[[], int],
        observer: Observer | None = None,
    ) -> None:
        """`clock` gives milliseconds since 1970."""
        self._commands = commands
        self._realtime = realtime
        self._store = store
        self._decider = PartitionDecider(realtime, clock, observer)
        self._mailbox = f"gateway-{uuid4().hex}"
        # In the order in which they were asked.
        self._waiting: dict[int, _Waiting] = {}
        self._numbers = 0
        self._putting: set[asyncio.Task[None]] = set()
        self._answered = asyncio.Event()
        self._doubt = False

    def submit(self, command: Command, reply: Reply) -> None:
        if len(self._waiting) >= MAX_WAITING:
            raise Overloaded
        self._numbers += 1
        self._waiting[self._numbers] = _Waiting(command, reply, time.monotonic())
        self._put(self._numbers, command)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def oldest(self) -> float:
        first = next(iter(self._waiting.values()), None)
        return time.monotonic() - first.since if first is not None else 0.0

    async def carry(self) -> None:
        """Take replies, and see to the commands that get none."""
        await self._realtime.receive(self._mailbox, self._take, self._interrupted)
        while True:
            await asyncio.sleep(PATROL)
            now = time.monotonic()
            look_after = 0.0 if self._doubt else LOOK_AFTER
            self._doubt = False
            silent: dict[int, _Waiting] = {}
            for number, waiting in list(self._waiting.items()):
                if now - waiting.since < look_after or len(silent) == LOOKED_FOR:
                    break
                if now - waiting.since >= GIVE_UP_AFTER:
                    self._answer(number, _unknown(waiting.command))
                elif now - waiting.looked >= LOOK_AFTER:
                    silent[number] = waiting
            if silent:
                await self._look_for(silent, now)

    async def decide(self) -> None:
        await self._commands.hold(self._decider.work)

    async def drain(self) -> None:
        while self._waiting:
            self._answered.clear()
            await self._answered.wait()

    async def close(self) -> None:
        await self._commands.close()

    def _put(self, number: int, command: Command) -> None:
        # Not in the asker's context: the first one starts what lives on, under the asker's name.
        task = asyncio.create_task(self._append(number, command), context=Context())
        self._putting.add(task)
        task.add_done_callback(self._putting.discard)

    async def _append(self, number: int, command: Command) -> None:
        try:
            await self._commands.put(command, ReplyTo(self._mailbox, number))
        except LogError as error:
            # It may have been appended all the same: the reply or the patrol tells.
            log.warning("command_not_acknowledged", command=command.id, error=str(error))

    def _take(self, messages: Sequence[bytes]) -> None:
        for message in messages:
            try:
                number, verdict = decode_reply(message)
            except msgspec.DecodeError:
                log.error("reply_unreadable")
            else:
                self._answer(number, verdict)

    def _interrupted(self) -> None:
        # Replies may have been lost: there is no sense in waiting for them.
        self._doubt = True

    def _answer(self, number: int, verdict: Verdict) -> None:
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            waiting.reply(verdict)
            self._answered.set()

    async def _look_for(self, silent: dict[int, _Waiting], now: float) -> None:
        first_time = [n for n, waiting in silent.items() if not waiting.looked]
        for waiting in silent.values():
            waiting.looked = now
        try:
            found = await self._outcomes([waiting.command for waiting in silent.values()])
        except StoreError as error:
            log.warning("outcomes_not_read", error=str(error))
            found = {}
        for number, waiting in silent.items():
            outcome = found.get(waiting.command.id)
            if outcome is not None and outcome.digest == waiting.command.digest:
                self._answer(number, Verdict(outcome, kept=False))
        for number in first_time:
            if number in self._waiting:
                self._put(number, self._waiting[number].command)

    async def _outcomes(self, commands: list[Command]) -> dict[str, Outcome]:
        ids = [command.id for command in commands]
        documents = await self._store.get(OUTCOMES, [(id,) for id in ids])
        found = {document.command: document.outcome for document in documents.values()}
        scans = [Scan(equal=(id,), along="by_command", limit=EVENTS) for id in ids]
        for items in await self._store.scan(FEED, scans):
            if items:
                outcome = _accepted(items)
                found[outcome.command] = outcome
        return found


def _accepted(items: list[FeedItem]) -> Outcome:
    first, last = items[0], items[-1]
    ordinals = [
        msgspec.json.decode(item.data).get("ordinal")
        for item in items
        if item.type == "message.sent"
    ]
    return Outcome(
        command=first.command,
        digest=first.digest,
        stream=first.stream,
        status="accepted",
        time=last.time,
        seq=last.at,
        first=first.at,
        ordinal=ordinals[0] if ordinals else None,
    )


def _unknown(command: Command) -> Verdict:
    outcome = Outcome(
        command=command.id,
        digest=command.digest,
        stream=command.stream,
        status="refused",
        time=command.time,
        seq=0,
        code="outcome_unknown",
        detail="What became of this is not known yet; send it again with the same key.",
    )
    return Verdict(outcome, kept=False)
