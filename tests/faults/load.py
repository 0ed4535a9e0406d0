"""A load that goes on through faults and remembers what it was told."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus

from domain.ids import chat_stream, command_id
from tests.servers.audit import Events
from tests.servers.clients import Connection, NotWelcome, connected, rest
from tests.servers.hansard import HansardServer

#: What may be answered while something is broken; the same is sent again.
DOUBT = frozenset(("outcome_unknown", "unavailable", "projection_behind", "too_late"))

_GONE = (ConnectionClosed, InvalidStatus, OSError, TimeoutError, NotWelcome)


class Writer:
    """Sends under keys of its own, and sends again what was not acknowledged."""

    def __init__(self, user: str, chats: Sequence[str], acknowledged: asyncio.Event) -> None:
        """`acknowledged` is set at every acknowledgement."""
        self.user = user
        self._acknowledged = acknowledged
        self.acknowledged: dict[tuple[str, str], int] = {}
        self._chats = chats
        self._doubtful: list[tuple[str, str]] = []
        self._count = 0
        self._last: dict[str, int] = {}

    async def write(self, server: HansardServer, stop: asyncio.Event) -> None:
        """Write until told to stop, nothing is in doubt any more, and all has been asked for that
        the gateway had put by."""
        self._done = False
        while not self._done:
            with contextlib.suppress(*_GONE, _Doubt):
                async with connected(server, self.user) as connection:
                    for chat, key in tuple(self._doubtful):
                        await self._send(connection, chat, key)
                    while not stop.is_set():
                        await self._next(connection)
                        connection.frames.clear()
                    await self._finish(connection)
                continue
            await asyncio.sleep(0.05)

    async def _finish(self, connection: Connection) -> None:
        # What was asked for on connections that broke comes before this, in the queue of each
        # stream, and so do marks that wait their turn in the gateway.
        for chat, seq in self._last.items():
            for ack in (
                await connection.ask("read", chat=chat, up_to=seq),
                await connection.ask("react", chat=chat, seq=seq, emoji="y"),
            ):
                if ack["op"] == "error":
                    assert ack["code"] in DOUBT, ack
                    raise _Doubt
        self._done = True

    async def _next(self, connection: Connection) -> None:
        self._count += 1
        chat, key = self._chats[self._count % len(self._chats)], f"{self.user}-{self._count}"
        self._doubtful.append((chat, key))
        seq = await self._send(connection, chat, key)
        if self._count % 5 == 0:
            await connection.say("read", chat=chat, up_to=seq)
            await connection.ask("react", id=f"r{seq}", chat=chat, seq=seq, emoji="x")

    async def _send(self, connection: Connection, chat: str, key: str) -> int:
        ack = await connection.ask("send", id=key, chat=chat, kind="text", content=key)
        if ack["op"] == "error":
            assert ack["code"] in DOUBT, ack
            raise _Doubt
        self.acknowledged[chat, key] = ack["seq"]
        self._doubtful.remove((chat, key))
        self._last[chat] = ack["seq"]
        self._acknowledged.set()
        return int(ack["seq"])


class _Doubt(Exception):
    """The answer says that it is not known what became of the write."""


class Listener:
    """Connected all the time, as far as that is possible, resuming where it was."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.seen: dict[str, list[int]] = {}
        self._places: dict[str, int] = {}
        self._taken = asyncio.Event()

    async def listen(self, server: HansardServer) -> None:
        """Listen until cancelled."""
        while True:
            with contextlib.suppress(*_GONE):
                async with connected(server, self.user, resume=self._places) as connection:
                    welcome = connection.welcome
                    if not self._places or not welcome["recovered"]:
                        self._places = dict(welcome["streams"])
                        self.seen = {stream: [] for stream in self._places}
                    for frame in connection.frames[:]:
                        self._take(frame)
                    while True:
                        self._take(await connection.read())
                        connection.frames.clear()
            await asyncio.sleep(0.05)

    async def has_seen(self, heads: dict[str, int]) -> None:
        """Wait until it has seen its streams up to there."""
        async with asyncio.timeout(60):
            while any(self._places.get(stream, 0) < seq for stream, seq in heads.items()):
                self._taken.clear()
                await self._taken.wait()

    def _take(self, frame: dict[str, Any]) -> None:
        if frame["op"] == "event":
            self.seen.setdefault(frame["stream"], []).append(frame["seq"])
            self._places[frame["stream"]] = frame["seq"]
            self._taken.set()


async def unread_shown(server: HansardServer, user: str) -> dict[str, int]:
    async with rest(server, user) as client:
        answer = await client.get("/v1/chats", params={"limit": 100})
        answer.raise_for_status()
        return {row["chat"]["id"]: row["unread"] for row in answer.json()["items"]}


def unread_counted(events: Events, user: str, chats: Sequence[str]) -> dict[str, int]:
    """By brute force: what others said after one's own mark, own last word and joining."""
    counts = {}
    marks = [e["data"] for e in events[f"users/{user}"] if e["type"] == "chat.read"]
    for chat in chats:
        stream = events[chat_stream(chat)]
        sent = [e for e in stream if e["type"] == "message.sent"]
        mark = max(
            [1]
            + [data["up_to"] for data in marks if data["chat"] == chat]
            + [e["seq"] for e in sent if e["actor"] == user]
        )
        counts[chat] = sum(e["seq"] > mark and e["actor"] != user for e in sent)
    return counts


def lost_or_doubled(events: Events, writers: Sequence[Writer]) -> list[str]:
    """Acknowledged messages that do not stand exactly once where they were said to stand, and
    messages that stand more than once."""
    sent = [
        (stream, event["commandid"], event["seq"])
        for stream, some in events.items()
        for event in some
        if event["type"] == "message.sent"
    ]
    counts = Counter((stream, command) for stream, command, _ in sent)
    wrong = [f"{command} stands {n} times" for (_, command), n in counts.items() if n > 1]
    places = {(stream, command): seq for stream, command, seq in sent}
    for writer in writers:
        for (chat, key), seq in writer.acknowledged.items():
            stream = chat_stream(chat)
            found = places.get((stream, command_id(writer.user, stream, key)))
            if found != seq:
                wrong.append(f"{key} was acknowledged as {seq} and stands as {found}")
    return wrong


async def answers(server: HansardServer) -> None:
    """Wait until the server is ready again."""
    async with asyncio.timeout(90), httpx.AsyncClient() as client:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(f"{server.url}/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.05)
