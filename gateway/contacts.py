"""Between whom a direct chat is, and whether one of the two has blocked the other.

Every send to a direct chat asks this anew, so what is asked at the same time is asked in one go.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from domain.envelope import Basis
from domain.ids import split_stream, user_stream
from projections.chats import CHATS
from projections.profiles import PROFILES
from projections.store.port import ReadStore
from projections.views import blocking
from projections.views.blocking import Pair

REMEMBERED = 50_000

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Between(NamedTuple):
    """How two users stand to each other, and what was seen of their streams to say so."""

    apart: bool
    basis: Sequence[Basis]


class Contacts:
    def __init__(self, store: ReadStore) -> None:
        self._store = store
        self._pairs: OrderedDict[str, Pair] = OrderedDict()
        self._find = _Together(self._find_pairs)
        self._compare = _Together(self._compare_pairs)

    async def pair(self, chat: str) -> Pair:
        """The two of a direct chat; nobody for a group, or where there is no such chat."""
        pair = self._pairs.get(chat)
        if pair is None:
            pair = await self._find(chat)
        return pair or ()

    async def between(self, pair: Pair) -> Between:
        """How the two stand to each other now."""
        return (await self._compare(pair)) or Between(apart=False, basis=())

    async def apart(self, streams: Iterable[str]) -> set[str]:
        """Which of these chats are direct ones in which one of the two has blocked the other."""
        pairs = {stream: await self.pair(split_stream(stream)[1]) for stream in streams}
        two = [pair for pair in pairs.values() if pair]
        found = await blocking.apart(self._store, two) if two else set()
        return {stream for stream, pair in pairs.items() if pair in found}

    async def blocked(self, pairs: Iterable[tuple[str, str]]) -> set[Pair]:
        """Those of these pairs of users, in either order, of whom one has blocked the other."""
        either = {(min(pair), max(pair)) for pair in pairs}
        found = await blocking.apart(self._store, either) if either else set()
        return found | {pair[::-1] for pair in found}

    async def _find_pairs(self, chats: Sequence[str]) -> Mapping[str, Pair]:
        found = await self._store.get(CHATS, [(chat,) for chat in chats])
        # A chat's kind and the two of a direct chat are fixed by its first event.
        pairs = {chat.chat: chat.members for chat in found.values()}
        self._pairs.update(pairs)
        while len(self._pairs) > REMEMBERED:
            self._pairs.popitem(last=False)
        return pairs

    async def _compare_pairs(self, pairs: Sequence[Pair]) -> Mapping[Pair, Between]:
        # The profiles first: what they have seen of a stream, the blocks read after have, too.
        users = {user for pair in pairs for user in pair}
        profiles = await self._store.get(PROFILES, [(user,) for user in users])
        apart = await blocking.apart(self._store, pairs)
        seqs = {profile.user: profile.seq for profile in profiles.values()}
        return {
            pair: Between(
                pair in apart, [Basis(user_stream(u), seqs[u]) for u in pair if u in seqs]
            )
            for pair in pairs
        }


class _Together(Generic[K, V]):
    """Asks for many in one go: those wanted while a question is under way join the next one."""

    def __init__(self, ask: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]) -> None:
        self._ask = ask
        self._turn = asyncio.Lock()
        self._wanted: dict[K, None] = {}
        self._next: asyncio.Task[Mapping[K, V]] | None = None

    async def __call__(self, key: K) -> V | None:
        self._wanted[key] = None
        if self._next is None:
            self._next = asyncio.create_task(self._run())
        # Who gives up waiting does not end it for the others.
        return (await asyncio.shield(self._next)).get(key)

    async def _run(self) -> Mapping[K, V]:
        async with self._turn:
            wanted, self._wanted, self._next = list(self._wanted), {}, None
            return await self._ask(wanted)
