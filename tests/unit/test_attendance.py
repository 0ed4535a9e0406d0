"""How people are present by their connections, and how seldom that is told."""

import asyncio
from collections.abc import Collection, Coroutine, Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from gateway.ws.attendance import ABSENT, IDLE, ROUND, Attendance, Device
from projections.realtime.memory import MemoryRealtime
from projections.realtime.memory_presence import MemoryPresence
from projections.realtime.port import Publication
from projections.realtime.presence import Status
from tests.unit.skipped_time import run

#: What two devices say, and how their user is seen.
CASES: Sequence[tuple[Status, Status, Status]] = (
    ("away", "online", "online"),
    ("away", "away", "away"),
    ("busy", "online", "busy"),
    ("offline", "away", "away"),
    ("offline", "offline", "offline"),
)
ROOMS = {"ann": ["chats/a", "chats/b"], "bob": ["chats/a"], "eve": []}


class Gateway:
    """Attendance on a board that others may share. `told` has each telling once, with its second,
    whatever the number of chats it was told in."""

    def __init__(self, board: MemoryPresence, realtime: MemoryRealtime) -> None:
        self.board = board
        self.here: set[str] = set()
        self.attendance = Attendance(board, realtime, self._circle, self._circles)

    def _circle(self, user: str) -> list[str] | None:
        return ROOMS[user] if user in self.here else None

    async def _circles(self, users: Collection[str]) -> Mapping[str, list[str]]:
        return {user: ROOMS[user] for user in users}

    def come(self, user: str) -> Device:
        self.here.add(user)
        return self.attendance.come(user)

    def go(self, device: Device, last: bool = True) -> None:
        self.attendance.go(device)
        if last:
            self.here.discard(device.user)


class World:
    def __init__(self) -> None:
        self.board = MemoryPresence(clock=asyncio.get_running_loop().time)
        self.published: list[tuple[float, Publication]] = []
        self._realtime = MemoryRealtime()
        self._realtime.listen(self._hear, lambda: None)
        self._running: list[asyncio.Task[None]] = []

    def gateway(self) -> Gateway:
        gateway = Gateway(self.board, self._realtime)
        self._running.append(asyncio.create_task(gateway.attendance.run()))
        return gateway

    def crash(self, number: int) -> None:
        self._running[number].cancel()

    def _hear(self, publications: Sequence[Publication]) -> None:
        now = asyncio.get_running_loop().time()
        self.published += [(now, one) for one in publications]

    def told(self, user: str = "ann") -> list[str]:
        return [status for _, status in self.timed(user)]

    def timed(self, user: str = "ann") -> list[tuple[float, str]]:
        tellings = {
            p.seq: (at, msgspec.json.decode(p.frame)["status"])
            for at, p in self.published
            if p.user == user
        }
        return [*tellings.values()]

    async def seen(self, user: str = "ann") -> str:
        return (await self.board.read([user]))[user]


def acted(play: Coroutine[Any, Any, None]) -> None:
    async def main() -> None:
        await play
        running = asyncio.all_tasks() - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    run(main())


def test_coming_is_told_once_in_each_chat() -> None:
    async def play() -> None:
        world = World()
        world.gateway().come("ann")
        await asyncio.sleep(60)
        assert {p.channel for _, p in world.published} == {"chats/a", "chats/b"}
        assert len({p.seq for _, p in world.published}) == 1
        [frame] = {p.frame for _, p in world.published}
        assert msgspec.json.decode(frame) == {"op": "presence", "user": "ann", "status": "online"}
        assert {p.kind for _, p in world.published} == {"presence"}

    acted(play())


def test_as_long_as_one_is_connected_one_stays() -> None:
    async def play() -> None:
        world = World()
        gateway = world.gateway()
        gateway.attendance.say(gateway.come("ann"), "busy")
        await asyncio.sleep(3600)
        assert await world.seen() == "busy"
        assert world.told() == ["busy"]

    acted(play())


def test_one_tab_of_several_closing_changes_nothing() -> None:
    async def play() -> None:
        world = World()
        gateway, other = world.gateway(), world.gateway()
        tabs = [gateway.come("ann"), gateway.come("ann"), other.come("ann")]
        await asyncio.sleep(10)
        gateway.go(tabs[0], last=False)
        await asyncio.sleep(10)
        gateway.go(tabs[1])
        await asyncio.sleep(10)
        assert await world.seen() == "online"
        assert world.told() == ["online"]
        other.go(tabs[2])
        await asyncio.sleep(10)
        assert await world.seen() == "offline"
        assert world.told() == ["online", "offline"]

    acted(play())


def test_who_is_back_at_once_was_not_away() -> None:
    async def play() -> None:
        world = World()
        gateway = world.gateway()
        for _ in range(5):
            device = gateway.come("ann")
            await asyncio.sleep(10)
            gateway.go(device)
            await asyncio.sleep(ABSENT - 1)
        gateway.come("ann")
        await asyncio.sleep(60)
        assert world.told() == ["online"]

    acted(play())


def test_the_last_of_many_changes_is_told_at_most_once_in_five_seconds() -> None:
    async def play() -> None:
        world = World()
        gateway = world.gateway()
        device = gateway.come("ann")
        statuses: Sequence[Status] = ("busy", "away", "offline", "online")
        for number in range(40):
            gateway.attendance.say(device, statuses[number % 4])
            await asyncio.sleep(0.5)
        gateway.attendance.say(device, "busy")
        await asyncio.sleep(60)
        times = [at for at, _ in world.timed()]
        assert all(later - at >= 5 - ROUND for at, later in pairwise(times))
        assert 4 <= len(times) <= 6
        assert world.told()[-1] == "busy"
        assert await world.seen() == "busy"

    acted(play())


def test_the_most_present_device_counts() -> None:
    async def play() -> None:
        world = World()
        gateway, other = world.gateway(), world.gateway()
        phone, desk = gateway.come("ann"), other.come("ann")
        for one, two, here in CASES:
            gateway.attendance.say(phone, one)
            other.attendance.say(desk, two)
            await asyncio.sleep(10)
            assert await world.seen() == here
            assert world.told()[-1] == here

    acted(play())


def test_nothing_but_pings_for_minutes_is_away() -> None:
    async def play() -> None:
        world = World()
        gateway = world.gateway()
        device = gateway.come("ann")
        await asyncio.sleep(IDLE - 30)
        gateway.attendance.stir(device)
        await asyncio.sleep(IDLE - 30)
        assert await world.seen() == "online"
        await asyncio.sleep(60)
        assert await world.seen() == "away"
        gateway.attendance.stir(device)
        await asyncio.sleep(1)
        assert await world.seen() == "online"
        assert world.told() == ["online", "away", "online"]

    acted(play())


def test_who_is_busy_stays_so_without_a_word() -> None:
    async def play() -> None:
        world = World()
        gateway = world.gateway()
        gateway.attendance.say(gateway.come("ann"), "busy")
        await asyncio.sleep(2 * IDLE)
        assert world.told() == ["busy"]

    acted(play())


def test_a_wish_is_told_and_holds_while_one_is_connected() -> None:
    async def play() -> None:
        world = World()
        gateway, other = world.gateway(), world.gateway()
        device = gateway.come("ann")
        await asyncio.sleep(10)
        await other.attendance.wish("ann", "offline")
        await asyncio.sleep(3600)
        assert world.told() == ["online", "offline"]
        gateway.go(device)
        await asyncio.sleep(30)
        other.come("ann")
        await asyncio.sleep(3600)
        assert world.told() == ["online", "offline"]
        await gateway.attendance.wish("ann", "online")
        await asyncio.sleep(10)
        assert world.told() == ["online", "offline", "online"]

    acted(play())


def test_a_wish_without_a_device_holds_for_a_minute() -> None:
    async def play() -> None:
        world = World()
        gateway = world.gateway()
        await gateway.attendance.wish("ann", "busy")
        await asyncio.sleep(59)
        assert await world.seen() == "busy"
        await asyncio.sleep(10)
        assert await world.seen() == "offline"
        assert world.told() == ["busy", "offline"]

    acted(play())


def test_those_of_a_gateway_that_died_are_told_by_another() -> None:
    async def play() -> None:
        world = World()
        gateway, other = world.gateway(), world.gateway()
        gateway.come("ann")
        gateway.come("bob")
        other.come("bob")
        await asyncio.sleep(30)
        world.crash(0)
        # 60 s after the last renewal, and the look after that.
        await asyncio.sleep(66)
        assert world.told("ann") == ["online", "offline"]
        assert world.told("bob") == ["online"]

    acted(play())


def test_nothing_is_told_to_nobody() -> None:
    async def play() -> None:
        world = World()
        gateway = world.gateway()
        gateway.go(gateway.come("eve"))
        await asyncio.sleep(60)
        assert world.published == []

    acted(play())


def test_many_at_once_are_all_told() -> None:
    async def play() -> None:
        world = World()
        gateway = world.gateway()
        users = [f"u{number}" for number in range(5000)]
        ROOMS.update({user: ["chats/many"] for user in users})
        devices = [gateway.come(user) for user in users]
        await asyncio.sleep(5)
        assert {p.user for _, p in world.published} == set(users)
        await asyncio.sleep(IDLE - 10)
        assert len(world.published) == len(users)
        assert await world.board.read(users) == dict.fromkeys(users, "online")
        for device in devices:
            gateway.go(device)
        await asyncio.sleep(15)
        assert await world.board.read(users) == dict.fromkeys(users, "offline")
        assert [world.told(user) for user in users[::500]] == [["online", "offline"]] * 10

    acted(play())
