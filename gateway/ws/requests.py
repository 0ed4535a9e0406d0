"""What one connection asks for once it was greeted, and how that is answered."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from domain.commands import ScheduleMessage
from domain.decider import Verdict
from domain.ids import chat_stream, user_stream
from gateway import forms, writes
from gateway.auth import MODERATE
from gateway.commander import Done, carried_out
from gateway.lookups import send_cost
from gateway.problems import Problem
from gateway.services import Services
from gateway.ws import frames
from gateway.ws.attendance import Device
from gateway.ws.marks import MarkKind, MarkWriter
from gateway.ws.session import RATE, Expected, Session
from gateway.ws.traffic import Passage
from gateway.ws.typing import TypingRelay

CATCH_UP = 2.0
#: Writes of one connection that may be under way; reading pauses above that.
MAX_UNDER_WAY = 512
#: Positions a connection's frames wait for: the newest of the streams it wrote to last.
REMEMBERED_POSITIONS = 16
#: Frames turned away in a row before a connection is closed.
MAX_TURNED_AWAY = 200


class Asker(Protocol):
    """Whose requests these are. `answered` is called when an answer stands in the session."""

    @property
    def user(self) -> str: ...
    @property
    def scopes(self) -> frozenset[str]: ...

    def answered(self) -> None: ...
    def close(self, code: int, reason: str) -> None: ...


class Requests:
    """While `room` is not set nothing more is to be asked for; `under_way` counts the writes that
    are not answered yet."""

    def __init__(
        self,
        asker: Asker,
        session: Session,
        services: Services,
        marks: MarkWriter,
        typing: TypingRelay,
        passage: Passage,
    ) -> None:
        """`device` is to be set before anything is asked for."""
        self._asker = asker
        self._session = session
        self._services = services
        self._marks = marks
        self._typing = typing
        self._passage = passage
        self.device: Device | None = None
        self._given: OrderedDict[str, int] = OrderedDict()
        self._turned_away = 0
        self.under_way = 0
        self.room = asyncio.Event()
        self.room.set()

    async def carry_out(self, request: frames.Presence | frames.InChat) -> None:
        """Do what a frame asks for, or send it on its way.

        Raises:
            Problem: it is not done; and what reading raises.
        """
        members_count = 0
        if not isinstance(request, frames.Presence):
            members_count = self._services.hub.members_count(chat_stream(request.chat)) or 0
        cost = send_cost(members_count) if isinstance(request, frames.Send) else 1
        verdict = await self._services.limiter.hit("writes", self._asker.user, cost)
        if not verdict.allowed:
            self._turned_away += 1
            if self._turned_away > MAX_TURNED_AWAY:
                self._asker.close(RATE, "too many frames")
                return
            retry = {"Retry-After": str(verdict.retry_after)}
            raise Problem("rate_limited", "Too many frames.", headers=retry)
        self._turned_away = 0
        assert self.device is not None
        self._services.attendance.stir(self.device)
        match request:
            case frames.Presence():
                self._services.attendance.say(self.device, request.status)
            case frames.Typing():
                if not self._services.hub.is_member(self._asker.user, chat_stream(request.chat)):
                    raise Problem("chat_not_found", "There is no such chat for you.")
                await self._typing.typing(self._asker.user, request.chat, request.on, members_count)
            case frames.Read() | frames.Delivered():
                await self._mark(request, members_count)
            case frames.Send() | frames.Edit() | frames.Delete() | frames.React():
                with self._passage.writing(request) as answered:
                    await self._start(request, answered)

    async def _start(self, request: frames.Write, answered: Callable[[], None]) -> None:
        """Send a write on its way; it is acknowledged when its verdict comes."""
        services, user, chat = self._services, self._asker.user, request.chat
        match request:
            case frames.Send():
                if request.scheduled_for is not None:
                    await self._catch_up()
                elif await services.contacts.pair(chat):
                    await self._catch_up(user_stream(user))
                command = await writes.send(services, user, chat, request, request.id)
            case frames.Edit():
                await self._catch_up()
                form = forms.EditForm(content=request.content, mentions=request.mentions)
                command = await writes.edit(services, user, chat, request.seq, form, request.id)
            case frames.Delete(scope="me"):
                await self._catch_up()
                command = await writes.delete_for_me(services, user, chat, request.seq, request.id)
            case frames.Delete():
                moderates = MODERATE in self._asker.scopes
                command = await writes.delete_for_everyone(
                    services, user, chat, request.seq, request.id, moderates=moderates
                )
            case frames.React():
                if await services.contacts.pair(chat):
                    await self._catch_up(user_stream(user))
                command = await writes.react(
                    services, user, chat, request.seq, request.emoji, request.id
                )
        action = command.action
        schedule = action.schedule if isinstance(action, ScheduleMessage) else None
        expected = Expected(command.id, command.digest, request.id, chat, command.stream, schedule)
        self._session.expect(expected)
        self.under_way += 1
        if self.under_way >= MAX_UNDER_WAY:
            self.room.clear()

        def reply(verdict: Verdict | None) -> None:
            self.under_way -= 1
            self.room.set()
            try:
                outcome = carried_out(verdict)
                self._give(outcome.stream, outcome.seq)
                self._session.settled(expected, outcome.seq, outcome.time, outcome.ordinal)
            except Problem as problem:
                self._session.failed(expected, problem)
            answered()
            self._asker.answered()

        try:
            services.commander.start(command, reply)
        except Problem as problem:
            self.under_way -= 1
            self._session.failed(expected, problem)
            answered()

    async def _mark(self, request: frames.Mark, members_count: int) -> None:
        await self._catch_up()
        kind: MarkKind = "read" if isinstance(request, frames.Read) else "delivered"
        await writes.markable(self._services, self._asker.user, request.chat, request.up_to)

        def settled(_: int, result: Done | Problem) -> None:
            if isinstance(result, Problem):
                self._session.error(request.id, result)
            else:
                outcome = result.outcome
                self._give(outcome.stream, outcome.seq)
                self._session.acknowledge(
                    frames.Ack(
                        chat=request.chat,
                        seq=outcome.seq,
                        time=outcome.time,
                        position=result.position,
                        id=request.id,
                        up_to=request.up_to,
                    )
                )
            self._asker.answered()

        place = (self._asker.user, request.chat, kind)
        self._marks.mark(place, request.up_to, members_count, settled)

    async def _catch_up(self, stream: str | None = None) -> None:
        """Wait until the read models have what this connection was told: of one stream, where a
        write looks at no other, or of all."""
        given = self._given
        if stream is not None:
            given = OrderedDict((s, seq) for s, seq in given.items() if s == stream)
        await self._services.progress.wait(given, CATCH_UP)

    def _give(self, stream: str, seq: int) -> None:
        self._given[stream] = max(seq, self._given.get(stream, 0))
        self._given.move_to_end(stream)
        if len(self._given) > REMEMBERED_POSITIONS:
            self._given.popitem(last=False)
