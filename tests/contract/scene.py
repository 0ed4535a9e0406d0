"""People in a chat on a real core, and schedulers whose clock is put forward by hand."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from domain import commands as c
from domain import instants
from domain.decider import Verdict
from domain.envelope import Envelope
from domain.ids import chat_stream, group_id, schedule_id, user_stream
from gateway.commander import Commander
from projections.schedules import SCHEDULES, Schedule
from projections.store.port import Scan
from workers.core import Core, now, open_core, writing
from workers.scheduler import Scheduler
from workers.secrets_file import open_secrets
from workers.settings import read_settings

HOUR = 3600


class Died(Exception):
    """The scheduler is no more."""


class Scene:
    """A core with people and a chat, and schedulers whose clock is put forward by hand."""

    def __init__(self, core: Core, chat: str) -> None:
        self.core = core
        self.chat = chat
        self.ahead = 0
        self._keys = 0

    def clock(self) -> str:
        return instants.later(now(), self.ahead)

    async def do(self, user: str, stream: str, action: c.AnyAction) -> c.Outcome:
        self._keys += 1
        _, command = self.core.commander.identify(user, stream, str(self._keys))
        made = await self.core.commander.command(user, stream, command, action)
        return (await self.core.commander.execute(made)).outcome

    async def schedule(self, user: str = "ann", **fields: Any) -> str:
        """The id of a schedule that is due in half an hour."""
        self._keys += 1
        stream = user_stream(user)
        _, command = self.core.commander.identify(user, stream, str(self._keys))
        given = {
            "schedule": schedule_id(command),
            "chat": self.chat,
            "due": instants.later(self.clock(), HOUR // 2),
            "kind": "text",
            "content": "hello",
        }
        action = c.ScheduleMessage(**(given | fields))
        await self.core.commander.execute(
            await self.core.commander.command(user, stream, command, action)
        )
        return action.schedule

    def scheduler(
        self, decide: Callable[[c.Command, Callable[[Verdict | None], None]], None] | None = None
    ) -> Scheduler:
        core = self.core
        commander = Commander(
            core.vault, decide or core.deciders.submit, core.positions, self.clock
        )
        return Scheduler(
            core.store,
            core.vault,
            commander,
            core.progress,
            core.settle,
            self.clock,
            metrics=core.metrics,
        )

    async def sweep(self) -> None:
        await self.core.settle()
        await self.scheduler().sweep()
        await self.core.settle()

    async def dies_at(self, step: int, *, decided: bool) -> bool:
        """Whether a scheduler got as far as this command of its own before it died: just before
        the command was handed on, or when it was `decided` but not yet answered."""
        taken = 0
        handed_on: list[asyncio.Future[None]] = []

        def decide(command: c.Command, reply: Callable[[Verdict | None], None]) -> None:
            nonlocal taken
            taken += 1
            if taken == step and decided:
                last = asyncio.get_running_loop().create_future()
                handed_on.append(last)
                self.core.deciders.submit(command, lambda _: last.set_result(None))
            if taken >= step:
                raise Died
            self.core.deciders.submit(command, reply)

        await self.core.settle()
        try:
            await self.scheduler(decide).sweep()
        except Died:
            await asyncio.gather(*handed_on)
            return True
        return False

    async def schedules(self) -> dict[str, Schedule]:
        await self.core.settle()
        [found] = await self.core.store.scan(SCHEDULES, [Scan()])
        return {schedule.schedule: schedule for schedule in found}

    async def events(self, *types: str) -> list[tuple[Envelope, dict[str, Any]]]:
        batch = await self.core.event_log.read("events", 0, 1_000_000)
        return [
            (envelope, msgspec.json.decode(envelope.data))
            for envelope in batch.events
            if envelope.type in types
        ]

    async def fired_once(self, *schedules: str) -> None:
        """Each of these was claimed once, sent once and fired once, in this order."""
        sent: dict[str, list[int]] = {schedule: [] for schedule in schedules}
        claimed = dict.fromkeys(schedules, 0)
        for envelope, data in await self.events("message.sent"):
            if data.get("schedule") in sent:
                sent[data["schedule"]].append(envelope.seq)
        for _, data in await self.events("schedule.claimed"):
            if data["schedule"] in claimed:
                claimed[data["schedule"]] += 1
        fired = [data for _, data in await self.events("schedule.fired")]
        for schedule in schedules:
            [seq] = sent[schedule]
            assert claimed[schedule] == 1
            assert [d for d in fired if d["schedule"] == schedule] == [
                {"schedule": schedule, "seq": seq}
            ]


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Scene]:
    """A scene on a new data folder."""
    settings = read_settings({"HANSARD_DATA_DIR": str(folder)})
    async with open_core(settings, open_secrets(settings)) as core, writing(core):
        scene = Scene(core, group_id("room"))
        for user in ("ann", "bob", "cat"):
            await scene.do(user, user_stream(user), c.PutProfile(name=user))
        room = c.CreateChat(kind="group", members=("ann", "bob", "cat"), name="room")
        await scene.do("ann", chat_stream(scene.chat), room)
        yield scene
