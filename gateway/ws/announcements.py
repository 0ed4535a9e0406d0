"""What people tell of themselves, presence and profiles, as those in their chats are shown it."""

import asyncio
from collections.abc import Sequence

import structlog

from gateway.contacts import Contacts
from gateway.ws.house import House
from projections.realtime.port import Publication
from projections.store.port import StoreError

log = structlog.get_logger()

#: Seconds between two frames of one kind about one person.
APART = 5.0
#: Seconds for which it is known what was last shown of a person, so as not to show it again.
KNOWN = 15.0
#: Publications waiting to be shown; further ones are lost.
MAX_WAITING = 50_000
#: People of whom that is known; of others nothing is shown meanwhile.
MAX_RECENT = 20_000
#: Publications shown in one go.
AT_ONCE = 200
#: Deliveries before other work has its turn.
TURN = 256


class _News:
    """The last that was shown of someone, to whom, and what is to be shown next.

    Each comes once for every chat that they share with anybody here, under one seq. While `held`
    nothing else is shown.
    """

    __slots__ = ("frame", "held", "later", "seq", "told")

    def __init__(self, published: Publication) -> None:
        self.seq = published.seq
        self.frame = published.frame
        self.told: set[str] = set()
        self.held = True
        self.later: list[Publication] = []

    def put_by(self, published: Publication) -> None:
        """Keep what is newer than all else."""
        newest = self.later[0].seq if self.later else self.seq
        if published.seq > newest:
            self.later.clear()
        if published.seq >= newest:
            self.later.append(published)

    def release(self) -> list[Publication]:
        """What is to be shown next, unless it is what was shown last."""
        self.held = False
        later, self.later = self.later, []
        if later and later[0].frame == self.frame:
            self.seq = later[0].seq
            return []
        return later


class Announcements:
    """Each viewer is shown it once, whatever the number of shared chats, and of one person at most
    once in 5 s; the last wins. Between two of whom one has blocked the other presence does not
    pass."""

    def __init__(self, house: House, contacts: Contacts) -> None:
        self._house = house
        self._contacts = contacts
        self._recent: dict[tuple[str, str], _News] = {}
        self._waiting: list[Publication] = []
        self._arrived = asyncio.Event()

    def hear(self, published: Publication) -> None:
        """Show this in its turn."""
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append(published)
            self._arrived.set()

    async def run(self) -> None:
        """Show until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            batch, self._waiting = self._waiting, []
            for start in range(0, len(batch), AT_ONCE):
                try:
                    await self._show(batch[start : start + AT_ONCE])
                except StoreError as error:
                    log.warning("announcements_lost", error=str(error))

    async def _show(self, batch: Sequence[Publication]) -> None:
        shows = [(p, viewers) for p in batch if (viewers := self._viewers(p))]
        pairs = {(p.user, v) for p, viewers in shows if p.kind == "presence" for v in viewers}
        apart = await self._contacts.blocked(pairs)
        shown = 0
        for published, viewers in shows:
            for viewer in viewers:
                if (published.user, viewer) in apart and published.kind == "presence":
                    continue
                for connection in self._house.connections(viewer):
                    connection.show(published.frame)
            shown += len(viewers)
            if shown > TURN:
                shown = 0
                await asyncio.sleep(0)

    def _viewers(self, published: Publication) -> list[str]:
        """Who is to be shown this now."""
        room = self._house.room(published.channel)
        if room is None:
            return []
        place = (published.kind, published.user)
        news = self._recent.get(place)
        if news is None or (
            not news.held and published.seq > news.seq and published.frame != news.frame
        ):
            if news is None and len(self._recent) >= MAX_RECENT:
                return []
            news = self._recent[place] = _News(published)
            asyncio.get_running_loop().call_later(APART, self._release, place, news)
        elif published.frame == news.frame and not news.later:
            news.seq = max(news.seq, published.seq)
        elif published.seq != news.seq:
            news.put_by(published)
            return []
        viewers = [u for u in room.floors if u != published.user and u not in news.told]
        news.told.update(viewers)
        return viewers

    def _release(self, place: tuple[str, str], news: _News) -> None:
        for published in news.release():
            self.hear(published)
        asyncio.get_running_loop().call_later(KNOWN - APART, self._forget, place, news)

    def _forget(self, place: tuple[str, str], news: _News) -> None:
        if self._recent.get(place) is news:
            del self._recent[place]
