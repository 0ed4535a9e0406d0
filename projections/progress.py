"""How far the read models have come, and waiting for them: read your writes."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping

from projections.chats import CHATS
from projections.profiles import PROFILES
from projections.store.port import ReadStore

REMEMBERED = 20_000


class Behind(Exception):
    """The read models did not reach the position in time."""


class Stale(Exception):
    """The stream has stopped at an event that could not be folded."""


class Progress:
    """The head of each stream as all read models have seen it.

    Heads seen lately are remembered; for others the store is asked.
    """

    def __init__(self, store: ReadStore) -> None:
        self._store = store
        self._heads: OrderedDict[str, int] = OrderedDict()
        self._waiting: dict[str, list[tuple[int, asyncio.Future[None]]]] = {}
        self.stale: frozenset[str] = frozenset()
        #: Set when somebody begins to wait.
        self.asked = asyncio.Event()

    def advance(self, heads: Mapping[str, int]) -> None:
        """Take note of what was written, and wake those who waited for it."""
        for stream, seq in heads.items():
            if seq <= self._heads.get(stream, 0):
                continue
            self._heads[stream] = seq
            self._heads.move_to_end(stream)
            waiting = self._waiting.pop(stream, None)
            if waiting:
                still = [(wanted, future) for wanted, future in waiting if wanted > seq]
                for wanted, future in waiting:
                    if wanted <= seq and not future.done():
                        future.set_result(None)
                if still:
                    self._waiting[stream] = still
        while len(self._heads) > REMEMBERED:
            self._heads.popitem(last=False)

    @property
    def awaited(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)

    async def refresh(self) -> None:
        """Look at the store for what is waited for, where others write it."""
        if self._waiting:
            self.advance(await self.heads(self._waiting))

    async def heads(self, streams: Iterable[str]) -> dict[str, int]:
        """The seq of the last event of each stream that all read models have seen; 0 for none."""
        heads = dict.fromkeys(streams, 0)
        chats = {s: (s[6:],) for s in heads if s.startswith("chats/")}
        users = {s: (s[6:],) for s in heads if s.startswith("users/")}
        if chats:
            known_chats = await self._store.get(CHATS, chats.values())
            heads |= {s: known_chats[k].seq for s, k in chats.items() if k in known_chats}
        if users:
            known_users = await self._store.get(PROFILES, users.values())
            heads |= {s: known_users[k].seq for s, k in users.items() if k in known_users}
        return heads

    async def wait(self, positions: Mapping[str, int], seconds: float) -> None:
        """Wait until each stream has been seen up to its seq.

        Args:
            positions: seq by stream.
            seconds: how long at most, for all of them together.

        Raises:
            Behind: they were not in time.
            Stale: one of the streams has stopped before its position.
        """
        missing = {s: n for s, n in positions.items() if self._heads.get(s, 0) < n}
        if not missing:
            return
        futures = {stream: self._wait_for(stream, seq) for stream, seq in missing.items()}
        try:
            # Only after the futures are in place, so that no advance is missed in between.
            self.advance(await self.heads(missing))
            waiting = [future for future in futures.values() if not future.done()]
            if waiting and self.stale & missing.keys():
                raise Stale
            if waiting:
                _, late = await asyncio.wait(waiting, timeout=seconds)
                if late:
                    raise Stale if self.stale & missing.keys() else Behind
        finally:
            self._forget(futures)

    def _wait_for(self, stream: str, seq: int) -> asyncio.Future[None]:
        future = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(stream, []).append((seq, future))
        self.asked.set()
        return future

    def _forget(self, futures: Mapping[str, asyncio.Future[None]]) -> None:
        for stream, future in futures.items():
            waiting = self._waiting.get(stream)
            if waiting is not None:
                waiting[:] = [one for one in waiting if one[1] is not future]
                if not waiting:
                    del self._waiting[stream]
