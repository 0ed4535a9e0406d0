"""The way to the decider: makes commands of actions, seals them, waits for their reply."""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple
from uuid import uuid4

import msgspec

from domain import commands as c
from domain.decider import Verdict
from domain.envelope import Basis
from domain.ids import command_id, user_stream
from domain.refusals import MESSAGE_DELETED, USER_ERASED
from gateway.position import PositionCodec
from gateway.problems import CODES, FieldError, Problem
from gateway.trail import TRAIL
from projections.vault import KeyDestroyed, Vault

Reply = Callable[[Verdict | None], None]

_canonical = msgspec.json.Encoder(order="deterministic")

#: The fields of an action that are sealed.
SEALED = (
    "content",
    "metadata",
    "name",
    "description",
    "email",
    "avatar",
    "sha256",
    "reason",
    "subscription",
)


#: The actor of what no person does, and the id of the key of its command digests.
SYSTEM = "system"
_BY_ITSELF = (c.ClaimSchedule, c.FireSchedule, c.ExpireMessage)

#: Hands a command to the decider of its stream. The reply comes once the verdict is durable, None
#: when the log could not take it. Raises `Busy` when too many commands wait.
Decide = Callable[[c.Command, Reply], None]


class Busy(Exception):
    """The way to the decider is full."""


class Done(NamedTuple):
    """An accepted or unchanged command; `position` is for `Hansard-Position`."""

    outcome: c.Outcome
    position: str
    replayed: bool


class Commander:
    def __init__(
        self,
        vault: Vault,
        decide: Decide,
        positions: PositionCodec,
        clock: Callable[[], str],
        *,
        delete_destroys: bool = False,
    ) -> None:
        """`clock` gives the present instant. `delete_destroys` gives every message its own key."""
        self._vault = vault
        self._decide = decide
        self._positions = positions
        self._clock = clock
        self._delete_destroys = delete_destroys

    def identify(self, user: str, stream: str, key: str | None) -> tuple[str, str]:
        """The idempotency key, made if there is none, and the command id under it."""
        key = key or uuid4().hex
        return key, command_id(user, stream, key)

    async def command(
        self,
        user: str,
        stream: str,
        command: str,
        action: c.AnyAction,
        *,
        basis: Sequence[Basis] = (),
        rights: c.Rights = "client",
        time: str | None = None,
        key: str | None = None,
        asked: object = None,
    ) -> c.Command:
        """A command, its fields sealed. Keys it needs are durable before it is returned.

        `key` is the id of the key to seal under, where it is not the one that follows from the
        action: an edit takes the key its message was sealed under. `asked` is what was asked for,
        where the action alone does not tell whether a repeated request is the same.

        Raises:
            Problem: `user_erased` when the writer's key was destroyed, `message_deleted` when that
                of the message was.
        """
        writer = SYSTEM if isinstance(action, _BY_ITSELF) else user_stream(user)
        key = key or self._key_id(stream, command, action, writer)
        try:
            await self._vault.ensure((writer,) if key == writer else (writer, key))
        except KeyDestroyed as error:
            if error.key_id != writer:
                raise Problem(MESSAGE_DELETED.code, MESSAGE_DELETED.detail) from error
            raise Problem("user_erased", USER_ERASED.detail) from error
        digest = self._vault.digest(writer, _canonical.encode((stream, asked or action)))
        sealable = {field: getattr(action, field) for field in SEALED if hasattr(action, field)}
        if sealable:
            sealed = self._vault.seal(key, stream, command, sealable)
            action = msgspec.structs.replace(action, **sealed)
        trail = TRAIL.get()
        return c.Command(
            id=command,
            digest=digest,
            stream=stream,
            actor=user,
            time=time or self._clock(),
            action=action,
            rights=rights,
            basis=tuple(basis),
            traceparent=trail.traceparent if trail is not None else None,
        )

    def start(self, command: c.Command, reply: Reply) -> None:
        """Hand a command on; `reply` is called once with its verdict, never before this returns.

        Raises:
            Problem: `unavailable` when too many commands wait.
        """
        trail = TRAIL.get()
        if trail is not None:
            trail.commands.append(command.id)
        try:
            self._decide(command, reply)
        except Busy as error:
            raise unavailable() from error

    async def execute(self, command: c.Command) -> Done:
        """Hand a command on and wait for what becomes of it.

        Raises:
            Problem: it was refused, or could not be taken.
        """
        future: asyncio.Future[Verdict | None] = asyncio.get_running_loop().create_future()

        def reply(verdict: Verdict | None) -> None:
            # A client that has gone away has cancelled the future.
            if not future.done():
                future.set_result(verdict)

        self.start(command, reply)
        return self.done(await future)

    def done(self, verdict: Verdict | None) -> Done:
        """What a verdict means for the one who asked.

        Raises:
            Problem: the refusal, or `unavailable` without a verdict.
        """
        outcome = carried_out(verdict)
        position = self._positions.encode(outcome.stream, outcome.seq)
        return Done(outcome, position, verdict is not None and verdict.replayed)

    def _key_id(self, stream: str, command: str, action: c.AnyAction, writer: str) -> str:
        if isinstance(action, c.CreateChat | c.ChangeChat):
            return stream
        destroyable = isinstance(action, c.SendMessage | c.ScheduleMessage) and (
            action.expires_in is not None or self._delete_destroys
        )
        return f"messages/{command}" if destroyable else writer


def carried_out(verdict: Verdict | None) -> c.Outcome:
    """The outcome of a verdict that is no refusal.

    Raises:
        Problem: the refusal, or `unavailable` without a verdict.
    """
    if verdict is None:
        raise unavailable()
    if verdict.outcome.status == "refused":
        raise refused(verdict.outcome, verdict.replayed)
    return verdict.outcome


def refused(outcome: c.Outcome, replayed: bool = False) -> Problem:
    """A refusal as a problem."""
    code = outcome.code if outcome.code in CODES else "internal_error"
    assert code is not None
    errors = [FieldError(outcome.field, outcome.detail or "")] if outcome.field else []
    headers = {"Idempotent-Replayed": "true"} if replayed else {}
    return Problem(code, outcome.detail or "", errors=errors, headers=headers)


def unavailable() -> Problem:
    return Problem("unavailable", "The log can't take it now.", headers={"Retry-After": "1"})
