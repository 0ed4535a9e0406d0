"""The gateway's side of realtime: what connections here subscribe to, hear and pass on."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

import structlog

from domain.ids import chat_stream, user_stream
from gateway.contacts import Contacts
from gateway.ws.announcements import Announcements
from gateway.ws.catch_up import CatchUp
from gateway.ws.house import Connection, House
from gateway.ws.places import Place
from gateway.ws.showing import Showing
from projections.chats import MEMBERSHIPS
from projections.profiles import PROFILES
from projections.realtime.port import Publication, Realtime, RealtimeError
from projections.store.port import Scan, StoreError
from projections.views.access import access_to_all
from projections.views.circles import MAX_MEMBERS
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
        self._realtime = realtime
        self._settle = settle
        self._house = House(realtime.unsubscribe)
        self._catch_up = CatchUp(self, reading, settle)
        self._showing = Showing(self._house, reading, contacts, self._catch_up.need)
        self._announcements = Announcements(self._house, contacts)
        self._waiting: list[Publication] = []
        self._arrived = asyncio.Event()
        self._leaving: list[Publication] = []
        self._departing = asyncio.Event()
        self._interrupted = asyncio.Event()
        realtime.listen(self._take, self._interrupted.set)

    @property
    def connections(self) -> int:
        return self._house.connections_count

    def members_count(self, stream: str) -> int | None:
        """The number of members of a chat that someone connected here is in."""
        room = self._house.room(stream)
        return room.members_count if room is not None and room.open else None

    def is_member(self, user: str, stream: str) -> bool:
        """Whether a user connected here is in the chat."""
        return stream in self._house.rooms_of(user)

    def circle(self, user: str) -> list[str] | None:
        """The streams of a user's direct chats and small groups; None if they are not connected
        here."""
        if not self._house.connections(user):
            return None
        return [
            stream
            for stream in self._house.rooms_of(user)
            if (self.members_count(stream) or MAX_MEMBERS + 1) <= MAX_MEMBERS
        ]

    async def attach(self, connection: Connection) -> None:
        """Let a connection have all its user's streams from now on.

        What is published while this runs is shown to the connection as well; on return the read
        models hold everything published before.
        """
        user = connection.user
        with self._house.coming(connection) as changes:
            if not self._house.has_own(user):
                profiles = await self._reading().get(PROFILES, [(user,)])
                self._house.open_own(user, profiles[(user,)].seq if profiles else 0)
            await self._realtime.subscribe([user_stream(user)])
            await self._settle()
            for access in await access_to_all(self._reading(), user):
                stream = chat_stream(access.id)
                if changes.get(stream, 0) <= access.membership.seq:
                    self._house.seat(stream, access)
            await self._realtime.subscribe(self._house.rooms_of(user))
            # What was published before the subscriptions stood is waited for, not missed.
            await self._settle()

    def detach(self, connection: Connection) -> None:
        self._house.leave(connection)

    async def publish(self, publication: Publication) -> None:
        """Pass on what is no event: typing. Nobody waits for it, and it may be lost."""
        if len(self._leaving) < MAX_LEAVING:
            self._leaving.append(publication)
            self._departing.set()

    async def run(self) -> None:
        """Show publications until cancelled."""
        async with asyncio.TaskGroup() as group:
            for work in (
                self._show_all(),
                self._pass_on(),
                self._recover(),
                self._catch_up.run(),
                self._announcements.run(),
            ):
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
            self._showing.take_membership(published)
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
            for stream in self._house.streams:
                self._catch_up.need(stream)
            users = self._house.users
            try:
                await self._settle()
                for start in range(0, len(users), USERS_AT_ONCE):
                    some = users[start : start + USERS_AT_ONCE]
                    scans = [Scan(equal=(user,), along="by_user") for user in some]
                    for memberships in await self._reading().scan(MEMBERSHIPS, scans):
                        for membership in memberships:
                            self._invite(membership.user, chat_stream(membership.chat))
            except Exception as error:
                log.warning("recovery_waits", error=repr(error))
                await asyncio.sleep(RETRY)
                self._interrupted.set()

    def _invite(self, user: str, stream: str) -> None:
        if not self.is_member(user, stream) and self._house.invite(user, stream):
            self._catch_up.need(stream)

    def _take(self, publications: Sequence[Publication]) -> None:
        if self._house.empty:
            return
        for published in publications:
            if published.kind in ("presence", "profile"):
                self._announcements.hear(published)
            else:
                self._waiting.append(published)
        self._arrived.set()
        if len(self._waiting) > MAX_WAITING:
            self._waiting.clear()
            self._lose(self._house.users)

    def _lose(self, users: Iterable[str]) -> None:
        for connection in [c for user in users for c in self._house.connections(user)]:
            connection.lost()

    def place(self, stream: str) -> Place | None:
        return self._house.place(stream)

    async def hear(self, streams: Iterable[str]) -> None:
        await self._realtime.subscribe(streams)

    def lose(self, stream: str) -> None:
        """Too much was missed to be shown: those who have the stream are to resume."""
        self._lose(self._house.users_of(stream))

    def tidy(self, stream: str, place: Place) -> None:
        """Forget a room into which nobody came."""
        self._house.tidy(stream, place)

    async def show(self, batch: Sequence[Publication]) -> None:
        """Show publications to those who may see them, each event in its turn."""
        await self._showing.show(batch)
