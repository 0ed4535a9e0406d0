"""Which connection is shown which publication."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from domain.ids import chat_stream, split_stream
from gateway.contacts import Contacts
from gateway.ws import traffic
from gateway.ws.house import House
from gateway.ws.places import Room
from gateway.ws.receipts import newly_covered
from projections.hidden import HIDDEN
from projections.realtime.port import Publication
from projections.store.port import Scan
from projections.views.reading import Reading

#: In chats above this size a receipt goes only to the senders of what it newly covers.
RECEIPTS_TO_ALL = 50
REMEMBERED_HIDDEN = 20_000
#: Deliveries before other work has its turn.
TURN = 256


class Showing:
    def __init__(
        self,
        house: House,
        reading: Callable[[], Reading],
        contacts: Contacts,
        need: Callable[[str], None],
    ) -> None:
        """`need` is told of streams that have more than was published."""
        self._house = house
        self._reading = reading
        self._contacts = contacts
        self._need = need
        self._hidden: OrderedDict[tuple[str, int], set[str]] = OrderedDict()

    async def show(self, batch: Sequence[Publication]) -> None:
        """Show publications to those who may see them, each event in its turn."""
        hidden = await self._hidden_by(batch)
        # Where one of two has blocked the other, typing and receipts don't pass.
        apart = await self._contacts.apart(
            {
                p.channel
                for p in batch
                if p.kind in ("typing", "receipt")
                and (room := self._house.room(p.channel)) is not None
                and room.open
                and room.members_count == 2
            }
        )
        shown = 0
        for published in batch:
            room = self._house.room(published.channel)
            shown += 1 if room is None else len(room.floors)
            if shown > TURN:
                shown = 0
                await asyncio.sleep(0)
            match published.kind:
                case "event":
                    self._show_event(published, hidden)
                case "typing" | "receipt" if published.channel in apart:
                    pass
                case "receipt":
                    await self._show_receipt(published)
                case "membership":
                    self.take_membership(published)
                case _:
                    self._show_to_members(published, published.user)

    def take_membership(self, published: Publication) -> None:
        """Someone was let into a chat, or out; what does not come by itself is in the feed."""
        user, stream = split_stream(published.channel)[1], chat_stream(published.chat)
        self._house.changed(user, stream, published.seq)
        belongs = stream in self._house.rooms_of(user)
        if belongs == (published.type == "member.removed") and self._house.invite(user, stream):
            self._need(stream)

    def _show_event(self, published: Publication, hidden: dict[tuple[str, int], set[str]]) -> None:
        stream = published.channel
        place = self._house.place(stream)
        if place is None:
            return
        if not place.take(published):
            if place.has_hole:
                self._need(stream)
            return
        if published.traceparent:
            traffic.delivered(published)
        if not isinstance(place, Room):
            user = split_stream(stream)[1]
            self._note(published, user)
            for connection in self._house.connections(user):
                connection.event(published, published.frame)
            return
        if published.type == "member.added":
            place.count(published.seq, 1)
        if published.type in ("chat.created", "member.added"):
            self._house.let_in(published.touches, stream, published.seq, place)
        unseen = hidden.get((stream, published.message), set()) if published.message else set()
        for user, floor in place.floors.items():
            frame = published.frame
            if (
                published.message is not None
                and published.redacted is not None
                and (published.message < floor or user in unseen)
            ):
                frame = published.redacted
            for connection in self._house.connections(user):
                connection.event(published, frame)
        if published.type == "member.removed":
            place.count(published.seq, -1)
            self._house.let_out(published.touches, stream, published.seq)

    def _note(self, published: Publication, user: str) -> None:
        connections = self._house.connections(user)
        if published.message is not None and connections:
            place = (chat_stream(published.chat), published.message)
            self._hidden.setdefault(place, set()).add(user)
            while len(self._hidden) > REMEMBERED_HIDDEN:
                self._hidden.popitem(last=False)
        if published.type in ("user.suspended", "user.erased"):
            code = "suspended" if published.type == "user.suspended" else "user_erased"
            for connection in connections:
                connection.banned(code)

    async def _hidden_by(self, batch: Iterable[Publication]) -> dict[tuple[str, int], set[str]]:
        """Who has hidden each message that the batch's events are about."""
        about = {
            (p.channel, p.message)
            for p in batch
            if p.message is not None and self._house.room(p.channel) is not None
        }
        if not about:
            return {}
        asked = sorted(about)
        scans = [
            Scan(equal=(split_stream(stream)[1], message), along="by_message")
            for stream, message in asked
        ]
        found = await self._reading().scan(HIDDEN, scans)
        hidden = {
            place: {document.user for document in documents}
            for place, documents in zip(asked, found, strict=True)
        }
        for place, users in hidden.items():
            users |= self._hidden.get(place, set())
        return hidden

    async def _show_receipt(self, published: Publication) -> None:
        room = self._house.room(published.channel)
        if room is None:
            return
        if room.members_count <= RECEIPTS_TO_ALL:
            self._show_to_members(published, published.user)
            return
        for user in await newly_covered(self._reading(), published):
            if user != published.user and user in room.floors:
                for connection in self._house.connections(user):
                    connection.show(published.frame)

    def _show_to_members(self, published: Publication, but: str) -> None:
        room = self._house.room(published.channel)
        if room is None:
            return
        for user in room.floors:
            if user != but:
                for connection in self._house.connections(user):
                    connection.show(published.frame)
