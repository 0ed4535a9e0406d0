"""The notifier: tells people of what happened, once, by push messages and mails.

It follows the log from a checkpoint of its own and never runs through the past: without a
checkpoint it begins at the end. What it is to do stands in the read store until it is done.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog

from projections.keyring.port import KeyringError
from projections.progress import Behind
from projections.store.port import Batch, StoreError
from workers.following import Follower
from workers.log.port import EventLog, LogError
from workers.metrics import Metrics
from workers.notifier.depths import Depths
from workers.notifier.digests import Digests
from workers.notifier.intake import CHECKPOINTS, Intake
from workers.notifier.pushes import Pushes
from workers.notifier.queue import Queue
from workers.notifier.rounds import Rounds
from workers.notifier.verifications import Verifications
from workers.notifier.webpush import WebPush
from workers.shares import follow_shares

log = structlog.get_logger()

#: Events read at once.
BATCH = 1000
#: Seconds to let events gather: there is time, and a batch costs much of what it costs whatever its
#: size.
GATHER = 0.25
#: Seconds between looks at what is due.
POLL = 1.0
#: Seconds after which what failed is tried again.
RETRY = 0.5


class Work(Protocol):
    async def carry_out(self, partition: str) -> None:
        """Do what is due in a partition."""


class Notifier:
    def __init__(
        self,
        event_log: EventLog,
        queue: Queue,
        intake: Intake,
        rounds: Rounds,
        pushes: Pushes,
        digests: Digests,
        verifications: Verifications,
        depths: Depths,
        web_push: WebPush,
        metrics: Metrics,
    ) -> None:
        self._log = event_log.reader()
        self._queue = queue
        self._intake = intake
        self._work: Sequence[Work] = (rounds, pushes, digests, verifications, depths)
        self._depths = depths
        self._follower = Follower("notifier", "noted", metrics)
        self._web_push = web_push
        self._at: dict[str, int] = {}

    async def run(self) -> None:
        """Tell people until cancelled."""
        try:
            await follow_shares(self._log, "notifier", self.begin, self.follow)
        finally:
            await self._web_push.aclose()

    async def begin(self, share: Sequence[str]) -> None:
        """Take up work on these partitions.

        Raises:
            StoreError, LogError: it can't be told where to go on.
        """
        ends = await self._log.ends()
        known = await self._queue.store.checkpoints()
        self._at = {p: known.get(CHECKPOINTS + p, ends[p]) for p in share}
        # From here on nothing is passed over, whenever this process ends.
        await self._queue.store.write(
            Batch([], {CHECKPOINTS + p: at for p, at in self._at.items()})
        )
        self._follower.share(share)
        self._depths.share(share)
        if share:
            log.info("notifier_begins", at=self._at)

    async def follow(self, partition: str) -> None:
        """Note down what happens in a partition, and do what is due, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(partition))
            # Each by itself: a mail server that takes its time holds up no push message.
            for work in self._work:
                group.create_task(self._do(work, partition))

    async def take(self, partition: str) -> bool:
        """Note down the next events of a partition, if there are any.

        Raises:
            Behind, StoreError, LogError, KeyringError: it is to be tried again.
        """
        batch = await self._log.read(partition, self._at[partition], BATCH)
        if batch.end == self._at[partition]:
            return False
        with self._follower.batch(batch):
            await self._intake.take(batch)
        self._at[partition] = batch.end
        return True

    async def sweep(self, partition: str) -> None:
        """Do all that is due.

        Raises:
            StoreError, KeyringError: it is to be tried again.
        """
        for work in self._work:
            await work.carry_out(partition)

    async def _follow(self, partition: str) -> None:
        while True:
            try:
                await self._log.wait(partition, self._at[partition])
                await asyncio.sleep(GATHER)
                await self.take(partition)
            except (Behind, StoreError, LogError, KeyringError) as error:
                log.warning("notifier_waits", partition=partition, error=str(error))
                await asyncio.sleep(RETRY)

    async def _do(self, work: Work, partition: str) -> None:
        while True:
            try:
                await work.carry_out(partition)
            except* (StoreError, KeyringError) as errors:
                log.warning("notifier_waits", partition=partition, error=str(errors))
            await asyncio.sleep(POLL)
