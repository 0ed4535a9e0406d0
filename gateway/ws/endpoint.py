"""The WebSocket endpoint: carries frames between a socket, its session and the gateway."""

import asyncio
import contextlib
import random
import time
from uuid import uuid4

import structlog
from starlette.types import Receive, Scope, Send

from domain.instants import from_millis
from gateway import writes
from gateway.auth import Principal, bearer_token
from gateway.commander import Done
from gateway.limits import client_address
from gateway.lookups import Lookups
from gateway.problems import Problem, problem_response
from gateway.services import Services
from gateway.ws import frames, session
from gateway.ws.marks import MarkKind, MarkWriter
from gateway.ws.requests import Requests
from gateway.ws.session import Session
from gateway.ws.traffic import Passage, Traffic
from gateway.ws.typing import TypingRelay
from projections.progress import Behind, Stale
from projections.realtime.port import Publication
from projections.store.port import StoreError
from projections.views import feeds
from projections.views.reading import Reading

log = structlog.get_logger()

HELLO_WITHIN = 10.0
#: Seconds for the read models to show what was written before.
GREET_WITHIN = 10.0
HEARTBEAT_MS = 30_000
#: Seconds over which clients are asked to spread their return after a restart.
RECONNECT_SPREAD = 10.0
#: Seconds for what was taken to be answered before a restart: more than any command waits.
FAREWELL = 12.0


class Sockets:
    """All WebSocket connections of this process; an ASGI application."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.marks = MarkWriter(self._write_mark)
        self.typing = TypingRelay(services.hub.publish)
        self.traffic = Traffic(services.health.registry)
        self._open: set[Socket] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        address = client_address(
            scope["client"][0] if scope["client"] else "",
            ",".join(_headers(scope, b"x-forwarded-for")) or None,
            self.services.policy.trusted_proxies,
        )
        verdict = await self.services.limiter.hit("connects", address)
        headers = self.services.limiter.headers("connects", verdict)
        await receive()
        if not verdict.allowed:
            await _refuse(send, Problem("rate_limited", "Too many connections.", headers=headers))
            return
        encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "websocket.accept", "headers": encoded})
        socket = Socket(self, send, next(iter(_headers(scope, b"authorization")), None))
        self._open.add(socket)
        try:
            await socket.run(receive)
        finally:
            self._open.discard(socket)

    async def close(self) -> None:
        """Answer what was taken, write what is pending, and close every connection, with advice
        when to come back."""
        ending = tuple(self._open)
        for socket in ending:
            socket.take_no_more()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await self.marks.close()
                await asyncio.gather(*(socket.end() for socket in ending))

    async def _write_mark(self, user: str, chat: str, kind: MarkKind, up_to: int) -> Done:
        command = await writes.mark(self.services, user, chat, up_to, kind, None)
        return await self.services.commander.execute(command)


class Socket:
    """One connection."""

    def __init__(self, sockets: Sockets, send: Send, authorization: str | None) -> None:
        self._sockets = sockets
        self._services = sockets.services
        self._send = send
        self._authorization = authorization
        self._session = Session(self._services.positions.encode)
        self._passage = Passage(sockets.traffic)
        self._requests = Requests(
            self, self._session, self._services, sockets.marks, sockets.typing, self._passage
        )
        self._principal: Principal | None = None
        self._attached = False
        self._wake = asyncio.Event()
        self._expiry: asyncio.TimerHandle | None = None
        self._taking = False
        self._ending = False
        self._settled = asyncio.Event()
        self.finished = asyncio.Event()

    @property
    def user(self) -> str:
        assert self._principal is not None
        return self._principal.user

    @property
    def scopes(self) -> frozenset[str]:
        assert self._principal is not None
        return self._principal.scopes

    # What the hub tells

    def event(self, published: Publication, frame: bytes) -> None:
        self._session.event(published, frame)
        self._wake.set()

    def joined(self, stream: str, seq: int) -> None:
        self._session.joined(stream, seq)
        self._wake.set()

    def left(self, stream: str) -> None:
        self._session.left(stream)

    def show(self, frame: bytes) -> None:
        self._session.show(frame)
        self._wake.set()

    def lost(self) -> None:
        self.close(session.RESTART, f"events were missed; {_advice()} and resume")

    def banned(self, code: str) -> None:
        self._session.reject(Problem(code, "This account may not connect any more."))
        self._wake.set()

    # What its requests tell

    def answered(self) -> None:
        self._settled.set()
        self._wake.set()

    def close(self, code: int, reason: str) -> None:
        self._session.close(code, reason)
        self._wake.set()

    def take_no_more(self) -> None:
        """What the client sends from here on is not looked at."""
        self._ending = True

    async def end(self) -> None:
        """Close once everything that was taken is answered."""
        while (self._taking or self._requests.under_way) and not self.finished.is_set():
            self._settled.clear()
            await self._settled.wait()
        self.close(session.RESTART, f"restarting; {_advice()}")
        await self.finished.wait()

    # The connection's life

    async def run(self, receive: Receive) -> None:
        writer = asyncio.create_task(self._write())
        reader = asyncio.create_task(self._read(receive))
        loop = asyncio.get_running_loop()
        hello = loop.call_later(HELLO_WITHIN, self._no_hello)
        try:
            await asyncio.wait((writer, reader), return_when=asyncio.FIRST_COMPLETED)
        finally:
            hello.cancel()
            if self._expiry is not None:
                self._expiry.cancel()
            for task in (writer, reader):
                task.cancel()
            await asyncio.gather(writer, reader, return_exceptions=True)
            if self._requests.device is not None:
                self._services.attendance.go(self._requests.device)
            if self._attached:
                self._services.hub.detach(self)
                self._sockets.marks.flush(self.user)
            self._passage.ended()
            self.finished.set()
            self._settled.set()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            out, closing = self._session.take()
            self._passage.sent(out)
            for frame in out:
                await self._send({"type": "websocket.send", "text": frame.decode()})
            if closing is not None:
                self._passage.closed(closing.code)
                await self._send(
                    {"type": "websocket.close", "code": closing.code, "reason": closing.reason}
                )
                return

    async def _read(self, receive: Receive) -> None:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                self._passage.closed(message["code"])
                return
            text = message.get("text")
            if self._ending:
                continue
            if text is None:
                self.close(session.BAD_FRAME, "frames are text")
            else:
                self._taking = True
                await self._take(text)
                self._taking = False
                self._settled.set()
            self._wake.set()
            if self._session.closed:
                # The writer ends the connection, once what it still has to say is sent.
                await asyncio.Event().wait()
            await self._requests.room.wait()

    async def _take(self, text: str) -> None:
        request = self._session.receive(text)
        if request is None:
            return
        self._passage.received(request)
        id = getattr(request, "id", None)
        try:
            if isinstance(request, frames.Hello):
                await self._hello(request)
            elif isinstance(request, frames.Auth):
                await self._renew(request)
            else:
                await self._requests.carry_out(request)
        except Problem as problem:
            self._session.error(id, problem)
        except (Behind, StoreError):
            self._session.error(id, Problem("projection_behind", "Try again shortly."))
        except Stale:
            self._session.error(id, Problem("projection_stale", "This stream has stopped."))
        except Exception as error:
            log.error("frame_failed", error=type(error).__name__)
            self._session.error(id, Problem("internal_error", "Something went wrong here."))

    async def _hello(self, hello: frames.Hello) -> None:
        services = self._services
        try:
            token = hello.token or bearer_token(self._authorization)
            self._principal = await services.authenticator.authenticate(token)
            await Lookups(services.store).admit(self.user)
        except Problem as problem:
            self._session.reject(problem)
            return
        self._attached = True
        try:
            async with asyncio.timeout(GREET_WITHIN):
                await self._greet(hello)
        except Problem as problem:
            self._session.reject(problem)
        except (Behind, Stale, StoreError, TimeoutError):
            self._session.error(None, Problem("unavailable", "Come back shortly."))
            self.close(session.RESTART, "the read models can't be read")

    async def _greet(self, hello: frames.Hello) -> None:
        services = self._services
        await services.hub.attach(self)
        # A suspension that came before the connection was heard of is not told to it.
        await Lookups(services.store).admit(self.user)
        reading = Reading(services.store, services.vault, services.clock())
        missed = await feeds.missed(reading, self.user, hello.resume)
        welcome = frames.Welcome(
            user=self.user,
            session=uuid4().hex,
            heartbeat_ms=HEARTBEAT_MS,
            expires_at=self._expires(),
            streams=missed.heads,
            recovered=missed.recovered,
        )
        self._session.welcome(welcome, map(frames.event, missed.events), missed.heads)
        self._requests.device = services.attendance.come(self.user)
        self._passage.welcomed(self.user, welcome.session)

    async def _renew(self, auth: frames.Auth) -> None:
        try:
            principal = await self._services.authenticator.authenticate(auth.token)
        except Problem as problem:
            self._session.reject(problem)
            return
        if principal.user != self.user:
            self._session.reject(Problem("unauthenticated", "The token is another user's."))
            return
        self._principal = principal
        self._session.renewed(self._expires())

    def _expires(self) -> str:
        """Arrange for the end of the token, and say when that is."""
        assert self._principal is not None
        if self._expiry is not None:
            self._expiry.cancel()
        seconds = self._principal.expires_at - time.time()
        self._expiry = asyncio.get_running_loop().call_later(max(seconds, 0), self._expired)
        return from_millis(self._principal.expires_at * 1000)

    def _expired(self) -> None:
        self._session.reject(Problem("unauthenticated", "The token has expired."))
        self._wake.set()

    def _no_hello(self) -> None:
        if self._principal is None:
            self.close(session.NO_HELLO, "no hello in time")


def _advice() -> str:
    return f"come back in {random.uniform(0, RECONNECT_SPREAD):.1f} s"


def _headers(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


async def _refuse(send: Send, problem: Problem) -> None:
    response = problem_response(problem)
    await send(
        {
            "type": "websocket.http.response.start",
            "status": response.status_code,
            "headers": response.raw_headers,
        }
    )
    await send({"type": "websocket.http.response.body", "body": response.body})
