"""Messages that users have reported."""

from domain import events as e
from projections.fold import Held, Made, ReadModel, Seen, WorkingSet, held, nothing_more
from projections.store.port import Collection, Document, Index


class Report(Document, frozen=True):
    """`place` is the time with the event's id behind it, so that no two are equal."""

    chat: str
    message: int
    reporter: str
    reported_at: str
    place: str
    reason: Held | None = None


REPORTS = Collection(
    "reports",
    Report,
    ("chat", "message", "reporter"),
    (Index("by_time", ("place",)), Index("by_chat", ("chat", "place"))),
)


def _fold(seen: Seen, _: WorkingSet) -> Made:
    data, envelope = seen.data, seen.envelope
    if isinstance(data, e.MessageReported):
        yield (
            REPORTS,
            Report(
                seq=envelope.seq,
                chat=data.chat,
                message=data.message,
                reporter=seen.id,
                reported_at=envelope.time,
                place=f"{envelope.time} {envelope.id}",
                reason=held(seen, data.reason),
            ),
        )


MODEL = ReadModel((REPORTS,), nothing_more, _fold)
