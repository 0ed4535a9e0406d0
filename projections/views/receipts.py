"""How far messages have come: sent, delivered, read; to whom, and when first."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from projections.chats import MEMBERSHIPS, Membership
from projections.marks import MARK_STEPS, MARKS, Mark
from projections.messages import MESSAGES, Message
from projections.store.port import Scan
from projections.views.access import access_to
from projections.views.reading import NotFound, Reading
from projections.views.shapes import ChatReceipt, Listing, Receipt, Status
from projections.views.visibility import one_visible

#: Members of a chat read at first for statuses, and by how much more each time they do not settle
#: them: in a large group mostly one of the longest-standing has not received a message.
_FIRST_MEMBERS = 16
_MORE_MEMBERS = 8
#: Messages of one sender read in one go while looking for one that was sent by hand.
_MAX_CHUNK = 256


class _Lowest(NamedTuple):
    """The lowest value so far, who has it, and the lowest of all the others."""

    value: float
    user: str
    of_others: float

    def but(self, user: str) -> float:
        return self.of_others if user == self.user else self.value

    def and_of(self, user: str, value: float) -> "_Lowest":
        if value < self.value:
            return _Lowest(value, user, self.value)
        return _Lowest(self.value, self.user, min(self.of_others, value))


_NOBODY = _Lowest(float("inf"), "", float("inf"))


class Roll:
    """The members of a chat, longest-standing first, with how far each has come.

    Statuses take one pass over the members and then a search by bisection a message.
    """

    def __init__(
        self, members: Iterable[Membership], marks: Iterable[Mark], *, whole: bool = True
    ) -> None:
        """`whole` tells whether these are all members."""
        self._whole = whole
        by_user = {mark.user: mark for mark in marks}
        self.members = sorted(members, key=lambda member: (member.joined, member.user))
        self._joined = [member.joined for member in self.members]
        self._receipts = [_reached(m, by_user.get(m.user)) for m in self.members]
        self._delivered = [_NOBODY]
        self._read = [_NOBODY]
        for one in self._receipts:
            self._delivered.append(self._delivered[-1].and_of(one.user, one.delivered_up_to))
            self._read.append(self._read[-1].and_of(one.user, one.read_up_to))

    def receipts(self) -> Sequence[ChatReceipt]:
        return self._receipts

    def settles(self, messages: Iterable[Message]) -> bool:
        """Whether members that are not here could not change the status of any of these."""
        return self._whole or all(
            message.ordinal is None or self._lacking(message) for message in messages
        )

    def _lacking(self, message: Message) -> bool:
        """Whether somebody who joined before the message has not received it."""
        before = bisect_left(self._joined, message.message)
        return self._delivered[before].but(message.sender) < message.message

    def status(self, message: Message) -> Status:
        """Delivered or read once every other member who joined before the message has it."""
        if message.ordinal is None:
            return "sent"
        before = bisect_left(self._joined, message.message)
        delivered = self._delivered[before].but(message.sender)
        if delivered == float("inf") or delivered < message.message:
            return "sent"
        if self._read[before].but(message.sender) < message.message:
            return "delivered"
        return "read"


def _reached(member: Membership, mark: Mark | None) -> ChatReceipt:
    # The mark that starts at joining is no receipt.
    read = mark.read_up_to if mark else 0
    delivered = max(read, member.sent, mark.delivered_up_to if mark else 0)
    return ChatReceipt(user=member.user, delivered_up_to=delivered, read_up_to=read)


async def rolls(reading: Reading, wanted: Mapping[str, Sequence[Message]]) -> dict[str, Roll]:
    """Rolls of these chats, by chat, with as many members as the statuses of the messages take."""
    settled: dict[str, Roll] = {}
    count = _FIRST_MEMBERS
    while open := [chat for chat in wanted if chat not in settled]:
        scans = [Scan((chat,), along="by_chat", limit=count) for chat in open]
        members = await reading.scan(MEMBERSHIPS, scans)
        marks = await reading.get(MARKS, [(m.user, m.chat) for some in members for m in some])
        for chat, some in zip(open, members, strict=True):
            known = [marks[m.user, chat] for m in some if (m.user, chat) in marks]
            roll = Roll(some, known, whole=len(some) < count)
            if roll.settles(wanted[chat]):
                settled[chat] = roll
        count *= _MORE_MEMBERS
    return settled


async def _whole_roll(reading: Reading, chat: str) -> Roll:
    scans = [Scan((chat,), along="by_chat")]
    [members] = await reading.scan(MEMBERSHIPS, scans)
    [marks] = await reading.scan(MARKS, scans)
    return Roll(members, marks)


async def of_chat(reading: Reading, user: str, chat: str) -> Listing[ChatReceipt]:
    """How far each member has come.

    Raises:
        NotFound: `chat_not_found`.
    """
    await access_to(reading, user, chat)
    roll = await _whole_roll(reading, chat)
    return Listing(items=roll.receipts(), next=None)


async def of_message(reading: Reading, user: str, chat: str, seq: int) -> Listing[Receipt]:
    """When each of those whose marks make the message's status first had it, and had read it.

    Raises:
        NotFound: `chat_not_found`, `message_not_found`.
    """
    access = await access_to(reading, user, chat)
    message = await one_visible(reading, access, seq)
    if message.ordinal is None:
        raise NotFound("message_not_found")
    roll = await _whole_roll(reading, chat)
    others = [m for m in roll.members if m.joined < seq and m.user != message.sender]
    read = await reached_at(reading, others, "read", seq)
    delivered = await reached_at(reading, others, "delivered", seq)
    wrote = await wrote_at(reading, [m for m in others if m.sent > seq], seq)
    return Listing(
        items=[
            Receipt(
                user=member.user,
                delivered_at=min(
                    (by[member.user] for by in (read, delivered, wrote) if member.user in by),
                    default=None,
                ),
                read_at=read.get(member.user),
            )
            for member in others
        ],
        next=None,
    )


async def reached_at(
    reading: Reading,
    members: Sequence[Membership],
    kind: Literal["delivered", "read"],
    seq: int,
) -> dict[str, str]:
    """When the mark of each member first reached a message."""
    scans = [Scan((m.chat, m.user, kind), above=seq - 1, limit=1) for m in members]
    return {step.user: step.at for [step] in filter(None, await reading.scan(MARK_STEPS, scans))}


async def wrote_at(reading: Reading, members: Sequence[Membership], seq: int) -> dict[str, str]:
    """When each member first sent something by hand after a message."""
    found: dict[str, str] = {}
    above = {m.user: Scan((m.chat, m.user), along="by_sender", above=seq) for m in members}
    chunk = 1
    while above:
        answers = await reading.scan(
            MESSAGES, [scan._replace(limit=chunk) for scan in above.values()]
        )
        for (user, scan), answer in zip(list(above.items()), answers, strict=True):
            by_hand = next((m for m in answer if m.schedule is None), None)
            if by_hand is not None:
                found[user] = by_hand.sent_at
            if by_hand is not None or len(answer) < chunk:
                del above[user]
            else:
                above[user] = scan._replace(above=answer[-1].message)
        chunk = min(4 * chunk, _MAX_CHUNK)
    return found
