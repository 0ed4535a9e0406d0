"""Searches of a user in their many chats."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from urllib.parse import urlencode

import msgspec

from benchmarks import Stop, rest
from benchmarks.client import Connection, Frame
from benchmarks.corpus import Corpus, Said
from benchmarks.figures import LaneFigures, Result, answers, result
from benchmarks.process import Meter
from benchmarks.questions import Question, questions
from benchmarks.scenarios import Plan
from benchmarks.stage import Stage, User

_CHATS, _MESSAGES = 200, 100_000
_SECONDS = 20.0
_SENDERS = 8
#: Messages of each sender that wait for their ack.
_OUTSTANDING = 8
_STALLED_S = 60.0
_POLL_S = 0.05
_PAGE = 50


class _Message(msgspec.Struct, frozen=True):
    seq: int
    content: str = ""


class _Found(msgspec.Struct, frozen=True):
    message: _Message
    highlights: list[tuple[int, int]]


class _Answer(msgspec.Struct, frozen=True):
    items: list[_Found]
    next: str | None = None


class _Newest(msgspec.Struct, frozen=True):
    items: list[_Message]


_decode = msgspec.json.Decoder(_Answer).decode
_decode_newest = msgspec.json.Decoder(_Newest).decode


async def search(stage: Stage, plan: Plan, meter: Meter) -> Result:
    """One query at a time, and then several at once. What a page shows must have been asked for."""
    chats_count, messages = plan.chats or _CHATS, plan.messages or _MESSAGES
    reader, *senders = await stage.users(["reader", *(f"s{n}" for n in range(_SENDERS))])
    members = [[senders[n % _SENDERS], reader] for n in range(chats_count)]
    chats = await stage.chats("group", members)
    corpus = Corpus()
    said = [corpus.next() for _ in range(messages)]
    midway = await _fill(stage, reader, senders, chats, said)
    asked = questions(corpus, said, [sender.id for sender in senders], chats, midway)
    found: list[str] = []
    lanes: list[LaneFigures] = []
    meter.start()
    for at_once in dict.fromkeys((1, plan.concurrency)):
        run = _Run(reader, asked, plan.seconds or _SECONDS)
        await stage.each(range(at_once), run.work, at_once)
        lanes += run.figures(at_once)
        found += run.faults
    parameters = {"messages": messages, "chats": chats_count}
    return result("search", parameters, lanes, meter.stop(), found)


class _Run:
    """Questions for so many seconds, by any number of workers."""

    def __init__(self, reader: User, asked: Iterator[Question], seconds: float) -> None:
        self.faults: list[str] = []
        self._reader = reader
        self._asked = asked
        self._took: dict[str, list[float]] = {}
        self._began = time.perf_counter()
        self._until = self._began + seconds

    async def work(self, server: rest.Rest, _: int) -> None:
        while time.perf_counter() < self._until:
            question = next(self._asked)
            query = dict(question.query)
            if question.second:
                first = _decode((await self._ask(server, query)).body)
                if first.next is None:
                    continue
                query["cursor"] = first.next
            began = time.perf_counter()
            answer = await self._ask(server, query)
            took = time.perf_counter() - began
            self._took.setdefault(question.kind, []).append(took)
            self._check(question, _decode(answer.body))

    def figures(self, at_once: int) -> list[LaneFigures]:
        seconds = time.perf_counter() - self._began
        everything = [one for took in self._took.values() for one in took]
        return [
            answers(f"{kind}, {at_once} at once", "queries", took, seconds)
            for kind, took in (*self._took.items(), ("all", everything))
        ]

    async def _ask(self, server: rest.Rest, query: dict[str, str]) -> rest.Answer:
        path = f"/v1/search/messages?{urlencode(query)}"
        return await server.call("GET", path, self._reader.token)

    def _check(self, question: Question, answer: _Answer) -> None:
        if question.count is not None and len(answer.items) != question.count:
            self.faults.append(f"{question.query}: {len(answer.items)}, not {question.count}")
        if len(answer.items) < _PAGE and answer.next is not None:
            self.faults.append(f"{question.query}: a short page in the middle")
        for one in answer.items:
            content = one.message.content.lower()
            if not all(word in content for word in question.words):
                self.faults.append(f"{question.query}: {content!r}")


class _Sender:
    """Says its part of everything, in its chats in turn."""

    def __init__(self, chats: Sequence[str], said: Sequence[Said]) -> None:
        self.heads: dict[str, int] = {}
        self.midway = ""
        self.last_ack = time.perf_counter()
        self.chats = chats
        self._said = said
        self._sent = 0
        self._acked = 0
        self._connection: Connection

    def done(self) -> bool:
        return self._acked == len(self._said)

    def begin(self, connection: Connection) -> None:
        self._connection = connection
        for _ in range(_OUTSTANDING):
            self._send()

    def hear(self, frame: Frame, at: float) -> None:
        if frame.op != "ack" or frame.id is None:
            return
        self.heads[self._chat(int(frame.id))] = frame.seq
        self.last_ack = at
        self._acked += 1
        if self._acked == len(self._said) // 2:
            self.midway = frame.time
        self._send()

    def _chat(self, number: int) -> str:
        return self.chats[number % len(self.chats)]

    def _send(self) -> None:
        if self._sent == len(self._said):
            return
        number, said = self._sent, self._said[self._sent]
        self._sent += 1
        form: dict[str, object] = {"kind": "text"}
        if said.located:
            form = {"kind": "location", "metadata": {"location": {"lat": 1.5, "lng": 2.5}}}
        frame = {"op": "send", "id": str(number), "chat": self._chat(number)}
        self._connection.send(msgspec.json.encode(frame | form | {"content": said.content}))


async def _fill(
    stage: Stage, reader: User, senders: Sequence[User], chats: Sequence[str], said: Sequence[Said]
) -> str:
    """Return when the reader has all messages: a time between them."""
    fills = [_Sender(chats[n::_SENDERS], said[n::_SENDERS]) for n in range(_SENDERS)]
    for user, sender in zip(senders, fills, strict=True):
        sender.begin(await stage.connect(user, sender.chats[0], sender.hear))

    def last_ack() -> float:
        return max(sender.last_ack for sender in fills)

    if not await stage.until(lambda: all(one.done() for one in fills), _STALLED_S, last_ack):
        raise Stop(f"no acknowledgement for {_STALLED_S:g} s")

    async def arrive(server: rest.Rest, place: tuple[str, int]) -> None:
        chat, head = place
        path = f"/v1/chats/{chat}/messages?limit=1"
        until = time.perf_counter() + _STALLED_S
        while time.perf_counter() < until:
            newest = _decode_newest((await server.call("GET", path, reader.token)).body)
            if newest.items[-1].seq >= head:
                return
            await asyncio.sleep(_POLL_S)
        raise Stop(f"the last message of chat {chat} does not show")

    await stage.each([place for one in fills for place in one.heads.items()], arrive)
    return fills[0].midway
