"""Feeds the read models from the log, one loop a partition."""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec
import structlog

from domain import envelope as wire
from domain.envelope import Envelope
from projections.dead_letters import DeadLetter
from projections.engine import Engine
from projections.keyring.port import KeyringError
from projections.store.port import StoreError
from workers.following import Follower
from workers.keys import KeyDestroyer
from workers.log.port import EventLog, LogError
from workers.metrics import Metrics
from workers.shares import RETRY, follow_shares

log = structlog.get_logger()

#: Events folded and written at once, at most. Who is far behind gains by many: a page of the store
#: that several of them touch is written once.
BATCH = 2000
#: Seconds to let events gather while they come faster than they are folded: a batch costs much of
#: what it costs whatever its size.
GATHER = 0.02
#: Seconds between looks for streams that an operator wants read again.
ATTEND = 1.0
_PAGE = 1000


class Projector:
    """Follows the partitions that fall to it.

    Two may follow the same one while it passes from one to the other: both write the same, and an
    older document never replaces a newer one.
    """

    def __init__(
        self,
        event_log: EventLog,
        engine: Engine,
        keys: KeyDestroyer,
        metrics: Metrics | None = None,
    ) -> None:
        self._follower = Follower("projector", "projected", metrics or Metrics())
        self._log = event_log.reader()
        self._engine = engine
        self._keys = keys
        self._share: Sequence[str] = self._log.partitions
        self._reached: dict[str, int] = {}
        self._moved = asyncio.Condition()
        self._applying: dict[str, str] = {}
        # One partition at a time: while it waits for its turn, its next batch gathers.
        self._turn = asyncio.Lock()
        self._begun: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Project until cancelled."""
        await follow_shares(self._log, "projector", self._begin, self._follow)

    async def attend(self) -> None:
        """Until cancelled, read the stale streams again that an operator has asked for."""
        while True:
            await asyncio.sleep(ATTEND)
            try:
                for letter in await self._engine.asked():
                    partition = self._log.partition_of(letter.stream)
                    if partition in self._begun:
                        # New events of the stream wait meanwhile: until it goes on they would be
                        # passed over.
                        async with self._turn:
                            await retry(self._log, self._engine, letter)
            except (StoreError, LogError, KeyringError) as error:
                log.warning("retry_waits", error=str(error))

    def behind(self) -> dict[str, int]:
        """How many positions of the log each partition of the share still has to go."""
        return {p: self._log.end(p) - self._reached.get(p, 0) for p in self._share}

    @property
    def oldest_not_shown(self) -> str | None:
        """The time of the oldest event that the read models do not hold yet, as far as it was read;
        null when they hold all of them."""
        return min(self._applying.values(), default=None)

    async def reach(self, positions: Mapping[str, int]) -> None:
        """Wait until the read models hold the log up to these positions, by partition."""
        if self._has(positions):
            return
        async with self._moved:
            await self._moved.wait_for(lambda: self._has(positions))

    async def _begin(self, share: Sequence[str]) -> None:
        # What the engine remembers may be older than what others have written meanwhile.
        self._reached = await self._engine.start()
        await self._keys.start()
        self._share, self._begun = share, frozenset(share)
        self._follower.share(share)
        self._applying.clear()
        await self._tell()
        log.debug("projector_share", partitions=len(share))

    async def _tell(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    def _has(self, positions: Mapping[str, int]) -> bool:
        return all(self._reached.get(p, 0) >= position for p, position in positions.items())

    async def _follow(self, partition: str) -> None:
        while True:
            after = self._reached.get(partition, 0)
            try:
                await self._log.wait(partition, after)
                async with self._turn:
                    batch = await self._log.read(partition, after, BATCH)
                    if batch.events:
                        self._applying[partition] = batch.events[0].time
                    with self._follower.batch(batch):
                        await self._engine.apply(batch)
                await self._keys.apply(batch.events)
                self._applying.pop(partition, None)
                self._reached[partition] = batch.end
                await self._tell()
                if 1 < len(batch.events) < BATCH:
                    await asyncio.sleep(GATHER)
            except (StoreError, LogError, KeyringError) as error:
                log.warning("projection_waits", partition=partition, error=str(error))
                await asyncio.sleep(RETRY)


async def retry(event_log: EventLog, engine: Engine, letter: DeadLetter) -> bool:
    """Fold the events of a stale stream from its dead letter on; true if all of them went.

    Raises:
        StoreError, LogError: nothing of it was done.
    """
    events: list[Envelope] = []
    after = letter.at - 1
    while records := await event_log.read_stream(letter.stream, after, _PAGE):
        for record in records:
            after += 1
            events.append(_event(letter.stream, after, record))
    return await engine.retry(letter, events)


def _event(stream: str, seq: int, record: bytes) -> Envelope:
    try:
        return wire.decode(record)
    except msgspec.DecodeError:
        return wire.unreadable(stream, "", seq)
