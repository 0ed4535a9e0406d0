"""One WebSocket connection, on websockets' sans-I/O protocol and a raw transport."""

import asyncio
import time
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

import msgspec
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from benchmarks import Stop, rate_limited


class Data(msgspec.Struct, gc=False):
    content: str | None = None


class Frame(msgspec.Struct, gc=False):
    """What the driver needs of the server's frames; all else is skipped unread."""

    op: str
    id: str | None = None
    seq: int = 0
    stream: str | None = None
    type: str = ""
    time: str = ""
    data: Data | None = None
    position: str = ""
    code: str = ""
    detail: str = ""
    heartbeat_ms: int = 0
    streams: dict[str, int] = {}
    user: str = ""
    status: str = ""


_decode = msgspec.json.Decoder(Frame).decode


class Connection(asyncio.Protocol):
    """Says hello by itself. Whatever goes wrong is given to `fail`, and nothing is raised."""

    def __init__(
        self,
        url: str,
        user: str,
        token: str,
        hear: Callable[[Frame, float], None],
        fail: Callable[[Stop], None],
    ) -> None:
        """`hear` gets acks, events and presence, with the time (`time.perf_counter`) of their
        bytes."""
        self.streams: set[str] = set()
        self._user = user
        self._token = token
        self._hear = hear
        self._fail = fail
        self._leaving = False
        self._protocol = ClientProtocol(parse_uri(url))
        self._transport: asyncio.Transport
        self._heartbeat: asyncio.TimerHandle | None = None

    def send(self, payload: bytes) -> None:
        """Does nothing on a connection that has ended: `fail` has been told."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_text(payload)
            self._flush()

    def close(self) -> None:
        self._leaving = True
        if self._heartbeat:
            self._heartbeat.cancel()
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(1000)
            self._flush()
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have its methods without being of its class.
        self._transport = cast(asyncio.Transport, transport)
        self._protocol.send_request(self._protocol.connect())
        self._flush()

    def data_received(self, data: bytes) -> None:
        at = time.perf_counter()
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if not isinstance(event, WireFrame):
                self._shaken()
            elif event.opcode is Opcode.TEXT and event.fin:
                try:
                    self._heard(_decode(event.data), at)
                except (ValueError, LookupError) as error:
                    self._fail(Stop(f"{self._user}: an unusable frame, {error}: {event.data!r}"))
            elif event.opcode is Opcode.CLOSE:
                self._closed()
            elif event.opcode not in (Opcode.PING, Opcode.PONG):
                self._fail(Stop(f"{self._user}: a frame that is no whole text: {event}"))
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.receive_eof()
        if not self._leaving:
            self._fail(Stop(f"{self._user}: connection lost: {exc or 'ended by the server'}"))

    def _heard(self, frame: Frame, at: float) -> None:
        if frame.op in ("event", "ack", "presence"):
            self._hear(frame, at)
        elif frame.op == "welcome":
            self.streams.update(frame.streams)
            self._beat(frame.heartbeat_ms / 1000)
        elif frame.op == "reset":
            if frame.stream:
                self.streams.add(frame.stream)
            else:
                self._fail(Stop(f"{self._user}: the server reset the connection"))
        elif frame.op == "error":
            where = f"{frame.code} to {self._user}"
            self._fail(
                rate_limited(where)
                if frame.code == "rate_limited"
                else Stop(f"error {where}, frame {frame.id!r}: {frame.detail}")
            )

    def _shaken(self) -> None:
        refusal = self._protocol.handshake_exc
        if refusal is None:
            self.send(msgspec.json.encode({"op": "hello", "token": self._token}))
        elif isinstance(refusal, InvalidStatus) and refusal.response.status_code == 429:
            self._fail(rate_limited(f"429 to the connection of {self._user}"))
        else:
            self._fail(Stop(f"{self._user}: no WebSocket: {refusal}"))

    def _closed(self) -> None:
        close = self._protocol.close_rcvd
        if close and close.code == 4429:
            self._fail(rate_limited(f"close 4429 to {self._user}"))
        elif not self._leaving:
            self._fail(Stop(f"{self._user}: closed by the server: {close}"))

    def _beat(self, every: float) -> None:
        if every > 0 and not self._leaving:
            loop = asyncio.get_running_loop()
            self._heartbeat = loop.call_later(every, self._pulse, every)

    def _pulse(self, every: float) -> None:
        self.send(b'{"op":"ping"}')
        self._beat(every)

    def _flush(self) -> None:
        for chunk in self._protocol.data_to_send():
            if chunk and not self._transport.is_closing():
                self._transport.write(chunk)
            elif not chunk:
                self._transport.close()


async def connect(
    url: str,
    user: str,
    token: str,
    hear: Callable[[Frame, float], None],
    fail: Callable[[Stop], None],
) -> Connection:
    """Raises OSError when nobody listens there."""
    parts = urlsplit(url)
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: Connection(f"ws://{parts.netloc}/v1/ws", user, token, hear, fail),
        parts.hostname or "",
        parts.port or 80,
    )
    return connection
