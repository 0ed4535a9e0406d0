"""How those who are connected here are present, and how that is told."""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple
from uuid import uuid4

import structlog

from gateway.ws.announcements import APART
from gateway.ws.frames import PresenceShown, encode
from projections.realtime.port import Publication, Realtime, RealtimeError
from projections.realtime.presence import PRECEDENCE, Change, PresenceBoard, Status
from projections.store.port import StoreError

log = structlog.get_logger()

#: Seconds without anything but pings after which a connection counts as away.
IDLE = 300.0
#: Seconds for which someone without a connection still counts as there: a page is loaded anew.
ABSENT = 5.0
#: Seconds after which an entry is renewed; it holds for 60.
RENEWED = 20.0
#: Seconds between two rounds, in which all that has changed meanwhile is told together.
ROUND = 0.1
#: Seconds after which the next round comes in any case, for what time alone brings.
DUE = 1.0
#: Seconds between two looks for those whose gateway is no more.
LOOKED = 5.0
#: Seconds between attempts while realtime or the store does not answer.
RETRY = 1.0
#: Users of one round.
AT_ONCE = 200
#: Users of whom something was told in the last seconds; of others nothing is told meanwhile.
MAX_RECENT = 50_000


class Device:
    """A connection, as a way of being present."""

    __slots__ = ("active", "said", "user")

    def __init__(self, user: str, now: float) -> None:
        self.user = user
        self.said: Status = "online"
        self.active = now

    def status(self, now: float) -> Status:
        if self.said == "online" and now - self.active > IDLE:
            return "away"
        return self.said


class _Told(NamedTuple):
    """A change, and the streams it is told in if the user is not here when it is."""

    change: Change
    circle: list[str] | None


class Attendance:
    """Keeps the board's entries for the users connected here, and publishes the changes it finds
    in the chats that users tell of themselves in: of one user at most one in 5 s, the last."""

    def __init__(
        self,
        board: PresenceBoard,
        realtime: Realtime,
        circle: Callable[[str], list[str] | None],
        circles: Callable[[Collection[str]], Awaitable[Mapping[str, list[str]]]],
    ) -> None:
        """`circle` has the streams of a connected user's direct chats and small groups, and None
        for others, whose streams `circles` reads."""
        self._board = board
        self._realtime = realtime
        self._circle = circle
        self._circles = circles
        self._gateway = uuid4().hex
        self._devices: dict[str, set[Device]] = {}
        self._changed: dict[str, None] = {}
        #: When each entry was put, the oldest first.
        self._put: OrderedDict[str, float] = OrderedDict()
        #: When each user without a connection went, the first first, and whom they leave.
        self._gone: OrderedDict[str, tuple[float, list[str] | None]] = OrderedDict()
        self._recent: dict[str, _Told | None] = {}
        self._news: dict[str, _Told] = {}
        self._stirred = asyncio.Event()

    def come(self, user: str) -> Device:
        """A connection is there, and its user's chats are known."""
        device = Device(user, self._now())
        self._devices.setdefault(user, set()).add(device)
        self._gone.pop(user, None)
        self._change(user)
        return device

    def go(self, device: Device) -> None:
        """A connection goes; its user's chats are still known."""
        user = device.user
        devices = self._devices[user]
        devices.discard(device)
        if devices:
            self._change(user)
            return
        del self._devices[user]
        self._changed.pop(user, None)
        self._put.pop(user, None)
        self._gone[user] = self._now(), self._circle(user)

    def say(self, device: Device, status: Status) -> None:
        """A client says how it is present."""
        device.said = status
        self._change(device.user)

    def stir(self, device: Device) -> None:
        """A client has sent something other than a ping."""
        now = self._now()
        if now - device.active > IDLE:
            self._change(device.user)
        device.active = now

    async def wish(self, user: str, status: Status) -> None:
        """Set how a user wants to be seen.

        Raises:
            RealtimeError: nobody can tell whether it was set.
        """
        for change in await self._board.wish(user, status):
            self._hold(_Told(change, None))

    async def read(self, users: Sequence[str]) -> Mapping[str, Status]:
        """How these users are seen.

        Raises:
            RealtimeError: nobody can tell.
        """
        return await self._board.read(users)

    async def run(self) -> None:
        """Keep and tell until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep())
            group.create_task(self._look())

    async def _keep(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DUE):
                    await self._stirred.wait()
            self._stirred.clear()
            pause = ROUND
            try:
                users = self._due(self._now())
                if len(users) >= AT_ONCE:
                    self._stirred.set()
                await self._renew(users)
                await self._publish()
            except (RealtimeError, StoreError) as error:
                log.warning("presence_waits", error=str(error))
                pause = RETRY
            if self._changed or self._news:
                self._stirred.set()
            await asyncio.sleep(pause)

    def _due(self, now: float) -> list[str]:
        """Whose entries are to be put now, or ended."""
        users = list(islice(self._changed, AT_ONCE))
        for user, (at, _) in islice(self._gone.items(), AT_ONCE):
            if now - at >= ABSENT:
                users.append(user)
        for user, at in islice(self._put.items(), AT_ONCE):
            if now - at >= RENEWED:
                users.append(user)
        return users

    async def _renew(self, users: Iterable[str]) -> None:
        now = self._now()
        statuses = {user: self._status(user, now) for user in users}
        left: dict[str, list[str] | None] = {}
        for user, status in statuses.items():
            self._changed.pop(user, None)
            self._put.pop(user, None)
            if status is not None:
                self._put[user] = now
            elif user in self._gone:
                left[user] = self._gone.pop(user)[1]
        if not statuses:
            return
        try:
            changes = await self._board.put(self._gateway, statuses)
        except RealtimeError:
            # An entry that is not ended ends by itself.
            self._changed.update(dict.fromkeys(user for user in statuses if user in self._devices))
            raise
        for change in changes:
            self._hold(_Told(change, left.get(change.user)))

    def _status(self, user: str, now: float) -> Status | None:
        statuses = [device.status(now) for device in self._devices.get(user, ())]
        return min(statuses, key=PRECEDENCE.index, default=None)

    def _hold(self, told: _Told) -> None:
        """Have a change published: the first now, and of those that follow the last, later."""
        user = told.change.user
        if user in self._recent:
            self._recent[user] = told
        elif len(self._recent) < MAX_RECENT:
            self._recent[user] = None
            self._news[user] = told
            asyncio.get_running_loop().call_later(APART, self._release, user)
            self._stirred.set()

    def _release(self, user: str) -> None:
        told = self._recent.pop(user)
        if told is not None:
            self._hold(told)

    async def _publish(self) -> None:
        some = list(islice(self._news.values(), AT_ONCE))
        await self._tell(some)
        for told in some:
            if self._news[told.change.user] is told:
                del self._news[told.change.user]

    async def _tell(self, some: Sequence[_Told]) -> None:
        known: dict[str, Sequence[str]] = {}
        for change, left in some:
            circle = self._circle(change.user)
            if circle is None:
                circle = left
            if circle is not None:
                known[change.user] = circle
        known |= await self._circles([c.user for c, _ in some if c.user not in known])
        publications = [
            Publication(
                channel=channel,
                kind="presence",
                frame=encode(PresenceShown(change.user, change.status)),
                user=change.user,
                seq=change.seq,
            )
            for change, _ in some
            for channel in known[change.user]
        ]
        if publications:
            await self._realtime.publish(publications)

    async def _look(self) -> None:
        """Tell of those whose entries have ended although nobody ended them: their gateway is no
        more, or could not reach the board."""
        while True:
            await asyncio.sleep(LOOKED)
            try:
                while lapsed := await self._board.lapsed(AT_ONCE):
                    await self._tell([_Told(change, None) for change in lapsed])
                    await self._board.told([change.user for change in lapsed])
            except (RealtimeError, StoreError) as error:
                log.warning("lapsed_presence_waits", error=str(error))

    def _change(self, user: str) -> None:
        self._changed[user] = None
        self._stirred.set()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
