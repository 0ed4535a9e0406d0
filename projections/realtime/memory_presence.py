"""Presence within one process."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from projections.realtime.presence import HOLDS, PRECEDENCE, TOLD_WITHIN, Change, Status

#: The gateway of an entry that a wish has made.
_NONE = ""

#: A status, and when it ends.
_Held = tuple[Status, float]


class _Sheet:
    """What is known of one user."""

    def __init__(self) -> None:
        self.entries: dict[str, _Held] = {}
        self.wish: _Held | None = None
        self.told: Status = "offline"
        #: When it is to be told again that the user has lapsed.
        self.again: float | None = None

    def seen(self, now: float) -> Status:
        self.entries = {gateway: held for gateway, held in self.entries.items() if held[1] > now}
        if self.wish is not None and self.wish[1] <= now:
            self.wish = None
        if not self.entries:
            return "offline"
        if self.wish is not None:
            return self.wish[0]
        return min((status for status, _ in self.entries.values()), key=PRECEDENCE.index)


class MemoryPresence:
    def __init__(self, holds: float = HOLDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._holds = holds
        self._clock = clock
        self._sheets: dict[str, _Sheet] = {}
        self._seq = 0

    async def put(self, gateway: str, statuses: Mapping[str, Status | None]) -> Sequence[Change]:
        now = self._clock()
        for user, status in statuses.items():
            sheet = self._sheets.setdefault(user, _Sheet())
            sheet.seen(now)
            if status is None:
                sheet.entries.pop(gateway, None)
                continue
            before = sheet.entries.get(gateway)
            if sheet.wish is not None:
                wish = sheet.wish[0]
                ends = wish == "online" and (before is None or before[0] != status)
                sheet.wish = None if ends else (wish, now + self._holds)
            sheet.entries.pop(_NONE, None)
            sheet.entries[gateway] = (status, now + self._holds)
        return self._changes(statuses, now)

    async def wish(self, user: str, status: Status) -> Sequence[Change]:
        now = self._clock()
        sheet = self._sheets.setdefault(user, _Sheet())
        sheet.entries.pop(_NONE, None)
        sheet.seen(now)
        sheet.wish = (status, now + self._holds)
        if not sheet.entries:
            sheet.entries[_NONE] = sheet.wish
        return self._changes([user], now)

    async def read(self, users: Sequence[str]) -> dict[str, Status]:
        now = self._clock()
        none = _Sheet()
        return {user: self._sheets.get(user, none).seen(now) for user in users}

    async def lapsed(self, limit: int) -> Sequence[Change]:
        now = self._clock()
        changes: list[Change] = []
        for user, sheet in tuple(self._sheets.items()):
            if sheet.seen(now) != "offline":
                continue
            if sheet.told == "offline" and sheet.again is None:
                if sheet.wish is None:
                    del self._sheets[user]
            elif (sheet.again or 0.0) <= now and len(changes) < limit:
                sheet.told, sheet.again = "offline", now + self._holds * TOLD_WITHIN
                changes.append(self._change(user, "offline"))
        return changes

    async def told(self, users: Sequence[str]) -> None:
        for user in users:
            if user in self._sheets:
                self._sheets[user].again = None

    async def close(self) -> None:
        self._sheets.clear()

    def _changes(self, users: Iterable[str], now: float) -> list[Change]:
        changes: list[Change] = []
        for user in users:
            sheet = self._sheets[user]
            status = sheet.seen(now)
            if status != sheet.told or sheet.again is not None:
                sheet.told, sheet.again = status, None
                changes.append(self._change(user, status))
        return changes

    def _change(self, user: str, status: Status) -> Change:
        self._seq += 1
        return Change(user, status, self._seq)
