"""Whom each user has blocked."""

from domain import events as e
from projections.fold import Made, ReadModel, Seen, WorkingSet, nothing_more
from projections.store.port import Collection, Document, Index


class Block(Document, frozen=True):
    """One user's blocking of another. `at` is the seq of the event; without `blocked_at` it has
    ended."""

    user: str
    other: str
    at: int
    blocked_at: str | None = None


BLOCKS = Collection(
    "blocks", Block, ("user", "other"), (Index("by_user", ("user", "at"), where="blocked_at"),)
)


def _fold(seen: Seen, _: WorkingSet) -> Made:
    data, envelope = seen.data, seen.envelope
    if isinstance(data, e.UserBlocked | e.UserUnblocked):
        yield (
            BLOCKS,
            Block(
                seq=envelope.seq,
                user=seen.id,
                other=data.user,
                at=envelope.seq,
                blocked_at=envelope.time if isinstance(data, e.UserBlocked) else None,
            ),
        )


MODEL = ReadModel((BLOCKS,), nothing_more, _fold)
