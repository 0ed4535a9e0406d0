"""Who is connected here, and which chats they are in."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from domain.ids import split_stream, user_stream
from gateway.ws.places import Place, Room
from projections.realtime.port import Publication
from projections.views.access import Access


class Connection(Protocol):
    """What is told to a connection."""

    @property
    def user(self) -> str: ...

    def event(self, published: Publication, frame: bytes) -> None: ...
    def joined(self, stream: str, seq: int) -> None: ...
    def left(self, stream: str) -> None: ...
    def show(self, frame: bytes) -> None: ...
    def lost(self) -> None: ...
    def banned(self, code: str) -> None: ...


class House:
    def __init__(self, closed: Callable[[Sequence[str]], None]) -> None:
        """`closed` is told of streams that nobody here has any more."""
        self._closed = closed
        self._users: dict[str, set[Connection]] = {}
        self._own: dict[str, Place] = {}
        self._rooms: dict[str, Room] = {}
        self._rooms_of: dict[str, set[str]] = {}
        self._changes: dict[str, list[dict[str, int]]] = {}

    @property
    def empty(self) -> bool:
        return not self._users

    @property
    def connections_count(self) -> int:
        return sum(map(len, self._users.values()))

    @property
    def users(self) -> list[str]:
        return list(self._users)

    @property
    def streams(self) -> list[str]:
        return [*self._own, *self._rooms]

    def connections(self, user: str) -> tuple[Connection, ...]:
        return tuple(self._users.get(user, ()))

    def place(self, stream: str) -> Place | None:
        return self._rooms.get(stream) or self._own.get(stream)

    def room(self, stream: str) -> Room | None:
        return self._rooms.get(stream)

    def rooms_of(self, user: str) -> Iterable[str]:
        """The chats that a user connected here is in."""
        return self._rooms_of.get(user, ())

    def users_of(self, stream: str) -> Iterable[str]:
        """Those here who have the stream, or are about to have it."""
        room = self._rooms.get(stream)
        return (split_stream(stream)[1],) if room is None else room.floors.keys() | room.invited

    @contextmanager
    def coming(self, connection: Connection) -> Iterator[dict[str, int]]:
        """A connection comes in. Until it is in, the changes of its user's memberships are noted:
        what is read meanwhile may not show them yet."""
        user = connection.user
        self._users.setdefault(user, set()).add(connection)
        changes: dict[str, int] = {}
        self._changes.setdefault(user, []).append(changes)
        try:
            yield changes
        finally:
            self._changes[user].remove(changes)
            if not self._changes[user]:
                del self._changes[user]

    def has_own(self, user: str) -> bool:
        return user_stream(user) in self._own

    def open_own(self, user: str, seq: int) -> None:
        self._own.setdefault(user_stream(user), Place(seq))

    def seat(self, stream: str, access: Access) -> None:
        """A member of a chat has come in."""
        room = self._rooms.setdefault(stream, Room())
        room.enter(access.user, access.membership.joined, access.chat)
        self._rooms_of.setdefault(access.user, set()).add(stream)

    def leave(self, connection: Connection) -> None:
        """A connection has gone."""
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
            self._closed([user_stream(user)])

    def changed(self, user: str, stream: str, seq: int) -> None:
        """An event let a user into a chat, or out."""
        for changes in self._changes.get(user, ()):
            changes[stream] = max(seq, changes.get(stream, 0))

    def invite(self, user: str, stream: str) -> bool:
        """Someone is let into a chat, or out, by an event yet to come; false if they are not
        here."""
        if user not in self._users:
            return False
        self._rooms.setdefault(stream, Room()).invited.add(user)
        return True

    def let_in(self, users: Iterable[str], stream: str, seq: int, room: Room) -> None:
        """An event of the chat lets users in."""
        for user in users:
            room.invited.discard(user)
            if user not in self._users:
                continue
            self.changed(user, stream, seq)
            room.floors[user] = seq if room.since_joined else 0
            self._rooms_of.setdefault(user, set()).add(stream)
            for connection in self.connections(user):
                connection.joined(stream, seq - 1)

    def let_out(self, users: Iterable[str], stream: str, seq: int) -> None:
        """An event of the chat lets users out."""
        for user in users:
            self.changed(user, stream, seq)
            self._rooms_of.get(user, set()).discard(stream)
            self._drop(user, stream)
            for connection in self.connections(user):
                connection.left(stream)

    def tidy(self, stream: str, place: Place) -> None:
        """Forget a room into which nobody came."""
        room = self._rooms.get(stream)
        if room is not None and room is place and room.open and not room.has_hole:
            room.invited.clear()
        if room is not None and room is place and not room.invited:
            self._close_if_empty(stream, room)

    def _drop(self, user: str, stream: str) -> None:
        room = self._rooms.get(stream)
        if room is not None:
            room.floors.pop(user, None)
            if not room.invited:
                self._close_if_empty(stream, room)

    def _close_if_empty(self, stream: str, room: Room) -> None:
        if not room.floors:
            del self._rooms[stream]
            self._closed([stream])
