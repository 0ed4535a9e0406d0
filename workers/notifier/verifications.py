"""Asks whether an address is its user's: one mail with a link, one a day for each address."""

import asyncio
import hmac
from collections import Counter
from collections.abc import Callable, Collection

import structlog

from domain import instants
from domain.ids import user_stream
from projections.outbox import VERIFICATIONS, Verification
from projections.views.people import verified_address
from projections.views.reading import Reading
from workers.notifier.channel import Sent
from workers.notifier.letters import Letters
from workers.notifier.queue import LEASE, Queue
from workers.notifier.smtp import Smtp
from workers.notifier.told import good_standing

log = structlog.get_logger()

#: Seconds between two such mails to one address.
INTERVAL = 24 * 3600
#: Seconds to wait for a token that says as much.
DELAY = 2
#: Mails written at once.
BATCH = 16


class Verifications:
    def __init__(
        self,
        queue: Queue,
        reading: Callable[[], Reading],
        letters: Letters,
        smtp: Smtp | None,
        counts: Counter[tuple[str, str]],
        key: bytes,
    ) -> None:
        """`key` hashes addresses, so that they stand nowhere in the clear."""
        self._queue = queue
        self._reading = reading
        self._letters = letters
        self._smtp = smtp
        self._counts = counts
        self._key = key

    async def want(self, users: Collection[str], partition: str) -> None:
        """Have users asked whose address was not shown to be theirs."""
        if self._smtp is None or not users:
            return
        now = self._queue.clock()
        addresses = await self._unverified(self._reading(), users)
        wanted = {self._hash(address): user for user, address in addresses.items()}
        known = await self._queue.store.get(VERIFICATIONS, [(one,) for one in wanted])
        idle = []
        for address, user in wanted.items():
            last = known.get((address,))
            if last is None:
                last = Verification(
                    seq=0, address=address, user=user, partition=partition, due="", waiting=False
                )
            if not last.waiting and (
                not last.sent_at or instants.later(last.sent_at, INTERVAL) <= now
            ):
                idle.append(last)
        due = instants.later(now, DELAY)
        await self._queue.change(
            VERIFICATIONS,
            idle,
            lambda one: {
                "user": wanted[one.address],
                "waiting": True,
                "due": due,
                "partition": partition,
                "attempts": 0,
            },
        )

    async def carry_out(self, partition: str) -> None:
        """Write the mails that are due."""
        while self._smtp is not None and (
            found := await self._queue.due(VERIFICATIONS, partition, BATCH)
        ):
            for lost in (one for one in found if one.sending):
                # Who was sending it is gone, and it may have gone out: it must not go out twice.
                await self._end(lost, "lost", sent_at=instants.later(lost.due, -LEASE))
            fresh = [one for one in found if not one.sending]
            taken = await self._queue.take(VERIFICATIONS, fresh, sending=True)
            async with asyncio.TaskGroup() as group:
                for one in taken:
                    group.create_task(self._carry_out(one, self._smtp))

    async def _carry_out(self, one: Verification, smtp: Smtp) -> None:
        addresses = await self._unverified(self._reading(), [one.user])
        address = addresses.get(one.user)
        if address is None or self._hash(address) != one.address:
            await self._end(one, "passed_over")
            return
        try:
            sent = await smtp.send(self._letters.verification(one, address))
        except ValueError:
            sent = Sent("refused", "bad address")
        if sent.outcome == "later":
            log.warning("mail_not_sent", reason=sent.reason)
            later = self._queue.put_off(one, sent.pause, sending=False)
            if later is not None:
                self._counts["verification", "put_off"] += 1
                await self._queue.keep(VERIFICATIONS, later)
                return
        outcome = "sent" if sent.outcome == "taken" else "dropped"
        await self._end(one, outcome, sent_at=self._queue.clock())

    async def _unverified(self, reading: Reading, users: Collection[str]) -> dict[str, str]:
        """The addresses of those users that were not shown to be theirs."""
        profiles = (await good_standing(reading, users)).values()
        await reading.unlock(f for one in profiles for f in (one.email, one.verified_email))
        addresses = {}
        for profile in profiles:
            address = reading.open(user_stream(profile.user), "email", profile.email).value
            if address is not None and verified_address(reading, profile) is None:
                addresses[profile.user] = str(address)
        return addresses

    async def _end(self, one: Verification, outcome: str, **change: str) -> None:
        self._counts["verification", outcome] += 1
        ended = self._queue.done(one, sending=False, **change)
        await self._queue.keep(VERIFICATIONS, ended)

    def _hash(self, address: str) -> str:
        return hmac.digest(self._key, address.casefold().encode(), "sha256").hex()
