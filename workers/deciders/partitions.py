"""The decider of a log with many partitions: takes commands from their queue, decides, replies."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence

from domain.decider import Verdict
from projections.realtime.port import Realtime, RealtimeError
from workers.deciders.group import MAX_GROUP, GroupDecider
from workers.deciders.observer import Observer
from workers.deciders.replies import encode_reply
from workers.log.port import Asked, Tenure
from workers.metrics import Metrics

#: Partitions of one process in a transaction at the same time. A transaction costs much of what it
#: costs whatever its size; while a partition waits for its turn, its next group gathers.
AT_ONCE = 1
#: Groups this large are followed by a pause of so many seconds: a transaction that begins while the
#: one before it is just completing waits longer than that.
BUSY = 4
GATHER = 0.002


class PartitionDecider:
    """Group commit: what arrives while a transaction is under way joins the next group."""

    def __init__(
        self, realtime: Realtime, clock: Callable[[], int], observer: Observer | None = None
    ) -> None:
        """`clock` gives milliseconds since 1970."""
        self._observer = observer or Observer(Metrics(), clock)
        self._realtime = realtime
        self._clock = clock
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def work(self, tenure: Tenure) -> None:
        """Decide on what comes to a partition. Who cancels it waits for the group under way.

        Raises:
            LogError: the tenure is over.
        """
        decider = GroupDecider(tenure, self._clock, self._observer)
        with self._observer.holding():
            await self._work(tenure, decider)

    async def _work(self, tenure: Tenure, decider: GroupDecider) -> None:
        while True:
            asked = await tenure.next(MAX_GROUP)
            group = asyncio.create_task(self._carry_out(tenure, decider, asked))
            try:
                await asyncio.shield(group)
            except asyncio.CancelledError:
                await asyncio.gather(group, return_exceptions=True)
                raise
            if len(asked) >= BUSY:
                await asyncio.sleep(GATHER)

    async def _carry_out(self, tenure: Tenure, decider: GroupDecider, asked: list[Asked]) -> None:
        async with self._turns:
            asked += await tenure.waiting(MAX_GROUP - len(asked))
            verdicts = await decider.decide(
                [one.command for one in asked], [one.place for one in asked]
            )
        await self._reply(asked, verdicts)

    async def _reply(self, asked: Sequence[Asked], verdicts: Sequence[Verdict]) -> None:
        replies: dict[str, list[bytes]] = defaultdict(list)
        for one, verdict in zip(asked, verdicts, strict=True):
            if one.reply_to is not None:
                replies[one.reply_to.mailbox].append(encode_reply(one.reply_to.number, verdict))
        for mailbox, messages in replies.items():
            try:
                await self._realtime.send(mailbox, messages)
            except RealtimeError:
                # A gateway without a reply looks for the outcome itself.
                return
