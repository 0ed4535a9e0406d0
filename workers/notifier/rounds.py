"""Tells the members of a chat of its messages: all that came meanwhile in one round.

However many messages come, a chat's members are looked at once in a while only; for those who have
a device and want to be told there is one push message a round.
"""

from collections.abc import Callable, Mapping, Sequence

from domain.notifications import wants
from projections.chats import MEMBERSHIPS
from projections.devices import Attention
from projections.messages import MESSAGES
from projections.notifications import NOTIFICATIONS, Notification
from projections.outbox import PUSHES, ROUNDS, Round
from projections.store.port import Scan
from projections.views.notifications import attention, of_message
from projections.views.reading import Reading
from workers.notifier.digests import Digests
from workers.notifier.queue import Queue
from workers.notifier.told import of, push_of, still

#: Rounds made at once.
BATCH = 32


class Rounds:
    def __init__(self, queue: Queue, reading: Callable[[], Reading], digests: Digests) -> None:
        self._queue = queue
        self._reading = reading
        self._digests = digests

    async def carry_out(self, partition: str) -> None:
        """Make the rounds that are due."""
        while found := await self._queue.due(ROUNDS, partition, BATCH):
            reading = self._reading()
            rows = await self._rows(reading, found)
            known = await attention(reading, {row.user for row in rows})
            to_mail = [r.user for r in rows if wants(known[r.user].preferences, r.kind, "email")]
            await self._digests.want(to_mail, partition)
            pushes = [
                push_of(row, device, partition, reading.now)
                for row in await self._to_push(reading, rows, known)
                for device in known[row.user].devices
            ]
            await self._queue.write(
                {PUSHES: pushes, ROUNDS: [_ended(one, reading.now) for one in found]}
            )

    async def _rows(self, reading: Reading, rounds: Sequence[Round]) -> list[Notification]:
        """The newest message of each chat, for each of its members but the sender."""
        places = [(one.chat, one.event) for one in rounds]
        messages = await reading.get(MESSAGES, places)
        shown = [message for message in messages.values() if not reading.gone(message)]
        scans = [Scan((message.chat,), along="by_chat") for message in shown]
        members = await reading.scan(MEMBERSHIPS, scans)
        return [
            of_message(member.user, message)
            for message, present in zip(shown, members, strict=True)
            for member in present
            if member.user != message.sender
        ]

    async def _to_push(
        self, reading: Reading, rows: Sequence[Notification], known: Mapping[str, Attention]
    ) -> list[Notification]:
        candidates = [
            row
            for row in rows
            if known[row.user].devices and wants(known[row.user].preferences, row.kind, "push")
        ]
        # Who is told of the same message for a better reason is not told twice.
        others = await reading.get(NOTIFICATIONS, [(r.user, r.chat, r.event) for r in candidates])
        covered = {
            key
            for key, row in others.items()
            if row.standing and wants(known[row.user].preferences, row.kind, "push")
        }
        told = await still(reading, candidates, "push")
        return [
            row
            for row in candidates
            if of(row) in told and (row.user, row.chat, row.event) not in covered
        ]


def _ended(one: Round, now: str) -> Round:
    return Round(
        seq=2 * one.event + 1,
        chat=one.chat,
        partition=one.partition,
        event=one.event,
        due=one.due,
        waiting=False,
        done_at=now,
    )
