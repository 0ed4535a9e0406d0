"""The users, chats and connections of one run."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import jwt
import msgspec

from benchmarks import Stop, rest
from benchmarks.client import Connection, Frame, connect

_TOKEN_S = 86_400
_WELCOME_S = 30.0
_POLL_S = 0.05

T = TypeVar("T")


class User(msgspec.Struct, frozen=True):
    id: str
    token: str


class Stage:
    """Keeps the first thing that went wrong on any connection and raises it from `until`."""

    def __init__(self, url: str, secret: str) -> None:
        self.url = url
        self._secret = secret
        self._run = secrets.token_hex(4)
        self._connections: list[Connection] = []
        self._failure: Stop | None = None

    async def users(self, names: Iterable[str]) -> list[User]:
        """Registered and visible to everyone; their ids are unique to this run."""
        users = [self._user(name) for name in names]

        async def register(server: rest.Rest, user: User) -> None:
            made = await server.call("PUT", "/v1/me", user.token, {"name": user.id})
            await server.call("GET", "/v1/me", user.token, position=_position(made))

        await self.each(users, register)
        return users

    async def chats(self, kind: str, groups: Iterable[Sequence[User]]) -> list[str]:
        """The ids of new chats, made by the first of each group and visible to it."""
        found: dict[int, str] = {}

        async def make(server: rest.Rest, job: tuple[int, Sequence[User]]) -> None:
            place, members = job
            body: dict[str, object] = {"kind": kind, "members": [one.id for one in members]}
            if kind == "group":
                body["name"] = f"benchmark {place}"
            made = await server.call("POST", "/v1/chats", members[0].token, body)
            chat = msgspec.json.decode(made.body)["id"]
            path = f"/v1/chats/{chat}"
            await server.call("GET", path, members[0].token, position=_position(made))
            found[place] = chat

        await self.each(enumerate(groups), make)
        return [found[place] for place in sorted(found)]

    async def connect(
        self, user: User, chat: str, hear: Callable[[Frame, float], None]
    ) -> Connection:
        """Returns when the connection is told of the chat."""
        try:
            connection = await connect(self.url, user.id, user.token, hear, self.fail)
        except OSError as error:
            raise Stop(f"{self.url}: {error}") from error
        self._connections.append(connection)
        if not await self.until(lambda: f"chats/{chat}" in connection.streams, _WELCOME_S):
            raise Stop(f"{user.id}: no welcome to chat {chat} within {_WELCOME_S:g} s")
        return connection

    async def each(
        self,
        jobs: Iterable[T],
        work: Callable[[rest.Rest, T], Awaitable[None]],
        at_once: int = 8,
    ) -> None:
        """`work` for every job, on so many HTTP connections at once."""
        queue = iter(jobs)

        async def worker() -> None:
            async with rest.connected(self.url) as server:
                for job in queue:
                    await work(server, job)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(at_once):
                    group.create_task(worker())
        except ExceptionGroup as group_error:
            first = group_error.exceptions[0]
            if isinstance(first, OSError):
                raise Stop(f"{self.url}: {first}") from first
            raise first from None

    async def until(
        self,
        condition: Callable[[], bool],
        patience_s: float,
        since: Callable[[], float] | None = None,
    ) -> bool:
        """False when the condition has not come true `patience_s` after `since` (default: now).

        Raises Stop as soon as a connection failed.
        """
        began = time.perf_counter()
        while True:
            if self._failure:
                raise self._failure
            if condition():
                return True
            if time.perf_counter() - (since() if since else began) > patience_s:
                return False
            await asyncio.sleep(_POLL_S)

    def fail(self, reason: Stop) -> None:
        self._failure = self._failure or reason

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    def _user(self, name: str) -> User:
        user = f"bench-{self._run}-{name}"
        claims = {"sub": user, "exp": int(time.time()) + _TOKEN_S}
        return User(user, jwt.encode(claims, self._secret, algorithm="HS256"))


def _position(answer: rest.Answer) -> str:
    return answer.headers.get("hansard-position", "")


@asynccontextmanager
async def staged(url: str, secret: str) -> AsyncIterator[Stage]:
    stage = Stage(url, secret)
    try:
        yield stage
    finally:
        stage.close()
