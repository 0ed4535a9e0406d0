"""Messages on their way: sent, acknowledged, delivered."""

import asyncio
import math
import time
from array import array
from collections.abc import Callable, Sequence

from benchmarks import deliveries
from benchmarks.client import Connection, Frame
from benchmarks.deliveries import Inbox
from benchmarks.figures import LaneFigures, latency
from benchmarks.stage import Stage, User

# About the length of a usual chat message.
_TEXT = "the honourable member will come to order, and the question will be put"


class Room:
    """One chat with its only sender; `acks` gives the seq of each message number."""

    def __init__(self, chat: str) -> None:
        self.chat = chat
        self.stream = f"chats/{chat}"
        self.acks: dict[int, int] = {}
        self.head = 0
        self.position = ""
        self.inboxes: list[Inbox] = []
        self.sender: Connection
        self.template = b'{"op":"send","chat":"%b","id":"%%d","kind":"text","content":"%%d %b"}' % (
            chat.encode(),
            _TEXT.encode(),
        )

    def settled(self) -> bool:
        return all(inbox.newest() >= self.head for inbox in self.inboxes)


class Lane:
    """One flow of messages over one or more rooms in turn; only those after `begin` are measured.

    Messages are numbered 0, 1, 2 … over the whole lane. The number is the frame's `id` too.
    """

    def __init__(self, name: str, rooms: Sequence[Room]) -> None:
        self.name = name
        self.acked = 0
        self.last_ack = 0.0
        self.faults: list[str] = []
        self.rooms = rooms
        self._sent_at = array("d")
        self._limit = math.inf
        self._refill = False
        self._pacing: asyncio.Task[None] | None = None
        self._measured_from = math.inf
        self._began = 0.0
        self._answers = array("d")
        self._deliveries = array("d")

    def keep(self, outstanding: int) -> None:
        """Starts sending so that always so many messages wait for their ack."""
        self._refill = True
        for _ in range(outstanding):
            self._send()

    def pace(self, every_s: float) -> None:
        """Starts sending at this distance, whether or not acks come."""
        self._pacing = asyncio.create_task(self._keep_pace(every_s))

    def begin(self, messages: float = math.inf) -> None:
        """The messages sent from now on are measured, at most so many."""
        self._measured_from = len(self._sent_at)
        self._limit = self._measured_from + messages
        self._began = time.perf_counter()
        self.last_ack = self._began

    def end(self) -> None:
        self._limit = len(self._sent_at)
        if self._pacing:
            self._pacing.cancel()

    def drained(self) -> bool:
        """All are sent and acknowledged."""
        return len(self._sent_at) >= self._limit and self.acked == len(self._sent_at)

    def settled(self) -> bool:
        """Every reader has got the newest message that was acknowledged."""
        return all(room.settled() for room in self.rooms)

    def check(self) -> list[str]:
        found = list(self.faults)
        for room in self.rooms:
            for inbox in room.inboxes:
                found += deliveries.faults(room.acks, inbox)
        return found

    def figures(self) -> LaneFigures:
        seconds = max(self.last_ack - self._began, 1e-9)
        return LaneFigures(
            lane=self.name,
            unit="messages",
            count=len(self._answers),
            per_s=round(len(self._answers) / seconds, 1),
            deliveries_per_s=round(len(self._deliveries) / seconds, 1),
            answer_ms=latency(self._answers),
            delivery_ms=latency(self._deliveries),
        )

    def sending(self, room: Room) -> Callable[[Frame, float], None]:
        """What the sender's connection does with its frames."""

        def hear(frame: Frame, at: float) -> None:
            if frame.op == "ack" and frame.id is not None:
                self._acknowledged(room, int(frame.id), frame, at)

        return hear

    def reading(self, room: Room, user: User) -> Callable[[Frame, float], None]:
        """What the connection of a reader of the room does with its frames."""
        inbox = Inbox(f"{self.name}, {room.stream}, {user.id}")
        room.inboxes.append(inbox)

        def hear(frame: Frame, at: float) -> None:
            if frame.type == "message.sent" and frame.stream == room.stream:
                number = inbox.add(frame.seq, frame.data.content if frame.data else None)
                if self._measured_from <= number < len(self._sent_at):
                    self._deliveries.append(at - self._sent_at[number])

        return hear

    def _send(self) -> None:
        number = len(self._sent_at)
        if number >= self._limit:
            return
        room = self.rooms[number % len(self.rooms)]
        self._sent_at.append(time.perf_counter())
        room.sender.send(room.template % (number, number))

    async def _keep_pace(self, every_s: float) -> None:
        began = time.perf_counter()
        turn = 0
        while True:
            self._send()
            turn += 1
            await asyncio.sleep(max(0.0, began + turn * every_s - time.perf_counter()))

    def _acknowledged(self, room: Room, number: int, frame: Frame, at: float) -> None:
        if number in room.acks:
            self.faults.append(f"{self.name}, {room.stream}: message {number} acknowledged twice")
            return
        room.acks[number] = frame.seq
        if frame.seq > room.head:
            room.head, room.position = frame.seq, frame.position
        self.acked += 1
        self.last_ack = at
        if number >= self._measured_from:
            self._answers.append(at - self._sent_at[number])
        if self._refill:
            self._send()


async def lane(stage: Stage, name: str, kind: str, groups: Sequence[Sequence[User]]) -> Lane:
    """A chat for each group, all its members connected: the first sends, the others read."""
    rooms = [Room(chat) for chat in await stage.chats(kind, groups)]
    made = Lane(name, rooms)

    async def send(room: Room, user: User) -> None:
        room.sender = await stage.connect(user, room.chat, made.sending(room))

    async def read(room: Room, user: User) -> None:
        await stage.connect(user, room.chat, made.reading(room, user))

    await asyncio.gather(
        *(send(room, members[0]) for room, members in zip(rooms, groups, strict=True)),
        *(
            read(room, user)
            for room, members in zip(rooms, groups, strict=True)
            for user in members[1:]
        ),
    )
    return made
