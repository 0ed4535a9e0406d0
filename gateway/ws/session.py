"""One WebSocket connection, without I/O: what it takes in, what it hands out, in which order.

Text goes in by `receive`, which answers with the request to carry out, if there is one. What
happens in the connection's streams goes in by `event`, `joined` and `left`. What is to be sent is
taken out by `take`. Nothing here waits, reads a clock or knows a socket.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto
from typing import NamedTuple

import msgspec

from gateway import forms
from gateway.problems import Problem
from gateway.ws import frames
from gateway.ws.frames import Ack, ClientFrame, Error, Hello, Named, Ping, Request, Reset, encode
from projections.realtime.port import Publication

MAX_FRAME_BYTES = 128 * 1024
MAX_HELLO_BYTES = 1024 * 1024
#: What may wait for a slow client, in frames and in bytes.
MAX_QUEUED = 4096
MAX_QUEUED_BYTES = 16 * 1024 * 1024

BAD_FRAME = 4400
UNAUTHENTICATED = 4401
NO_HELLO = 4408
TOO_SLOW = 4413
RATE = 4429
TOO_BIG = 1009
RESTART = 1012

_decoder: msgspec.json.Decoder[ClientFrame] = msgspec.json.Decoder(ClientFrame)
_named_decoder = msgspec.json.Decoder(Named)


class Close(NamedTuple):
    code: int
    reason: str


class Expected(NamedTuple):
    """A write of this connection that is under way, to `stream`. Two under one key are of the same
    command; only the digest tells whether they ask for the same."""

    command: str
    digest: str
    id: str
    chat: str
    stream: str
    schedule: str | None


class _Phase(Enum):
    NEW = auto()
    GREETING = auto()
    OPEN = auto()
    CLOSED = auto()


class Session:
    def __init__(self, position: Callable[[str, int], str]) -> None:
        """`position` makes the text of a position of a stream and seq."""
        self._position = position
        self._phase = _Phase.NEW
        self._out: list[bytes] = []
        self._queued_bytes = 0
        self._closing: Close | None = None
        self._next: dict[str, int] = {}
        self._early: list[Publication | Reset] = []
        self._expected: dict[str, list[Expected]] = {}

    @property
    def closed(self) -> bool:
        return self._phase is _Phase.CLOSED

    @property
    def streams(self) -> Iterable[str]:
        return self._next.keys()

    def receive(self, text: str | bytes) -> Hello | Request | None:
        """Take a frame in.

        Returns what is to be carried out; wrong frames and pings are answered here.
        """
        if self._phase is _Phase.CLOSED:
            return None
        body = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        first = self._phase is _Phase.NEW
        if len(body) > (MAX_HELLO_BYTES if first else MAX_FRAME_BYTES):
            self.close(TOO_BIG, "the frame is too big")
            return None
        try:
            frame = _decoder.decode(body)
            forms.refuse_nul(body, frame)
        except (msgspec.ValidationError, Problem) as error:
            self._wrong(body, error)
            return None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.close(BAD_FRAME, "a frame is one JSON object")
            return None
        if isinstance(frame, Hello):
            if not first:
                self.error(None, Problem("invalid_request", "hello was said already."))
                return None
            self._phase = _Phase.GREETING
            return frame
        if first:
            self.close(BAD_FRAME, "say hello first")
            return None
        if isinstance(frame, Ping):
            self._send(frames.PONG)
            return None
        return frame

    def welcome(
        self, welcome: frames.Welcome, missed: Iterable[bytes], joined: Mapping[str, int]
    ) -> None:
        """Greet the client: the events it missed follow, then what came meanwhile, then live ones.

        `joined` are the streams of the connection with the seq each goes on after.
        """
        self._phase = _Phase.OPEN
        self._next = {stream: seq + 1 for stream, seq in joined.items()}
        self._send(encode(welcome))
        for frame in missed:
            self._send(frame)
        early, self._early = self._early, []
        for one in early:
            if isinstance(one, Reset):
                assert one.stream is not None
                assert one.seq is not None
                self.joined(one.stream, one.seq)
            else:
                self.event(one, one.frame)

    def renewed(self, expires_at: str) -> None:
        self._send(encode(frames.Renewed(expires_at)))

    def joined(self, stream: str, seq: int) -> None:
        """The user is let into a stream; its next event is the one after `seq`. One that the
        connection has beyond that is not news."""
        reset = Reset(stream, seq)
        if self._phase is _Phase.OPEN:
            if seq >= self._next.get(stream, 0):
                self._next[stream] = seq + 1
                self._send(encode(reset))
        elif self._phase is not _Phase.CLOSED:
            self._hold(reset)

    def left(self, stream: str) -> None:
        self._next.pop(stream, None)

    def event(self, published: Publication, frame: bytes) -> None:
        """An event of one of the streams: one already seen is dropped, a hole told as a reset."""
        if self._phase is not _Phase.OPEN:
            if self._phase is not _Phase.CLOSED:
                self._hold(msgspec.structs.replace(published, frame=frame))
            return
        stream, seq = published.channel, published.seq
        due = self._next.get(stream)
        if due is None or seq < due:
            return
        if seq > due:
            self._send(encode(Reset(stream, seq - 1)))
        self._next[stream] = seq + 1
        for expected in tuple(self._expected.get(published.command, ())):
            if expected.digest == published.digest:
                self.settled(expected, seq, published.time, published.ordinal)
        self._send(frame)

    def show(self, frame: bytes) -> None:
        """A frame that has no place in a stream: a receipt, typing, a profile."""
        if self._phase is _Phase.OPEN:
            self._send(frame)

    def expect(self, expected: Expected) -> None:
        """A write of this connection is on its way; its acknowledgement goes before its event."""
        self._expected.setdefault(expected.command, []).append(expected)

    def settled(self, expected: Expected, seq: int, time: str, ordinal: int | None) -> None:
        """The write stands, as the event with this seq."""
        if self._forget(expected):
            position = self._position(expected.stream, seq)
            ack = Ack(expected.chat, seq, time, position, expected.id, ordinal, expected.schedule)
            self._send(encode(ack))

    def failed(self, expected: Expected, problem: Problem) -> None:
        """The write did not happen."""
        if self._forget(expected):
            self.error(expected.id, problem)

    def _forget(self, expected: Expected) -> bool:
        """Whether the write was still expected."""
        waiting = self._expected.get(expected.command, [])
        if expected not in waiting:
            return False
        waiting.remove(expected)
        if not waiting:
            del self._expected[expected.command]
        return True

    def acknowledge(self, ack: Ack) -> None:
        self._send(encode(ack))

    def error(self, id: str | None, problem: Problem) -> None:
        detail = problem.detail
        if problem.errors:
            detail = "; ".join(f"{error.field}: {error.detail}" for error in problem.errors)
        seconds = problem.headers.get("Retry-After")
        wait = None if seconds is None else int(float(seconds) * 1000)
        self._send(encode(Error(problem.code, detail, id, wait)))

    def reject(self, problem: Problem) -> None:
        """End a connection whose user may not be here."""
        self.error(None, problem)
        self.close(UNAUTHENTICATED, problem.code)

    def close(self, code: int, reason: str) -> None:
        if self._phase is not _Phase.CLOSED:
            self._phase = _Phase.CLOSED
            self._closing = Close(code, reason)
            self._early.clear()
            if code == TOO_SLOW:
                self._out.clear()

    def take(self) -> tuple[list[bytes], Close | None]:
        """What is to be sent now, and how the connection ends, if it does."""
        out, self._out = self._out, []
        self._queued_bytes = 0
        closing, self._closing = self._closing, None
        return out, closing

    def _send(self, frame: bytes) -> None:
        if self._phase is _Phase.CLOSED:
            return
        self._out.append(frame)
        self._queued_bytes += len(frame)
        if len(self._out) > MAX_QUEUED or self._queued_bytes > MAX_QUEUED_BYTES:
            self.close(TOO_SLOW, "the client does not keep up")

    def _hold(self, one: Publication | Reset) -> None:
        self._early.append(one)
        if len(self._early) > MAX_QUEUED:
            self.close(TOO_SLOW, "too much happened during hello")

    def _wrong(self, body: bytes, error: msgspec.ValidationError | Problem) -> None:
        try:
            named = _named_decoder.decode(body)
        except msgspec.ValidationError:
            named = Named()
            if not body.lstrip().startswith(b"{"):
                self.close(BAD_FRAME, "a frame is one JSON object")
                return
        if self._phase is _Phase.NEW and named.op != "hello":
            self.close(BAD_FRAME, "say hello first")
            return
        problem = error if isinstance(error, Problem) else forms.invalid(error)
        self.error(named.id, problem)
