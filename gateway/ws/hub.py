"""Who is connected here, and which connection is shown which publication."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

import structlog

from domain.ids import chat_stream, split_stream, user_stream
from gateway.contacts import Contacts
from gateway.ws import traffic
from gateway.ws.catch_up import CatchUp
from gateway.ws.places import Place, Room
from gateway.ws.receipts import newly_covered
from projections.chats import MEMBERSHIPS
from projections.hidden import HIDDEN
from projections.profiles import PROFILES
from projections.realtime.port import Publication, Realtime, RealtimeError
from projections.store.port import Scan, StoreError
from projections.views.access import access_to_all
from projections.views.reading import Reading

log = structlog.get_logger()

#: Publications waiting to be shown; past that every connection has lost its place.
MAX_WAITING = 50_000
#: Publications of this gateway waiting to be passed on.
MAX_LEAVING = 1_000
#: Users whose chats are looked up at once after an interruption.
USERS_AT_ONCE = 500
#: Seconds between attempts while the log or the store does not answer.
RETRY = 0.5
#: In chats above this size a receipt goes only to the senders of what it newly covers.
RECEIPTS_TO_ALL = 50
REMEMBERED_HIDDEN = 20_000
#: Deliveries before other work has its turn.
TURN = 256


class Connection(Protocol):
    """What the hub needs of a connection."""

    @property
    def user(self) -> str: ...

    def event(self, published: Publication, frame: bytes) -> None: ...
    def joined(self, stream: str, seq: int) -> None: ...
    def left(self, stream: str) -> None: ...
    def show(self, frame: bytes) -> None: ...
    def lost(self) -> None: ...
    def banned(self, code: str) -> None: ...


class Hub:
    def __init__(
        self,
        reading: Callable[[], Reading],
        realtime: Realtime,
        settle: Callable[[], Awaitable[None]],
        contacts: Contacts,
    ) -> None:
        """`reading` is for one answer; `settle` returns once the read models hold all that was in
        the log when it was called."""
        self._reading = reading
        self._contacts = contacts
        self._realtime = realtime
        self._settle = settle
        self._catch_up = CatchUp(self, reading, settle)
        self._users: dict[str, set[Connection]] = {}
        self._own: dict[str, Place] = {}
        self._rooms: dict[str, Room] = {}
        self._rooms_of: dict[str, set[str]] = {}
        self._changes: dict[str, list[dict[str, int]]] = {}
        self._hidden: OrderedDict[tuple[str, int], set[str]] = OrderedDict()
        self._waiting: list[Publication] = []
        self._arrived = asyncio.Event()
        self._leaving: list[Publication] = []
        self._departing = asyncio.Event()
        self._interrupted = asyncio.Event()
        realtime.listen(self._take, self._interrupted.set)

    @property
    def connections(self) -> int:
        return sum(map(len, self._users.values()))

    def members_count(self, stream: str) -> int | None:
        """The number of members of a chat that someone connected here is in."""
        room = self._rooms.get(stream)
        return room.members_count if room is not None and room.open else None

    def is_member(self, user: str, stream: str) -> bool:
        """Whether a user connected here is in the chat."""
        return stream in self._rooms_of.get(user, ())

    async def attach(self, connection: Connection) -> None:
        """Let a connection have all its user's streams from now on.

        What is published while this runs is shown to the connection as well; on return the read
        models hold everything published before.
        """
        user = connection.user
        self._users.setdefault(user, set()).add(connection)
        # From here on changes of membership are noted, for the scan below may not show them yet.
        changes: dict[str, int] = {}
        self._changes.setdefault(user, []).append(changes)
        own = user_stream(user)
        try:
            if own not in self._own:
                profiles = await self._reading().get(PROFILES, [(user,)])
                seq = profiles[(user,)].seq if profiles else 0
                self._own.setdefault(own, Place(seq))
            await self._realtime.subscribe([own])
            await self._settle()
            for access in await access_to_all(self._reading(), user):
                stream = chat_stream(access.id)
                if changes.get(stream, 0) <= access.membership.seq:
                    room = self._rooms.setdefault(stream, Room())
                    room.enter(user, access.membership.joined, access.chat)
                    self._rooms_of.setdefault(user, set()).add(stream)
            await self._realtime.subscribe(self._rooms_of.get(user, ()))
            # What was published before the subscriptions stood is waited for, not missed.
            await self._settle()
        finally:
            self._changes[user].remove(changes)
            if not self._changes[user]:
                del self._changes[user]

    def detach(self, connection: Connection) -> None:
        user = connection.user
        connections = self._users.get(user)
        if connections is None:
            return
        connections.discard(connection)
        if not connections:
            del self._users[user]
            for stream in self._rooms_of.pop(user, set()):
                self._drop(user, stream)
            self._own.pop(user_stream(user), None)
            self._realtime.unsubscribe([user_stream(user)])

    async def publish(self, publication: Publication) -> None:
        """Pass on what is no event: typing. Nobody waits for it, and it may be lost."""
        if len(self._leaving) < MAX_LEAVING:
            self._leaving.append(publication)
            self._departing.set()

    async def run(self) -> None:
        """Show publications until cancelled."""
        async with asyncio.TaskGroup() as group:
            for work in (self._show_all(), self._pass_on(), self._recover(), self._catch_up.run()):
                group.create_task(work)

    async def _show_all(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            batch, self._waiting = self._waiting, []
            try:
                await self.show(batch)
            except StoreError as error:
                log.warning("publications_wait", error=str(error))
                for published in batch:
                    self._put_by(published)

    def _put_by(self, published: Publication) -> None:
        place = self.place(published.channel)
        if published.kind == "membership":
            self._take_membership(published)
        elif published.kind == "event" and place is not None:
            place.put_by(published)
            self._catch_up.need(published.channel)

    async def _pass_on(self) -> None:
        while True:
            await self._departing.wait()
            self._departing.clear()
            batch, self._leaving = self._leaving, []
            try:
                await self._realtime.publish(batch)
            except RealtimeError as error:
                log.warning("publications_lost", error=str(error))

    async def _recover(self) -> None:
        """After an interruption see what was missed: events, and being let into chats."""
        while True:
            await self._interrupted.wait()
            self._interrupted.clear()
            for stream in (*self._own, *self._rooms):
                self._catch_up.need(stream)
            users = list(self._users)
            try:
                await self._settle()
                for start in range(0, len(users), USERS_AT_ONCE):
                    some = users[start : start + USERS_AT_ONCE]
                    scans = [Scan(equal=(user,), along="by_user") for user in some]
                    for memberships in await self._reading().scan(MEMBERSHIPS, scans):
                        for membership in memberships:
                            stream = chat_stream(membership.chat)
                            if stream not in self._rooms_of.get(membership.user, ()):
                                self._invite(membership.user, stream)
            except Exception as error:
                log.warning("recovery_waits", error=repr(error))
                await asyncio.sleep(RETRY)
                self._interrupted.set()

    def _take(self, publications: Sequence[Publication]) -> None:
        if not self._users:
            return
        self._waiting.extend(publications)
        self._arrived.set()
        if len(self._waiting) > MAX_WAITING:
            self._waiting.clear()
            self._lose_all()

    def _lose_all(self) -> None:
        for connection in [c for connections in self._users.values() for c in connections]:
            connection.lost()

    def place(self, stream: str) -> Place | None:
        return self._rooms.get(stream) or self._own.get(stream)

    async def hear(self, streams: Iterable[str]) -> None:
        await self._realtime.subscribe(streams)

    def lose(self, stream: str) -> None:
        """Too much was missed to be shown: those who have the stream are to resume."""
        room = self._rooms.get(stream)
        users = (split_stream(stream)[1],) if room is None else room.floors.keys() | room.invited
        for connection in [c for user in users for c in self._users.get(user, ())]:
            connection.lost()

    def tidy(self, stream: str, place: Place) -> None:
        """Forget a room into which nobody came."""
        room = self._rooms.get(stream)
        if room is not None and room is place and room.open and not room.has_hole:
            room.invited.clear()
        if room is not None and room is place and not room.invited:
            self._close_if_empty(stream, room)

    async def show(self, batch: Sequence[Publication]) -> None:
        """Show publications to those who may see them, each event in its turn."""
        hidden = await self._hidden_by(batch)
        # Where one of two has blocked the other, typing and receipts don't pass.
        apart = await self._contacts.apart(
            {
                p.channel
                for p in batch
                if p.kind in ("typing", "receipt") and self.members_count(p.channel) == 2
            }
        )
        shown = 0
        for published in batch:
            room = self._rooms.get(published.channel)
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
                    self._take_membership(published)
                case _:
                    self._show_to_members(published, published.user)

    def _show_event(self, published: Publication, hidden: dict[tuple[str, int], set[str]]) -> None:
        stream = published.channel
        room = self._rooms.get(stream)
        place = self._own.get(stream) if room is None else room
        if place is None:
            return
        if not place.take(published):
            if place.has_hole:
                self._catch_up.need(stream)
            return
        if published.traceparent:
            traffic.delivered(published)
        if room is None:
            user = split_stream(stream)[1]
            self._note(published, user)
            for connection in tuple(self._users.get(user, ())):
                connection.event(published, published.frame)
            return
        if published.type in ("chat.created", "member.added"):
            self._let_in(published, room)
        unseen = hidden.get((stream, published.message), set()) if published.message else set()
        for user, floor in room.floors.items():
            frame = published.frame
            if (
                published.message is not None
                and published.redacted is not None
                and (published.message < floor or user in unseen)
            ):
                frame = published.redacted
            for connection in tuple(self._users.get(user, ())):
                connection.event(published, frame)
        if published.type == "member.removed":
            room.count(published.seq, -1)
            self._let_out(published)

    def _take_membership(self, published: Publication) -> None:
        user, stream = split_stream(published.channel)[1], chat_stream(published.chat)
        self._note_change(user, stream, published.seq)
        belongs = stream in self._rooms_of.get(user, ())
        if belongs == (published.type == "member.removed"):
            self._invite(user, stream)

    def _invite(self, user: str, stream: str) -> None:
        """Someone was let into a chat, or out; what does not come by itself is in the feed."""
        if user in self._users:
            self._rooms.setdefault(stream, Room()).invited.add(user)
            self._catch_up.need(stream)

    def _note_change(self, user: str, stream: str, seq: int) -> None:
        for changes in self._changes.get(user, ()):
            changes[stream] = max(seq, changes.get(stream, 0))

    def _let_in(self, published: Publication, room: Room) -> None:
        stream, seq = published.channel, published.seq
        if published.type == "member.added":
            room.count(seq, 1)
        for user in published.touches:
            room.invited.discard(user)
            if user not in self._users:
                continue
            self._note_change(user, stream, seq)
            room.floors[user] = seq if room.since_joined else 0
            self._rooms_of.setdefault(user, set()).add(stream)
            for connection in tuple(self._users[user]):
                connection.joined(stream, seq - 1)

    def _let_out(self, published: Publication) -> None:
        stream = published.channel
        for user in published.touches:
            self._note_change(user, stream, published.seq)
            self._rooms_of.get(user, set()).discard(stream)
            self._drop(user, stream)
            for connection in tuple(self._users.get(user, ())):
                connection.left(stream)

    def _drop(self, user: str, stream: str) -> None:
        room = self._rooms.get(stream)
        if room is not None:
            room.floors.pop(user, None)
            if not room.invited:
                self._close_if_empty(stream, room)

    def _close_if_empty(self, stream: str, room: Room) -> None:
        if not room.floors:
            del self._rooms[stream]
            self._realtime.unsubscribe([stream])

    def _note(self, published: Publication, user: str) -> None:
        if published.message is not None and user in self._users:
            place = (chat_stream(published.chat), published.message)
            self._hidden.setdefault(place, set()).add(user)
            while len(self._hidden) > REMEMBERED_HIDDEN:
                self._hidden.popitem(last=False)
        if published.type in ("user.suspended", "user.erased"):
            code = "suspended" if published.type == "user.suspended" else "user_erased"
            for connection in tuple(self._users.get(user, ())):
                connection.banned(code)

    async def _hidden_by(self, batch: Iterable[Publication]) -> dict[tuple[str, int], set[str]]:
        """Who has hidden each message that the batch's events are about."""
        about = {
            (p.channel, p.message)
            for p in batch
            if p.message is not None and p.channel in self._rooms
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
        room = self._rooms.get(published.channel)
        if room is None:
            return
        if room.members_count <= RECEIPTS_TO_ALL:
            self._show_to_members(published, published.user)
            return
        for user in await newly_covered(self._reading(), published):
            if user != published.user and user in room.floors:
                for connection in tuple(self._users.get(user, ())):
                    connection.show(published.frame)

    def _show_to_members(self, published: Publication, but: str) -> None:
        room = self._rooms.get(published.channel)
        if room is None:
            return
        for user in room.floors:
            if user != but:
                for connection in tuple(self._users.get(user, ())):
                    connection.show(published.frame)
