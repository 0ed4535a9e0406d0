"""Reads from the feed what realtime did not bring."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol

import msgspec
import structlog

from domain.ids import chat_stream, split_stream, user_stream
from gateway.ws import frames
from gateway.ws.places import Place, Room
from projections.chats import CHATS, MEMBERSHIPS
from projections.feed import FEED
from projections.profiles import PROFILES
from projections.realtime.port import Publication
from projections.store.port import Scan
from projections.views import feeds
from projections.views.reading import Reading

log = structlog.get_logger()

#: Events that a stream may have missed; whoever misses more resumes.
MAX_MISSED = 1000
#: Events read at once.
ROUND = 1000
#: Seconds between attempts while the log or the store does not answer.
RETRY = 0.5


class Screen(Protocol):
    """Where it goes, and what is there."""

    def place(self, stream: str) -> Place | None: ...
    async def hear(self, streams: Iterable[str]) -> None: ...
    async def show(self, batch: Sequence[Publication]) -> None: ...
    def lose(self, stream: str) -> None: ...
    def tidy(self, stream: str, place: Place) -> None: ...


class CatchUp:
    def __init__(
        self,
        screen: Screen,
        reading: Callable[[], Reading],
        settle: Callable[[], Awaitable[None]],
    ) -> None:
        self._screen = screen
        self._reading = reading
        self._settle = settle
        self._behind: set[str] = set()
        self._wanted = asyncio.Event()

    def need(self, stream: str) -> None:
        """Show what this stream has more than was shown."""
        self._behind.add(stream)
        self._wanted.set()

    async def run(self) -> None:
        """Catch up until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._behind:
                # What is asked for from here on is not answered by what is read now.
                behind, self._behind = self._behind, set()
                try:
                    self._behind |= await self._round(behind)
                except Exception as error:
                    # Whatever it is, what is behind stays so: it may be late, but not left out.
                    log.warning("catching_up_waits", error=repr(error))
                    self._behind |= behind
                    await asyncio.sleep(RETRY)

    async def _round(self, streams: Iterable[str]) -> set[str]:
        """Go on with these streams; those that have still more to show."""
        places = {s: place for s in streams if (place := self._screen.place(s)) is not None}
        heard = {stream: place.heard for stream, place in places.items()}
        # First to hear what comes, then to read what has come: between the two nothing is lost.
        await self._screen.hear(places)
        await self._settle()
        heads = await self._heads(places)
        after: dict[str, int] = {}
        more: set[str] = set()
        free = ROUND
        for stream, head in heads.items():
            place = places[stream]
            missing = head - place.shown
            if missing > MAX_MISSED:
                self._screen.lose(stream)
                place.shown = head
            elif missing > free:
                more.add(stream)
            elif missing > 0:
                free -= missing
                after[stream] = place.shown
        await self._screen.show(await self._missed(after, heads))
        turn: list[Publication] = []
        for stream in places.keys() - more:
            place = places[stream]
            # All that had been heard is in the read models by now, unless the stream has stopped.
            if place.shown < heard[stream] and heads.get(stream, heard[stream]) < heard[stream]:
                place.skip()
            turn += place.turn()
        if turn:
            await self._screen.show(turn)
        for stream in places.keys() - more:
            if places[stream].has_hole:
                more.add(stream)
            self._screen.tidy(stream, places[stream])
        return more

    async def _heads(self, places: Mapping[str, Place]) -> dict[str, int]:
        """The seq of the last event of each stream that can be shown; opens rooms."""
        reading = self._reading()
        names = [split_stream(stream) for stream in places]
        chats = await reading.get(CHATS, [(name,) for kind, name in names if kind == "chats"])
        users = await reading.get(PROFILES, [(name,) for kind, name in names if kind == "users"])
        heads = {user_stream(profile.user): profile.seq for profile in users.values()}
        rooms = {
            split_stream(stream)[1]: place
            for stream, place in places.items()
            if isinstance(place, Room)
        }
        asked = [(u, chat) for chat, room in rooms.items() if not room.open for u in room.invited]
        joined: dict[str, list[int]] = {}
        for membership in (await reading.get(MEMBERSHIPS, asked)).values():
            if membership.present:
                joined.setdefault(membership.chat, []).append(membership.joined)
        for name, room in rooms.items():
            chat = chats.get((name,))
            if chat is None:
                room.invited.clear()
            elif room.open or room.admit(chat, joined.get(name, ())):
                heads[chat_stream(name)] = chat.seq
        return heads

    async def _missed(
        self, after: Mapping[str, int], heads: Mapping[str, int]
    ) -> list[Publication]:
        reading = self._reading()
        scans = [
            Scan((stream,), above=seq, below=heads[stream] + 1) for stream, seq in after.items()
        ]
        items = [item for answer in await reading.scan(FEED, scans) for item in answer]
        return [_published(told) for told in await feeds.told(reading, items)]


def _published(told: feeds.Told) -> Publication:
    """The event as it would have come through realtime."""
    item, redacted = told.item, told.redacted
    fields = msgspec.json.decode(item.data)
    touches: tuple[str, ...] = ()
    message, chat = None, ""
    match item.type:
        case "chat.created":
            touches = tuple(fields["members"])
        case "member.added" | "member.removed":
            touches = (fields["user"],)
        case "message.hidden":
            message, chat = fields["message"], fields["chat"]
    if redacted is not None:
        message = item.message
    return Publication(
        channel=item.stream,
        kind="event",
        frame=frames.event(told.event),
        redacted=None if redacted is None else frames.event(redacted),
        seq=item.at,
        type=item.type,
        message=message,
        chat=chat,
        touches=touches,
        command=item.command,
        digest=item.digest,
        time=item.time,
        ordinal=fields["ordinal"] if item.type == "message.sent" else None,
    )
