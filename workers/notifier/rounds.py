"""Tells the members of a chat of its messages: all that came meanwhile in one round.

However many messages come, a chat's members are looked at once in a while only; for those who have
a device and want to be told there is one push message a round.
"""

from collections.abc import Callable

from domain.notifications import wants
from projections.chats import MEMBERSHIPS
from projections.messages import MESSAGES, Message
from projections.notifications import NOTIFICATIONS
from projections.outbox import PUSHES, ROUNDS, Push, Round
from projections.store.port import Batch, Scan
from projections.views.notifications import attention, of_message
from projections.views.reading import Reading
from workers.notifier.digests import Digests
from workers.notifier.queue import Queue
from workers.notifier.told import Telling, of, push_of

BATCH = 16


class Rounds:
    def __init__(
        self, queue: Queue, reading: Callable[[], Reading], telling: Telling, digests: Digests
    ) -> None:
        self._queue = queue
        self._reading = reading
        self._telling = telling
        self._digests = digests

    async def carry_out(self, partition: str) -> None:
        """Make the rounds that are due."""
        while found := await self._queue.due(ROUNDS, partition, BATCH):
            for one in found:
                await self._carry_out(one)

    async def _carry_out(self, one: Round) -> None:
        reading = self._reading()
        place = (one.chat, one.event)
        message = (await reading.get(MESSAGES, [place])).get(place)
        pushes: list[Push] = []
        if message is not None and not reading.gone(message):
            pushes = await self._pushes(reading, one, message)
        ended = Round(
            seq=2 * one.event + 1,
            chat=one.chat,
            partition=one.partition,
            event=one.event,
            due=one.due,
            waiting=False,
            done_at=reading.now,
        )
        await self._queue.store.write(Batch([(PUSHES, pushes), (ROUNDS, [ended])], {}))

    async def _pushes(self, reading: Reading, one: Round, message: Message) -> list[Push]:
        [members] = await reading.scan(MEMBERSHIPS, [Scan((one.chat,), along="by_chat")])
        users = [member.user for member in members if member.user != message.sender]
        known = await attention(reading, users)
        to_mail = [u for u in users if wants(known[u].preferences, "message", "email")]
        if to_mail:
            await self._digests.want(to_mail, one.partition)
        to_push = [
            u for u in users if known[u].devices and wants(known[u].preferences, "message", "push")
        ]
        rows = [of_message(user, message) for user in to_push]
        # Who is told of the same message for a better reason is not told twice.
        others = await reading.get(NOTIFICATIONS, [(u, one.chat, one.event) for u in to_push])
        covered = {
            row.user
            for row in others.values()
            if row.standing and wants(known[row.user].preferences, row.kind, "push")
        }
        still = await self._telling.still(reading, rows, "push")
        return [
            push_of(row, device, one.partition, reading.now)
            for row in rows
            if of(row) in still and row.user not in covered
            for device in known[row.user].devices
        ]
