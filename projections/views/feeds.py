"""The feed: events of a chat or of oneself, in order, without what their reader may not see."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from domain.catalogue import SEALED_FIELDS
from domain.ids import chat_stream, split_stream, user_stream
from projections.feed import FEED, FeedItem, redact
from projections.messages import MESSAGES
from projections.profiles import PROFILES
from projections.store.port import Scan
from projections.views.access import Access, access_to, access_to_all
from projections.views.reading import Reading
from projections.views.shapes import Event, Listing
from projections.views.visibility import hidden

#: They show nothing, so there is nothing in them to redact.
_ENDINGS = ("message.deleted", "message.expired")


async def of_chat(
    reading: Reading, user: str, chat: str, *, after: int = 0, limit: int = 50
) -> Listing[Event]:
    """The events of a chat after a seq. Where history is since_joined they begin with one's own
    joining. `next` is the last seq, null when the feed has caught up.

    Raises:
        NotFound: `chat_not_found`.
    """
    access = await access_to(reading, user, chat)
    after = max(after, access.floor - 1)
    return await _page(reading, {chat: access}, chat_stream(chat), after, limit)


async def of_user(
    reading: Reading, user: str, *, after: int = 0, limit: int = 50
) -> Listing[Event]:
    """The events of the user's own stream after a seq."""
    return await _page(reading, {}, user_stream(user), after, limit)


async def _page(
    reading: Reading, accesses: Mapping[str, Access], stream: str, after: int, limit: int
) -> Listing[Event]:
    [items] = await reading.scan(FEED, [Scan((stream,), above=after, limit=limit + 1)])
    events = await shown(reading, accesses, items[:limit])
    return Listing(items=events, next=events[-1].seq if len(items) > limit else None)


class Missed(NamedTuple):
    """What a client missed. `heads` are the streams it has now, with the seq of the last event of
    each. Where not all could be given, `recovered` is false and there are no events."""

    heads: dict[str, int]
    recovered: bool
    events: Sequence[Event]


async def missed(
    reading: Reading, user: str, places: Mapping[str, int] | None, most: int = 1000
) -> Missed:
    """What came after these places, a seq by stream, at most `most` events in all.

    Streams that the user has not, and those of the user that are not named, are passed over. The
    events of a stream come in their order.
    """
    accesses = {chat_stream(a.id): a for a in await access_to_all(reading, user)}
    own = user_stream(user)
    profile = (await reading.get(PROFILES, [(user,)])).get((user,))
    heads = {own: profile.seq if profile else 0}
    heads |= {stream: access.chat.seq for stream, access in accesses.items()}
    if places is None:
        return Missed(heads, recovered=False, events=())
    after = {stream: seq for stream, seq in places.items() if stream in heads}
    if any(seq > heads[stream] for stream, seq in after.items()):
        return Missed(heads, recovered=False, events=())
    for stream in after.keys() & accesses.keys():
        after[stream] = max(after[stream], accesses[stream].membership.joined - 1)
    # Without gaps in a stream, the heads say how much there is.
    if sum(heads[stream] - seq for stream, seq in after.items()) > most:
        return Missed(heads, recovered=False, events=())
    scans = [
        Scan((stream,), above=seq, below=heads[stream] + 1)
        for stream, seq in after.items()
        if seq < heads[stream]
    ]
    items = [item for answer in await reading.scan(FEED, scans) for item in answer]
    # Time never goes back within a stream, so its order stays.
    items.sort(key=lambda item: item.time)
    events = await shown(reading, {a.id: a for a in accesses.values()}, items)
    return Missed(heads, recovered=True, events=events)


async def shown(
    reading: Reading, accesses: Mapping[str, Access], items: Sequence[FeedItem]
) -> Sequence[Event]:
    """Events of several streams as one user sees them now.

    `accesses` names, by chat, every chat that the items are of; the user's own stream needs none.
    """
    unseen = await _unseen(reading, accesses, items)
    clear = await _opened(reading, [item for item in items if _place(item) not in unseen])
    return [_event(item, clear.get(_place(item))) for item in items]


class Told(NamedTuple):
    """An event as it is told to everyone in its stream: to those who may see the message that it is
    about, and to others. `redacted` is null where there is nothing that one may not see."""

    item: FeedItem
    event: Event
    redacted: Event | None


async def told(reading: Reading, items: Sequence[FeedItem]) -> Sequence[Told]:
    """Events of several streams for all who are in them now; what nobody may see any more is
    redacted for all. Who has hidden a message, or joined after it, is for the caller to know."""
    about = {_place(item): place for item in items if (place := _about(item)) is not None}
    messages = await reading.get(MESSAGES, set(about.values()))
    gone = {place for place, message in messages.items() if reading.gone(message)}
    clear = await _opened(reading, [item for item in items if about.get(_place(item)) not in gone])
    return [
        Told(
            item,
            _event(item, clear.get(_place(item))),
            _event(item, None) if _place(item) in about else None,
        )
        for item in items
    ]


async def _opened(
    reading: Reading, items: Sequence[FeedItem]
) -> dict[tuple[str, int], dict[str, Any]]:
    """The data of events with what is sealed in it opened, by stream and seq."""
    fields: list[dict[str, Any]] = [msgspec.json.decode(item.data) for item in items]
    sealed = [
        [name for name in SEALED_FIELDS.get(item.type, ()) if data.get(name) is not None]
        for item, data in zip(items, fields, strict=True)
    ]
    await reading.vault.load(
        reading.vault.key_ids(
            data[name] for data, names in zip(fields, sealed, strict=True) for name in names
        )
    )
    for item, data, names in zip(items, fields, sealed, strict=True):
        for name in names:
            value, erased = reading.vault.open(item.stream, item.command, name, data[name])
            data[name] = value
            if erased:
                data["erased"] = True
    return {_place(item): data for item, data in zip(items, fields, strict=True)}


def _place(item: FeedItem) -> tuple[str, int]:
    return item.stream, item.at


def _about(item: FeedItem) -> tuple[str, int] | None:
    """The message, by chat and seq, without which there is nothing to see in an event."""
    if item.message is None or item.type in _ENDINGS:
        return None
    return split_stream(item.stream)[1], item.message


def _event(item: FeedItem, data: dict[str, Any] | None) -> Event:
    return Event(
        stream=item.stream,
        seq=item.at,
        type=item.type,
        time=item.time,
        actor=item.actor,
        command=item.command,
        data=redact(item.data) if data is None else data,
        redacted=data is None,
    )


async def _unseen(
    reading: Reading, accesses: Mapping[str, Access], items: Iterable[FeedItem]
) -> set[tuple[str, int]]:
    """The events, by stream and seq, whose text is gone, or about a message which the user may not
    see."""
    about = {_place(item): place for item in items if (place := _about(item)) is not None}
    places = set(about.values())
    messages = await reading.get(MESSAGES, places)
    unseen = await hidden(reading, accesses, places)
    unseen |= {
        (message.chat, message.message)
        for message in messages.values()
        if reading.gone(message) or message.message < accesses[message.chat].floor
    }
    redacted = {(item.stream, item.at) for item in items if item.redacted}
    return redacted.union(event for event, place in about.items() if place in unseen)
