"""Clients as an app's developer would write them: REST by httpx, frames by websockets."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.servers.hansard import HansardServer

Frame = dict[str, Any]

#: How long anything that must come may take before a test calls it missing, in seconds.
PATIENCE = 20.0


def rest(server: HansardServer, user: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=server.url,
        headers={"Authorization": f"Bearer {server.token(user)}"},
        timeout=httpx.Timeout(PATIENCE, pool=None),
        verify=False,
    )


async def register(server: HansardServer, *users: str) -> None:
    for user in users:
        async with rest(server, user) as client:
            answer = await client.put("/v1/me", json={"name": user.capitalize()})
            answer.raise_for_status()


async def make_chat(server: HansardServer, maker: str, *others: str, **fields: Any) -> str:
    """A chat's id: direct with one other unless `fields` say otherwise."""
    async with rest(server, maker) as client:
        body = {"kind": "direct", "members": list(others), **fields}
        answer = await client.post("/v1/chats", json=body)
        answer.raise_for_status()
        return str(answer.json()["id"])


class NotWelcome(Exception):
    """The server has answered a hello with an error; the text is its code."""


class Connection:
    """One WebSocket connection; keeps every frame it was sent."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames: list[Frame] = []
        self.welcome: Frame = {}
        self._ids = itertools.count(1)
        self._taken = 0

    async def say(self, op: str, **fields: Any) -> None:
        await self.socket.send(msgspec.json.encode({"op": op, **fields}), text=True)

    async def ask(self, op: str, **fields: Any) -> Frame:
        """Send a frame that is answered by an `ack` or an `error` with its id."""
        id = str(fields.pop("id", f"{self.welcome.get('session', '')}-{next(self._ids)}"))
        await self.say(op, id=id, **fields)
        return await self.frame(lambda f: f["op"] in ("ack", "error") and f.get("id") == id)

    async def hello(self, **fields: Any) -> Frame:
        await self.say("hello", **fields)
        self.welcome = await self.frame(lambda f: f["op"] in ("welcome", "error"))
        return self.welcome

    async def frame(self, fits: Callable[[Frame], bool]) -> Frame:
        """The first frame that fits, of those that came and those that will."""
        seen = 0
        async with asyncio.timeout(PATIENCE):
            while True:
                for frame in self.frames[seen:]:
                    if fits(frame):
                        return frame
                seen = len(self.frames)
                await self.read()

    async def read(self) -> Frame:
        frame: Frame = msgspec.json.decode(await self.socket.recv())
        self.frames.append(frame)
        return frame

    async def event(self, type: str, **fields: Any) -> Frame:
        return await self.frame(
            lambda f: (
                f["op"] == "event"
                and f["type"] == type
                and all(f[name] == value for name, value in fields.items())
            )
        )

    async def quiet(self) -> None:
        """Return when everything the server had to say by now has come."""
        await self.say("ping")
        pongs = sum(frame["op"] == "pong" for frame in self.frames)
        async with asyncio.timeout(PATIENCE):
            while sum(frame["op"] == "pong" for frame in self.frames) <= pongs:
                await self.read()

    def events(self, stream: str) -> list[Frame]:
        return [f for f in self.frames if f["op"] == "event" and f["stream"] == stream]

    async def closed(self) -> tuple[int, str]:
        """The code and reason of the close that must come."""
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await self.read()
        return self.socket.close_code or 0, self.socket.close_reason or ""


@asynccontextmanager
async def opened(
    server: HansardServer, headers: Mapping[str, str] | None = None
) -> AsyncIterator[Connection]:
    """A connection that has not said hello."""
    async with connect(
        server.socket_url,
        additional_headers=headers,
        compression=None,
        max_size=None,
        # A client whose queue is full reads no more, not even the answer to its close.
        max_queue=None,
    ) as socket:
        yield Connection(socket)


@asynccontextmanager
async def connected(
    server: HansardServer, user: str, *scopes: str, **hello: Any
) -> AsyncIterator[Connection]:
    """A connection of a user that was welcomed. Raises NotWelcome."""
    async with opened(server) as connection:
        welcome = await connection.hello(token=server.token(user, scopes=scopes), **hello)
        if welcome["op"] != "welcome":
            raise NotWelcome(welcome["code"])
        yield connection
