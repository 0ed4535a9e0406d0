"""One's own scheduled messages."""

from collections.abc import Sequence

from domain import instants
from domain.ids import user_stream
from projections.schedules import SCHEDULES, Schedule
from projections.store.port import Scan
from projections.views import shapes
from projections.views.reading import NotFound, Reading

#: How long after its time one that could not be sent is listed, in seconds: a week.
FAILED_FOR = 604_800


async def page(
    reading: Reading, user: str, *, after: shapes.Place | None = None, limit: int = 50
) -> shapes.Listing[shapes.Schedule]:
    """Those that wait, and those that failed lately, by their time. `after` is the `next` of the
    page before."""
    start = str(after[0]) if after is not None else None
    lately = instants.later(reading.now, -FAILED_FOR)
    waiting, failed = await reading.scan(
        SCHEDULES,
        [
            Scan((user,), along="waiting", above=start, limit=limit + 1),
            Scan((user,), along="failed", above=max(start or "", lately), limit=limit + 1),
        ],
    )
    found = sorted((*waiting, *failed), key=lambda schedule: schedule.place)
    items = found[:limit]
    return shapes.Listing(
        items=await _shown(reading, items),
        next=(items[-1].place,) if len(found) > limit else None,
    )


async def one(reading: Reading, user: str, schedule: str) -> shapes.Schedule:
    """One of them, whatever became of it.

    Raises:
        NotFound: `schedule_not_found`.
    """
    [shown] = await _shown(reading, [await own(reading, user, schedule)])
    return shown


async def own(reading: Reading, user: str, schedule: str) -> Schedule:
    """The user's schedule of this id, as it is kept.

    Raises:
        NotFound: `schedule_not_found`.
    """
    found = (await reading.get(SCHEDULES, [(schedule,)])).get((schedule,))
    if found is None or found.user != user:
        raise NotFound("schedule_not_found")
    return found


async def _shown(reading: Reading, schedules: Sequence[Schedule]) -> list[shapes.Schedule]:
    await reading.unlock(field for s in schedules for field in (s.content, s.metadata))
    return [_show(reading, schedule) for schedule in schedules]


def _show(reading: Reading, schedule: Schedule) -> shapes.Schedule:
    stream = user_stream(schedule.user)
    content = reading.open(stream, "content", schedule.content)
    metadata = reading.open(stream, "metadata", schedule.metadata)
    return shapes.Schedule(
        id=schedule.schedule,
        chat=schedule.chat,
        scheduled_for=schedule.due,
        status=schedule.status,
        kind=schedule.kind,
        content=content.value,
        metadata=metadata.value if schedule.media is None else {"media": schedule.media},
        reply_to=schedule.reply_to,
        mentions=schedule.mentions,
        expires_in=schedule.expires_in,
        seq=schedule.message,
        code=schedule.refusal,
        erased=content.erased or metadata.erased,
    )
