"""What nearly every request asks of the read store, remembered for some seconds."""

import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from domain.refusals import NOT_REGISTERED, SUSPENDED, USER_ERASED
from gateway.problems import Problem
from projections.chats import CHATS, MEMBERSHIPS
from projections.profiles import PROFILES
from projections.store.port import ReadStore

#: A suspension holds within 5 seconds of being accepted: 2 of them are for the read models.
KEEP_ADMITTED_SECONDS = 3.0
KEEP_COST_SECONDS = 5.0
REMEMBERED = 20_000
#: Members of a chat that add 1 to what a send counts for.
MEMBERS_PER_COST = 100

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """Values that are forgotten `seconds` after they were kept, the oldest first when full."""

    def __init__(
        self, clock: Callable[[], float], seconds: float, capacity: int = REMEMBERED
    ) -> None:
        self._clock = clock
        self._seconds = seconds
        self._capacity = capacity
        self._kept: dict[K, tuple[V, float]] = {}

    def get(self, key: K) -> V | None:
        kept = self._kept.get(key)
        if kept is None or kept[1] <= self._clock():
            return None
        return kept[0]

    def keep(self, key: K, value: V) -> None:
        # Put in anew, so that the order of the dictionary is that of the ends.
        self._kept.pop(key, None)
        self._kept[key] = (value, self._clock() + self._seconds)
        if len(self._kept) > self._capacity:
            del self._kept[next(iter(self._kept))]


class Lookups:
    """Only answers that let a user in are remembered: who registers is let in at once, who is
    suspended is kept out within 5 seconds."""

    def __init__(self, store: ReadStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._admitted: Remembered[str, bool] = Remembered(clock, KEEP_ADMITTED_SECONDS)
        self._costs: Remembered[tuple[str, str], int] = Remembered(clock, KEEP_COST_SECONDS)

    async def admit(self, user: str, *, unregistered: bool = False) -> None:
        """Let a user in who is in good standing, and registered unless that is not asked for.

        Raises:
            Problem: `not_registered`, `suspended` or `user_erased`.
        """
        if self._admitted.get(user):
            return
        profile = (await self._store.get(PROFILES, [(user,)])).get((user,))
        if profile is None:
            if unregistered:
                return
            raise Problem(NOT_REGISTERED.code, NOT_REGISTERED.detail)
        if profile.erased:
            raise Problem(USER_ERASED.code, USER_ERASED.detail)
        if profile.suspended:
            raise Problem(SUSPENDED.code, SUSPENDED.detail)
        self._admitted.keep(user, True)

    async def send_cost(self, user: str, chat: str) -> int:
        """What a send counts for: 1, and 1 more for every 100 members.

        Outside the chat it is 1, so that the quota that remains says nothing of other people's
        chats.
        """
        cost = self._costs.get((user, chat))
        if cost is not None:
            return cost
        membership = (await self._store.get(MEMBERSHIPS, [(user, chat)])).get((user, chat))
        if membership is None or not membership.present:
            return 1
        found = (await self._store.get(CHATS, [(chat,)])).get((chat,))
        cost = send_cost(found.members_count if found is not None else 0)
        self._costs.keep((user, chat), cost)
        return cost


def send_cost(members_count: int) -> int:
    """What a send to a chat of this size counts for under the rate of writes."""
    return 1 + members_count // MEMBERS_PER_COST
