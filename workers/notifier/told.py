"""Of what may be told: what still stands, is unread, wanted and not muted, at the last moment."""

from collections.abc import Collection, Sequence

from domain.events import Channel
from domain.notifications import Kind, wants
from projections.notifications import Notification
from projections.outbox import Push
from projections.profiles import PROFILES, Profile
from projections.views.notifications import Told, attention, standing
from projections.views.reading import Reading

#: Of what is older than this, in seconds, nobody is told but in the list: it was imported, or lay
#: too long. Push services keep a message no longer.
MAX_AGE = 24 * 3600


async def still(
    reading: Reading, rows: Sequence[Notification], channel: Channel
) -> dict[tuple[str, str, int, Kind], Told]:
    """Those rows that their users are to be told of in this way now, by `of` the row."""
    found = await standing(reading, rows)
    preferences = await attention(reading, {row.user for row in rows})
    profiles = await good_standing(reading, {row.user for row in rows})
    return {
        of(told.row): told
        for told in found
        if not told.read
        and told.row.user in profiles
        and wants(preferences[told.row.user].preferences, told.row.kind, channel)
        and (told.row.kind == "mention" or told.access.muted_until(reading.now) is None)
    }


def of(row: Notification) -> tuple[str, str, int, Kind]:
    return row.user, row.chat, row.event, row.kind


def push_of(row: Notification, device: str, partition: str, due: str) -> Push:
    """The task to tell a device of a row."""
    return Push(
        seq=1,
        partition=partition,
        due=due,
        chat=row.chat,
        event=row.event,
        user=row.user,
        device=device,
        kind=row.kind,
        actor=row.actor,
        time=row.time,
        message=row.message,
    )


async def good_standing(reading: Reading, users: Collection[str]) -> dict[str, Profile]:
    """The profiles of those users who are neither suspended nor erased."""
    found = await reading.get(PROFILES, [(user,) for user in users])
    return {
        profile.user: profile
        for profile in found.values()
        if not profile.suspended and not profile.erased
    }
