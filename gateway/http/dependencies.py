"""What the endpoints share: who asks, how often, how fresh the answer must be, and its form."""

import contextlib
import re
from typing import Any, TypeVar, cast
from uuid import uuid4

import msgspec
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response

from domain.commands import Command
from domain.ids import USER_ID, chat_stream, user_stream
from gateway import checks, forms
from gateway.auth import Principal, Unauthenticated, bearer_token
from gateway.commander import Done
from gateway.limits import Kind, client_address, is_within
from gateway.lookups import Lookups
from gateway.problems import Problem, invalid_request
from gateway.services import Services
from gateway.trail import TRAIL
from projections.views.reading import NotFound, Reading

#: The largest body of a request, in bytes.
MAX_BODY_BYTES = 1024 * 1024
#: Where `gateway.app` finds the headers that an answer gets whatever becomes of the request.
ANSWER_HEADERS = "hansard.headers"

_KEY = re.compile(r"[!-~]{1,255}")
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_USER = re.compile(USER_ID)
_SEQ = re.compile(r"[1-9][0-9]{0,18}")

F = TypeVar("F")

_encode = msgspec.json.Encoder().encode


class Call:
    """A request of someone who has shown a valid token.

    `key` is the idempotency key of a write: the client's, or one made here.
    """

    def __init__(self, request: Request, user: str, principal: Principal | None = None) -> None:
        self.request = request
        self.services = services_of(request)
        self.lookups = cast(Lookups, request.app.state.lookups)
        self.user = user
        if (trail := TRAIL.get()) is not None:
            trail.user = user
        self.principal = principal
        self.scopes = principal.scopes if principal is not None else frozenset[str]()
        self.key = ""

    def reading(self) -> Reading:
        """The read models as they are now."""
        return checks.reading(self.services)

    def tell(self, header: str, value: str) -> None:
        """Give the answer a header, whether it will be a success or a problem."""
        answer_headers(self.request)[header] = value

    def about(self, *streams: str) -> None:
        """Say of an answer which of the streams it tells of have stopped being followed."""
        stale = self.services.progress.stale
        if stale and (stopped := sorted(stale.intersection(streams))):
            self.tell("Hansard-Stale", ", ".join(stopped))

    async def execute(self, command: Command) -> Done:
        """Have a command carried out.

        Raises:
            Problem: it was refused.
        """
        done = await self.services.commander.execute(command)
        self.tell_of(done)
        return done

    def tell_of(self, done: Done) -> None:
        """Give the answer the headers of a write."""
        self.tell("Hansard-Position", done.position)
        if done.replayed:
            self.tell("Idempotent-Replayed", "true")

    async def write(self, command: Command) -> Done:
        """Have a command carried out, and wait until its effect can be read.

        Raises:
            Problem: it was refused. `projection_behind` or `projection_stale` if it was accepted
                but can't be shown: the same request then answers with what it made.
        """
        done = await self.execute(command)
        await self.reach(done)
        return done

    async def write_silently(self, command: Command) -> Response:
        """Have a command carried out whose answer shows nothing.

        Raises:
            Problem: it was refused.
        """
        await self.settle(await self.execute(command))
        return Response(status_code=204)

    async def reach(self, done: Done) -> None:
        """Wait until the effect of a command can be read.

        Raises:
            Problem: `projection_behind` or `projection_stale`.
        """
        await checks.reach(self.services, {done.outcome.stream: done.outcome.seq})

    async def settle(self, done: Done) -> None:
        """Wait as `reach` does, so that a client without positions reads the effect next, but go
        on without it: the answer does not need it."""
        with contextlib.suppress(Problem):
            await self.reach(done)


def services_of(request: Request) -> Services:
    return cast(Services, request.app.state.services)


def answer_headers(request: Request) -> MutableHeaders:
    return cast(MutableHeaders, request.scope[ANSWER_HEADERS])


def answer(content: Any, status: int = 200) -> Response:
    """A JSON answer of one of the shapes."""
    return Response(_encode(content), status_code=status, media_type="application/json")


async def reader(request: Request) -> Call:
    """A registered user who asks to read."""
    call = await authenticated(request)
    await limit(call, "reads")
    await _reach_positions(call)
    await call.lookups.admit(call.user)
    return call


async def linked_reader(request: Request, link: str | None) -> Call:
    """A registered user who asks to read, by a link to this path or by a token."""
    if link is None:
        return await reader(request)
    services = services_of(request)
    try:
        user = services.links.user(link, request.scope["path"], services.clock())
    except Unauthenticated:
        await _count_unauthenticated(request)
        raise
    call = Call(request, user)
    await limit(call, "reads")
    await call.lookups.admit(call.user)
    return call


async def writer(
    request: Request,
    *,
    kind: Kind = "writes",
    to: str | None = None,
    registers: bool = False,
    exempt: str | None = None,
) -> Call:
    """A user who asks to write.

    Args:
        request: the request.
        kind: the rate it counts under.
        to: the chat that a message is sent to, whose size counts.
        registers: whether it may be a user's first request.
        exempt: the scope whose holders need not be registered.
    """
    call = await authenticated(request)
    cost = 1 if to is None else await call.lookups.send_cost(call.user, to)
    await limit(call, kind, cost)
    await _reach_positions(call)
    if not registers:
        await call.lookups.admit(call.user, unregistered=exempt in call.scopes)
    _take_key(call)
    return call


async def holder(request: Request, scope: str, kind: Kind) -> Call:
    """Who holds a scope and asks to read or to write; they need not be a registered user.

    Raises:
        Problem: `not_allowed` without the scope.
    """
    call = await authenticated(request)
    await limit(call, kind)
    if scope not in call.scopes:
        raise Problem("not_allowed", f"This needs a token with the scope {scope}.")
    await _reach_positions(call)
    await call.lookups.admit(call.user, unregistered=True)
    if kind == "writes":
        _take_key(call)
    return call


async def authenticated(request: Request) -> Call:
    """Whoever the token of a request speaks for.

    Raises:
        Problem: `unauthenticated`, or `rate_limited` after too many of those from one address.
    """
    services = services_of(request)
    try:
        token = bearer_token(request.headers.get("authorization"))
        principal = await services.authenticator.authenticate(token)
    except Unauthenticated as error:
        if error.status == 401:
            await _count_unauthenticated(request)
        raise
    return Call(request, principal.user, principal)


async def limit(call: Call, kind: Kind, cost: int = 1) -> None:
    """Count a request of a user.

    Raises:
        Problem: `rate_limited`.
    """
    await _count(call.request, kind, call.user, cost)


async def _count_unauthenticated(request: Request) -> None:
    address = client_address(
        request.client.host if request.client else "",
        ",".join(request.headers.getlist("x-forwarded-for")),
        services_of(request).policy.trusted_proxies,
    )
    await _count(request, "unauthenticated", address, 1)


async def _count(request: Request, kind: Kind, key: str, cost: int) -> None:
    limiter = services_of(request).limiter
    verdict = await limiter.hit(kind, key, cost)
    answer_headers(request).update(limiter.headers(kind, verdict))
    if not verdict.allowed:
        raise Problem("rate_limited", f"Too many requests. Go on in {verdict.retry_after} seconds.")


async def _reach_positions(call: Call) -> None:
    sent = call.request.headers.getlist("hansard-position")
    if not sent:
        return
    positions: dict[str, int] = {}
    for stream, seq in call.services.positions.decode(",".join(sent)):
        positions[stream] = max(seq, positions.get(stream, 0))
    await checks.reach(call.services, positions)


def _take_key(call: Call) -> None:
    call.key = _idempotency_key(call.request)
    call.tell("Idempotency-Key", call.key)


def _idempotency_key(request: Request) -> str:
    key = request.headers.get("idempotency-key")
    if key is None:
        return uuid4().hex
    if _KEY.fullmatch(key) is None:
        raise invalid_request("Idempotency-Key", "A key is 1 to 255 visible ASCII characters.")
    return key


async def body(request: Request, form: type[F]) -> F:
    """The body of a request as a form.

    Raises:
        Problem: `unsupported_media_type`, `too_large`, `bad_json` or `invalid_request`.
    """
    media_type = request.headers.get("content-type", "application/json").partition(";")[0]
    if media_type.strip().lower() != "application/json":
        raise Problem("unsupported_media_type", "Send application/json.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem("unsupported_media_type", "Send the body without a content encoding.")
    return forms.parse(form, await _read(request))


async def _read(request: Request) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > MAX_BODY_BYTES:
        raise _too_large()
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > MAX_BODY_BYTES:
            raise _too_large()
    return bytes(read)


def _too_large() -> Problem:
    return Problem("too_large", f"A body has at most {MAX_BODY_BYTES} bytes.")


def query(request: Request, form: type[F]) -> F:
    """The query of a request as a form of texts, numbers and booleans; others are passed over.

    Raises:
        Problem: `invalid_request`, with the parameter.
    """
    given = dict(request.query_params)
    if any("\0" in value for value in given.values()):
        raise invalid_request("query", "Text must not hold NUL characters.")
    try:
        return msgspec.convert(given, form, strict=False)
    except msgspec.ValidationError as error:
        raise forms.invalid(error) from error


def chat_id(request: Request) -> str:
    """The chat that the path names.

    Raises:
        Problem: `chat_not_found` when there can't be one of this name.
    """
    return _named(request, "chat", _ID, "chat_not_found")


def media_id(request: Request) -> str:
    """The media item that the path names.

    Raises:
        Problem: `media_not_found` when there can't be one of this name.
    """
    return _named(request, "media", _ID, "media_not_found")


def base_url(request: Request) -> str:
    """What addresses of this server begin with, as the client names it."""
    # Not by `request.url`, which can't be made of every `Host` that a client may send.
    scheme = request.scope["scheme"]
    peer = request.client.host if request.client else ""
    if is_within(peer, services_of(request).policy.trusted_proxies):
        scheme = request.headers.get("x-forwarded-proto", scheme)
    return f"{scheme}://{request.headers.get('host', '')}"


def user_id(request: Request) -> str:
    """The user that the path names.

    Raises:
        Problem: `user_not_found` when there can't be one of this name.
    """
    return _named(request, "user", _USER, "user_not_found")


def message_seq(request: Request) -> int:
    """The message that the path names by its seq.

    Raises:
        Problem: `message_not_found` when there can't be one.
    """
    seq = int(_named(request, "seq", _SEQ, "message_not_found"))
    if seq >= 2**63:
        raise checks.missing(NotFound("message_not_found"))
    return seq


def schedule_id(request: Request) -> str:
    """The schedule that the path names.

    Raises:
        Problem: `schedule_not_found` when there can't be one of this name.
    """
    return _named(request, "schedule", _ID, "schedule_not_found")


def device_id(request: Request) -> str:
    """The device that the path names.

    Raises:
        Problem: `not_found` when there can't be one of this name.
    """
    return _named(request, "device", _ID, "not_found")


def _named(request: Request, name: str, pattern: re.Pattern[str], code: str) -> str:
    value = str(request.path_params[name])
    if pattern.fullmatch(value) is None:
        raise checks.missing(NotFound(code))
    return value


def streams_of(chat: str, *users: str) -> tuple[str, ...]:
    """The streams that an answer about a chat and these users tells of."""
    return (chat_stream(chat), *map(user_stream, users))
