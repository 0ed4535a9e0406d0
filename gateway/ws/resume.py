"""What a returning connection has missed: all of it, in order, or nothing."""

from collections.abc import Mapping

import msgspec

from domain.ids import user_stream
from gateway.services import Services
from projections.chats import Membership
from projections.views.feeds import events_between
from projections.views.reading import Reading

#: Events a resume may need, over all streams.
MAX_MISSED = 1000


async def missed_frames(
    services: Services,
    user: str,
    resume: Mapping[str, int] | None,
    heads: Mapping[str, int],
    memberships: Mapping[str, Membership],
) -> list[bytes] | None:
    """The event frames between the places of `resume` and the heads, or None if the client can't
    recover and has to fetch.

    Streams that were left are passed over, streams joined meanwhile are the client's to fetch.
    """
    if resume is None:
        return None
    spans: dict[str, tuple[int, int]] = {}
    for stream, place in resume.items():
        head = heads.get(stream)
        if head is None:
            continue
        if place > head:
            return None
        # Before the latest joining there was another stay; its own `member.added` begins this one.
        joined = memberships[stream].joined if stream != user_stream(user) else 1
        spans[stream] = (max(place, joined - 1), head)
    if sum(head - place for place, head in spans.values()) > MAX_MISSED:
        return None
    reading = Reading(services.store, services.vault, services.clock())
    events = await events_between(reading, user, spans)
    return [_frame(event) for event in events]


def _frame(event: msgspec.Struct) -> bytes:
    return msgspec.json.encode({"op": "event", **msgspec.structs.asdict(event)})
