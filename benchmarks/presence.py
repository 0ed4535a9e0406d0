"""People who come and go, and a chat of two others beside them."""

import asyncio
import math
import time
from array import array
from collections.abc import Coroutine

from benchmarks import scenarios, traffic
from benchmarks.client import Frame
from benchmarks.figures import LaneFigures, Result, latency, result
from benchmarks.process import Meter
from benchmarks.scenarios import Plan
from benchmarks.stage import Stage, User

_SECONDS = 60.0
#: One in so many people is connected at a time.
_CONNECTED = 3


class _Crowd:
    """People in groups, who connect in turn and stay for a third of the time until their next."""

    def __init__(self, stage: Stage, people: list[tuple[User, str]], per_minute: float) -> None:
        """`people` come with the chat of their group."""
        self._stage = stage
        self._people = people
        self._every_s = 60 / per_minute
        self._stay_s = len(people) * self._every_s / _CONNECTED
        self._came: dict[str, float] = {}
        self._sessions = 0
        self._frames = 0
        self._shown = array("d")
        self._began = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._spawn(self._come_and_go())

    def begin(self) -> None:
        """What happens from now on is measured."""
        self._sessions = self._frames = 0
        self._shown = array("d")
        self._began = time.perf_counter()

    def end(self) -> LaneFigures:
        seconds = time.perf_counter() - self._began
        for task in self._tasks:
            task.cancel()
        return LaneFigures(
            lane="presence",
            unit="sessions",
            count=self._sessions,
            per_s=round(self._sessions / seconds, 1),
            deliveries_per_s=round(self._frames / seconds, 1),
            answer_ms=None,
            delivery_ms=latency(self._shown),
        )

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _come_and_go(self) -> None:
        began = time.perf_counter()
        turn = 0
        while True:
            self._spawn(self._session(*self._people[turn % len(self._people)]))
            turn += 1
            await asyncio.sleep(max(0.0, began + turn * self._every_s - time.perf_counter()))

    async def _session(self, user: User, chat: str) -> None:
        self._came[user.id] = time.perf_counter()
        connection = await self._stage.connect(user, chat, self._hear)
        self._sessions += 1
        await asyncio.sleep(self._stay_s)
        connection.close()

    def _hear(self, frame: Frame, at: float) -> None:
        if frame.op == "presence":
            self._frames += 1
            if frame.status == "online":
                self._shown.append(at - self._came[frame.user])


async def presence(stage: Stage, plan: Plan, meter: Meter) -> Result:
    """Sessions that begin at a given rate and end again, and a direct chat of two others."""
    pair = await stage.users(["sender", "reader"])
    crowd = await _crowd(stage, plan) if plan.sessions else None
    aside = await traffic.lane(stage, "direct", "direct", [pair])
    aside.pace(scenarios.ASIDE_MS / 1000)
    if crowd:
        crowd.start()
    await stage.until(lambda: False, plan.warmup_s)
    if crowd:
        crowd.begin()
    seconds = plan.seconds or _SECONDS
    processes = await scenarios.run(stage, meter, 0.0, seconds, math.inf, [aside])
    lanes = [aside.figures(), *([crowd.end()] if crowd else [])]
    parameters = {"people": plan.people, "circle": plan.circle, "sessions/min": plan.sessions}
    return result("presence", parameters, lanes, processes, aside.check())


async def _crowd(stage: Stage, plan: Plan) -> _Crowd:
    users = await stage.users(f"p{place}" for place in range(plan.people))
    # Of neighbours in turn none are in one group.
    count = max(1, plan.people // plan.circle)
    groups = [users[start::count] for start in range(count)]
    chats = await stage.chats("group", groups)
    people = [(user, chats[place % count]) for place, user in enumerate(users)]
    return _Crowd(stage, people, plan.sessions)
