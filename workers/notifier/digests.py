"""Mails to those who are away: what is unread, at most one mail an hour and user."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Sequence

import structlog

from domain import instants
from projections.notifications import Notification
from projections.outbox import DIGESTS, Digest
from projections.profiles import PROFILES
from projections.views.notifications import newest, row_id
from projections.views.people import verified_address
from projections.views.reading import Reading
from workers.notifier.channel import Sent
from workers.notifier.letters import Letters
from workers.notifier.queue import Queue
from workers.notifier.smtp import Smtp
from workers.notifier.told import good_standing, of, still
from workers.notifier.wording import lines

log = structlog.get_logger()

#: Seconds between two mails to one user.
INTERVAL = 3600
#: How many things a mail tells of one by one, and how many it looks at.
LISTED = 20
LOOKED_AT = 100
#: Mails written at once.
BATCH = 16


class Digests:
    def __init__(
        self,
        queue: Queue,
        reading: Callable[[], Reading],
        letters: Letters,
        smtp: Smtp | None,
        counts: Counter[tuple[str, str]],
        *,
        delay: int,
        content: bool,
    ) -> None:
        """`delay` is for how many seconds a thing must be unread; `content` says whether names and
        text may be sent. Without a mail server there are no mails."""
        self._queue = queue
        self._reading = reading
        self._letters = letters
        self._smtp = smtp
        self._counts = counts
        self._delay = delay
        self._content = content

    async def want(self, users: Collection[str], partition: str) -> None:
        """Have users written to who have something new to read."""
        if self._smtp is None or not users:
            return
        found = await self._queue.store.get(PROFILES, {(user,) for user in users})
        waiting = {p.user for p in found.values() if p.verified_email is not None}
        while waiting:
            now = self._queue.clock()
            known = await self._queue.store.get(DIGESTS, [(user,) for user in waiting])
            idle = [
                known.get((user,))
                or Digest(seq=0, user=user, partition=partition, due="", waiting=False)
                for user in waiting
                if (user,) not in known or not known[user,].waiting
            ]
            soon = instants.later(now, self._delay)

            def begun(digest: Digest, soon: str = soon) -> dict[str, object]:
                last = digest.sent_at
                due = max(soon, instants.later(last, INTERVAL)) if last else soon
                return {"waiting": True, "due": due, "partition": partition, "attempts": 0}

            # Whatever is lost to another's change is looked at again.
            changed = {one.user for one in await self._queue.change(DIGESTS, idle, begun)}
            waiting = {one.user for one in idle} - changed

    async def carry_out(self, partition: str) -> None:
        """Write the mails that are due."""
        while self._smtp is not None and (
            found := await self._queue.due(DIGESTS, partition, BATCH)
        ):
            taken = await self._queue.take(DIGESTS, found)
            async with asyncio.TaskGroup() as group:
                for digest in taken:
                    group.create_task(self._carry_out(digest, self._smtp))

    async def _carry_out(self, digest: Digest, smtp: Smtp) -> None:
        reading = self._reading()
        rows = await self._rows(reading, digest.user, digest.covered)
        address = await self._address(reading, digest.user)
        if not rows or address is None:
            await self._end(digest, "passed_over", again=not rows)
            return
        said = await lines(reading, rows[:LISTED], content=self._content)
        try:
            letter = self._letters.digest(digest, address, rows, said)
            sent = await smtp.send(letter)
        except ValueError:
            sent = Sent("refused", "bad address")
        if sent.outcome == "later":
            log.warning("mail_not_sent", reason=sent.reason)
            later = self._queue.put_off(digest, sent.pause)
            if later is not None:
                self._counts["email", "put_off"] += 1
                await self._queue.keep(DIGESTS, later)
                return
        if sent.outcome == "taken":
            await self._end(digest, "sent", sent_at=self._queue.clock(), covered=row_id(rows[0]))
        else:
            log.warning("mail_dropped", reason=sent.reason)
            await self._end(digest, "dropped", covered=row_id(rows[0]))

    async def _rows(self, reading: Reading, user: str, covered: str) -> Sequence[Notification]:
        """What the user is to be written of that no mail has told of, newest first."""
        rows = await newest(reading, user, LOOKED_AT)
        new = [row for row in rows if row_id(row) > covered]
        told = await still(reading, new, "email")
        return sorted((row for row in new if of(row) in told), key=row_id, reverse=True)

    async def _address(self, reading: Reading, user: str) -> str | None:
        profile = (await good_standing(reading, [user])).get(user)
        if profile is None:
            return None
        await reading.unlock((profile.email, profile.verified_email))
        return verified_address(reading, profile)

    async def _end(
        self, digest: Digest, outcome: str, *, again: bool = True, **change: str
    ) -> None:
        self._counts["email", outcome] += 1
        ended = self._queue.done(digest, **change)
        await self._queue.keep(DIGESTS, ended)
        # Who found it still waiting when something came after the last look has left it at that.
        if again and await self._rows(self._reading(), digest.user, ended.covered):
            await self.want([digest.user], digest.partition)
