"""What is driven, one function a scenario."""

import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from benchmarks import Stop, deliveries, rest, traffic
from benchmarks.deliveries import Inbox
from benchmarks.figures import ProcessFigures, Result, answers, result
from benchmarks.process import Meter
from benchmarks.stage import Stage, User
from benchmarks.traffic import Lane, Room

_STALLED_S = 30.0
_SETTLED_S = 10.0
_OUTSTANDING = 16
_CHATS = 100
_PAGE = 50
# No multiple of the group's usual distances, so that the two meet in every phase.
ASIDE_MS = 17.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """None stands for the scenario's own default."""

    seconds: float | None
    messages: int | None
    warmup_s: float
    outstanding: int | None
    chats: int | None
    members: int
    deliveries: float
    every_ms: float
    concurrency: int
    people: int
    circle: int
    sessions: float

    def length(self) -> tuple[float, float]:
        """The seconds and messages that end a run, whichever comes first; 10 s if none is given."""
        if self.seconds is None and self.messages is None:
            return 10.0, math.inf
        return self.seconds or math.inf, self.messages or math.inf


Scenario = Callable[[Stage, Plan, Meter], Awaitable[Result]]


async def room(stage: Stage, plan: Plan, meter: Meter) -> Result:
    """One group of a sender and a reader."""
    outstanding = plan.outstanding or _OUTSTANDING
    main = await traffic.lane(stage, "room", "group", [await stage.users(["sender", "reader"])])
    main.keep(outstanding)
    processes = await run(stage, meter, plan.warmup_s, *plan.length(), [main])
    return _result("room", {"outstanding": outstanding}, [main], processes)


async def rooms(stage: Stage, plan: Plan, meter: Meter) -> Result:
    """Direct chats that take turns, each between two users of its own."""
    outstanding = plan.outstanding or 2 * _OUTSTANDING
    chats = plan.chats or _CHATS
    users = await stage.users(f"{role}{place}" for place in range(chats) for role in "sr")
    pairs = list(zip(users[::2], users[1::2], strict=True))
    main = await traffic.lane(stage, "rooms", "direct", pairs)
    main.keep(outstanding)
    processes = await run(stage, meter, plan.warmup_s, *plan.length(), [main])
    parameters = {"chats": chats, "outstanding": outstanding}
    return _result("rooms", parameters, [main], processes)


async def fanout(stage: Stage, plan: Plan, meter: Meter) -> Result:
    """A large group at a given rate of deliveries, and a direct chat beside it."""
    users = await stage.users(f"m{place}" for place in range(plan.members))
    pair = await stage.users(["sender", "reader"])
    main = await traffic.lane(stage, "group", "group", [users])
    aside = await traffic.lane(stage, "direct", "direct", [pair])
    main.pace((plan.members - 1) / plan.deliveries)
    aside.pace(ASIDE_MS / 1000)
    processes = await run(stage, meter, plan.warmup_s, *plan.length(), [main, aside])
    parameters = {"members": plan.members, "deliveries/s": plan.deliveries}
    return _result("fanout", parameters, [main, aside], processes)


async def spaced(stage: Stage, plan: Plan, meter: Meter) -> Result:
    """One group of a sender and a reader, at a fixed distance."""
    main = await traffic.lane(stage, "room", "group", [await stage.users(["sender", "reader"])])
    main.pace(plan.every_ms / 1000)
    processes = await run(stage, meter, plan.warmup_s, *plan.length(), [main])
    return _result("spaced", {"every ms": plan.every_ms}, [main], processes)


async def soak(stage: Stage, plan: Plan, meter: Meter) -> Result:
    """Many messages in one group, to see whether the server's memory stays flat."""
    outstanding = plan.outstanding or _OUTSTANDING
    messages = plan.messages or 100_000
    main = await traffic.lane(stage, "room", "group", [await stage.users(["sender", "reader"])])
    main.keep(outstanding)
    processes = await run(stage, meter, plan.warmup_s, plan.seconds or math.inf, messages, [main])
    return _result("soak", {"messages": messages, "outstanding": outstanding}, [main], processes)


async def history(stage: Stage, plan: Plan, meter: Meter) -> Result:
    """Walks back through a long chat page by page, several walkers at once.

    One walk before the measured part, and every measured one that got to the chat's beginning,
    must have shown each message once and in order.
    """
    messages = plan.messages or 10_000
    users = await stage.users(["sender", "reader"])
    fill = await traffic.lane(stage, "fill", "group", [users])
    fill.begin(messages)
    fill.keep(_OUTSTANDING)
    await _drain(stage, [fill])
    chat = fill.rooms[0]
    walks: list[Inbox] = []
    took: list[float] = []

    async def first_walk(server: rest.Rest, path: str) -> None:
        await server.call("GET", path, users[1].token, position=chat.position)
        await _walk(server, chat, users[1], math.inf, walks, [])

    await stage.each([f"/v1/chats/{chat.chat}/messages"], first_walk, 1)
    meter.start()
    began = time.perf_counter()
    until = began + (plan.seconds or 10.0)

    async def walker(server: rest.Rest, _: int) -> None:
        while time.perf_counter() < until:
            await _walk(server, chat, users[1], until, walks, took)

    await stage.each(range(plan.concurrency), walker, plan.concurrency)
    seconds = time.perf_counter() - began
    processes = meter.stop()
    found = fill.check()
    for walk in walks:
        walk.reverse()
        found += deliveries.faults(chat.acks, walk)
    pages = answers("pages", "pages", took, seconds)
    parameters = {"messages": messages, "page": _PAGE, "concurrency": plan.concurrency}
    return result("history", parameters, [pages], processes, found)


class _Item(msgspec.Struct, gc=False):
    seq: int
    kind: str
    content: str | None = None


class _Page(msgspec.Struct, gc=False):
    items: list[_Item]
    next: int | str | None = None


_decode_page = msgspec.json.Decoder(_Page).decode


async def _walk(
    server: rest.Rest,
    chat: Room,
    reader: User,
    until: float,
    walks: list[Inbox],
    took: list[float],
) -> None:
    """From the newest page to the oldest, and into `walks`, newest first, if there in time."""
    path = f"/v1/chats/{chat.chat}/messages?limit={_PAGE}"
    seen = Inbox(f"history, {chat.stream}, walk {len(walks) + 1}")
    before = ""
    while time.perf_counter() < until:
        asked = time.perf_counter()
        answer = await server.call("GET", path + before, reader.token)
        took.append(time.perf_counter() - asked)
        page = _decode_page(answer.body)
        for item in reversed(page.items):
            if item.kind != "system":
                seen.add(item.seq, item.content)
        if page.next is None:
            walks.append(seen)
            return
        before = f"&before={page.next}"


async def run(
    stage: Stage,
    meter: Meter,
    warmup_s: float,
    seconds: float,
    messages: float,
    lanes: Sequence[Lane],
) -> ProcessFigures:
    """Measures lanes that are already sending; the first one's messages count towards the end."""
    await stage.until(lambda: False, warmup_s)
    main, *others = lanes
    main.begin(messages)
    for other in others:
        other.begin()
    meter.start()
    deadline = time.perf_counter() + seconds
    await _watch(stage, lambda: time.perf_counter() >= deadline or main.drained(), lanes)
    for one in lanes:
        one.end()
    await _drain(stage, lanes)
    return meter.stop()


async def _drain(stage: Stage, lanes: Sequence[Lane]) -> None:
    """Until all is acknowledged and delivered. What is not delivered is left to the check."""
    await _watch(stage, lambda: all(one.drained() for one in lanes), lanes)
    await stage.until(lambda: all(one.settled() for one in lanes), _SETTLED_S)


async def _watch(stage: Stage, condition: Callable[[], bool], lanes: Sequence[Lane]) -> None:
    """Raises Stop when no ack comes any more on one of the lanes."""

    def last_sign() -> float:
        return min((one.last_ack for one in lanes if not one.drained()), default=math.inf)

    if not await stage.until(condition, _STALLED_S, last_sign):
        raise Stop(f"no acknowledgement for {_STALLED_S:g} s")


def _result(
    scenario: str,
    parameters: Mapping[str, float],
    lanes: Sequence[Lane],
    processes: ProcessFigures,
) -> Result:
    found = [fault for one in lanes for fault in one.check()]
    return result(scenario, parameters, [one.figures() for one in lanes], processes, found)
