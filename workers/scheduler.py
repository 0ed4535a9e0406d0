"""Carries out what is due: sends scheduled messages, and ends the time of those that destroy
themselves.

What is due stands in the read store, and each step is a command that may be repeated: whoever
finds a schedule unclaimed claims it, whoever finds it claimed sends it and says that it fired. So
any number of schedulers may do this at once, and each may die between any two steps.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence

import structlog

from domain import commands as c
from domain import instants
from domain.envelope import Basis
from domain.ids import chat_stream, expiry_command, schedule_step, user_stream
from domain.refusals import USER_ERASED
from gateway.checks import BLOCKED
from gateway.commander import SYSTEM, Commander
from gateway.contacts import Contacts
from gateway.problems import Problem
from projections.feed import FEED
from projections.keyring.port import KeyringError
from projections.messages import MESSAGES, Message, own_key
from projections.progress import Behind, Progress, Stale
from projections.schedules import SCHEDULES, Schedule
from projections.store.port import Key, ReadStore, Scan, StoreError
from projections.vault import Vault
from projections.views.reading import Reading
from workers.log.port import LogError
from workers.metrics import Metrics

log = structlog.get_logger()

#: What is carried out at once, of schedules and of messages each: more of them would go faster, but
#: others would wait longer for their turn.
BATCH = 64
#: Seconds until the store is asked again at the latest: what was just scheduled may be due sooner
#: than anything known of.
POLL = 1.0
#: Seconds to wait for the read models between two steps.
PATIENCE = 2.0
#: Seconds after which what did not come to its end is tried again, behind everything else.
RETRY = 5

#: Refusals that say nothing of the message.
_TRANSIENT = frozenset(("unavailable", "outcome_unknown", "too_late"))


class Scheduler:
    def __init__(
        self,
        store: ReadStore,
        vault: Vault,
        commander: Commander,
        progress: Progress,
        settle: Callable[[], Awaitable[None]],
        clock: Callable[[], str],
        metrics: Metrics | None = None,
    ) -> None:
        """`settle` returns once the read models hold all that the log held when it was called.
        `clock` gives the present instant."""
        self._store = store
        self._contacts = Contacts(store)
        self._vault = vault
        self._commander = commander
        self._progress = progress
        self._settle = settle
        self._clock = clock
        self._metrics = metrics or Metrics()
        self._aside: dict[Key, str] = {}

    async def run(self) -> None:
        """Carry out what is due until cancelled."""
        settled = False
        while True:
            try:
                if not settled:
                    # Read models that are made anew show as due what was carried out long ago.
                    await self._settle()
                    settled = True
                await self.sweep()
                pause = await self._until_next()
            except (StoreError, LogError) as error:
                log.warning("scheduler_waits", error=str(error))
                pause = POLL
            await asyncio.sleep(pause)

    async def sweep(self) -> None:
        """Carry out all that is due; what can't be now is set aside for some seconds."""
        while True:
            schedules, messages = await self._due()
            if not schedules and not messages:
                return
            await self._fire(schedules)
            await self._expire(messages)

    async def _due(self) -> tuple[list[Schedule], list[Message]]:
        now = self._clock()
        self._aside = {key: until for key, until in self._aside.items() if until > now}
        # No instant lies between this one and one with something after it.
        scan = Scan((), below=f"{now}~", limit=BATCH + len(self._aside))
        [schedules] = await self._store.scan(SCHEDULES, [scan._replace(along="due")])
        [messages] = await self._store.scan(MESSAGES, [scan._replace(along="ending")])
        self._late("schedule", schedules[0].due if schedules else None)
        self._late("expiry", messages[0].expiring if messages else None)
        due = [s for s in schedules if SCHEDULES.key_of(s) not in self._aside][:BATCH]
        over = [m for m in messages if MESSAGES.key_of(m) not in self._aside][:BATCH]
        keys = [*map(SCHEDULES.key_of, due), *map(MESSAGES.key_of, over)]
        self._aside |= dict.fromkeys(keys, instants.later(now, RETRY))
        return due, over

    def _late(self, kind: str, due: str | None) -> None:
        self._metrics.scheduler_lag.labels(kind).set(self._seconds_since(due) if due else 0)

    def _seconds_since(self, due: str) -> float:
        return (instants.to_millis(self._clock()) - instants.to_millis(due)) / 1000

    async def _until_next(self) -> float:
        """Seconds until the next thing is due, or until the store is to be asked again."""
        now = self._clock()
        scan = Scan((), above=f"{now}~", limit=1)
        [schedules] = await self._store.scan(SCHEDULES, [scan._replace(along="due")])
        [messages] = await self._store.scan(MESSAGES, [scan._replace(along="ending")])
        times = [s.due for s in schedules] + [m.expiring for m in messages if m.expiring]
        if not times:
            return POLL
        return min(POLL, (instants.to_millis(min(times)) - instants.to_millis(now)) / 1000)

    async def _fire(self, schedules: Sequence[Schedule]) -> None:
        if not schedules:
            return
        claims = [self._claim(one) for one in schedules if one.status == "scheduled"]
        await self._reach(await asyncio.gather(*claims))
        # Only what was read after the claim is what will not change any more.
        keys = [SCHEDULES.key_of(one) for one in schedules]
        claimed = (await self._store.get(SCHEDULES, keys)).values()
        sendings = [self._send(one) for one in claimed if one.status == "sending"]
        await self._reach(await asyncio.gather(*sendings))
        now_known = await self._store.get(SCHEDULES, keys)
        self._done(key for key, known in now_known.items() if not known.waiting)

    async def _expire(self, messages: Sequence[Message]) -> None:
        if not messages:
            return
        await self._reach(await asyncio.gather(*map(self._end, messages)))
        known = await self._store.get(MESSAGES, map(MESSAGES.key_of, messages))
        self._done(key for key, message in known.items() if message.expiring is None)

    def _done(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._aside.pop(key, None)

    async def _claim(self, schedule: Schedule) -> c.Outcome | None:
        action = c.ClaimSchedule(schedule=schedule.schedule, due=schedule.due)
        return await self._step(schedule, "claim", action)

    async def _send(self, schedule: Schedule) -> c.Outcome | None:
        """Send the message of a claimed schedule and record what came of it."""
        try:
            action = await self._fired(schedule)
        except Problem as problem:
            log.warning("not_sent", schedule=schedule.schedule, code=problem.code)
            return None
        except (KeyringError, StoreError, LogError) as error:
            log.warning("not_sent", schedule=schedule.schedule, error=str(error))
            return None
        return await self._step(schedule, "fired", action)

    async def _fired(self, schedule: Schedule) -> c.FireSchedule:
        """Send a message; what became of it.

        Raises:
            Problem: nothing did, and it may be sent again.
        """
        try:
            done = await self._commander.execute(await self._message(schedule))
        except Problem as problem:
            if problem.code in _TRANSIENT:
                raise
            seq = await self._sent_before(schedule)
            refusal = problem.code if seq is None else None
            return c.FireSchedule(schedule=schedule.schedule, seq=seq, refusal=refusal)
        if not done.replayed:
            self._metrics.lateness.observe(self._seconds_since(schedule.due))
        return c.FireSchedule(schedule=schedule.schedule, seq=done.outcome.seq)

    async def _message(self, schedule: Schedule) -> c.Command:
        """The message, opened and sealed anew for the chat, under the same key.

        Raises:
            Problem: `user_erased` when the key is gone, `not_allowed` when one of the two of a
                direct chat has blocked the other.
        """
        pair = await self._contacts.pair(schedule.chat)
        between = await self._contacts.between(pair) if schedule.user in pair else None
        if between is not None and between.apart:
            raise Problem("not_allowed", BLOCKED)
        reading = Reading(self._store, self._vault, self._clock())
        await reading.unlock((schedule.content, schedule.metadata))
        stream = user_stream(schedule.user)
        content = reading.open(stream, "content", schedule.content)
        metadata = reading.open(stream, "metadata", schedule.metadata)
        if content.erased or metadata.erased:
            raise Problem(USER_ERASED.code, USER_ERASED.detail)
        action = c.SendMessage(
            kind=schedule.kind,
            content=content.value,
            metadata=metadata.value,
            media=schedule.media,
            reply_to=schedule.reply_to,
            mentions=schedule.mentions,
            expires_in=schedule.expires_in,
            schedule=schedule.schedule,
        )
        return await self._commander.command(
            schedule.user,
            chat_stream(schedule.chat),
            schedule_step(schedule.schedule, schedule.due, "send"),
            action,
            basis=[Basis(stream, schedule.seq), *(between.basis if between else ())],
            rights="system",
            time=reading.now,
            key=own_key(schedule.content.value) if schedule.content is not None else None,
        )

    async def _sent_before(self, schedule: Schedule) -> int | None:
        """The seq of the message, if it was sent although it can't be now: its scheduler died
        before it said so, and then the time of the message was over and its key destroyed.

        Raises:
            Problem: it can't be told, because the chat's stream has stopped.
        """
        await self._settle()
        if chat_stream(schedule.chat) in self._progress.stale:
            raise Problem("projection_stale", "The chat's stream has stopped.")
        command = schedule_step(schedule.schedule, schedule.due, "send")
        [found] = await self._store.scan(FEED, [Scan((command,), along="by_command", limit=1)])
        return found[0].at if found else None

    async def _end(self, message: Message) -> c.Outcome | None:
        command = expiry_command(message.chat, message.message)
        action = c.ExpireMessage(message=message.message, key=message.key)
        return await self._carry_out(chat_stream(message.chat), command, action)

    async def _step(
        self, schedule: Schedule, step: str, action: c.ClaimSchedule | c.FireSchedule
    ) -> c.Outcome | None:
        command = schedule_step(schedule.schedule, schedule.due, step)
        return await self._carry_out(user_stream(schedule.user), command, action)

    async def _carry_out(self, stream: str, command: str, action: c.AnyAction) -> c.Outcome | None:
        """What became of a command of the scheduler's own; None when it has to be sent again."""
        try:
            made = await self._commander.command(
                SYSTEM, stream, command, action, rights="system", time=self._clock()
            )
            return (await self._commander.execute(made)).outcome
        except Problem as problem:
            log.warning("step_not_taken", stream=stream, command=command, code=problem.code)
        except KeyringError as error:
            log.warning("step_not_taken", stream=stream, command=command, error=str(error))
        return None

    async def _reach(self, outcomes: Iterable[c.Outcome | None]) -> None:
        """Wait, not for ever, until the read models hold what these outcomes came to."""
        heads: dict[str, int] = {}
        for outcome in outcomes:
            if outcome is not None and outcome.stream not in self._progress.stale:
                heads[outcome.stream] = max(outcome.seq, heads.get(outcome.stream, 0))
        with contextlib.suppress(Behind, Stale):
            await self._progress.wait(heads, PATIENCE)
