"""Messages that users have deleted for themselves."""

from domain import events as e
from projections.fold import Made, ReadModel, Seen, WorkingSet, nothing_more
from projections.store.port import Collection, Document, Index


class Hidden(Document, frozen=True):
    user: str
    chat: str
    message: int


HIDDEN = Collection(
    "hidden", Hidden, ("user", "chat", "message"), (Index("by_message", ("chat", "message")),)
)


def _fold(seen: Seen, _: WorkingSet) -> Made:
    data = seen.data
    if isinstance(data, e.MessageHidden):
        yield (
            HIDDEN,
            Hidden(seq=seen.envelope.seq, user=seen.id, chat=data.chat, message=data.message),
        )


MODEL = ReadModel((HIDDEN,), nothing_more, _fold)
