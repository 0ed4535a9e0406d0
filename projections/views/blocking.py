"""Who has blocked whom, and which direct chats that closes."""

from collections.abc import Collection, Iterable

from projections.blocks import BLOCKS
from projections.store.port import Key, ReadStore, Scan
from projections.views import shapes
from projections.views.reading import Reading

#: Two users; nobody stands for a chat that is no direct one.
Pair = tuple[str, ...]


async def page(
    reading: Reading, user: str, *, after: shapes.Place | None = None, limit: int = 50
) -> shapes.Listing[shapes.Block]:
    """Whom the user has blocked, the newest first. `after` is the `next` of the page before."""
    below = int(after[0]) if after is not None else None
    scan = Scan((user,), along="by_user", below=below, newest=True, limit=limit + 1)
    [found] = await reading.scan(BLOCKS, [scan])
    items = found[:limit]
    return shapes.Listing(
        items=[shapes.Block(user=b.other, blocked_at=b.blocked_at or "") for b in items],
        next=(items[-1].at,) if len(found) > limit else None,
    )


async def blockers(store: ReadStore, user: str, others: Iterable[str]) -> set[str]:
    """Those of the others who have blocked the user."""
    found = await store.get(BLOCKS, [(other, user) for other in others])
    return {block.user for block in found.values() if block.blocked_at is not None}


async def unwelcome(reading: Reading, pairs: Collection[Pair]) -> set[Pair]:
    """Those of the pairs of users of whom the first has blocked the second."""
    found = await reading.get(BLOCKS, pairs)
    return {(block.user, block.other) for block in found.values() if block.blocked_at is not None}


async def apart(store: ReadStore, pairs: Collection[Pair]) -> set[Pair]:
    """Those of the pairs of users of whom either has blocked the other."""
    keys: dict[Key, Pair] = {key: pair for pair in pairs for key in (pair, pair[::-1])}
    found = await store.get(BLOCKS, keys)
    return {keys[key] for key, block in found.items() if block.blocked_at is not None}
