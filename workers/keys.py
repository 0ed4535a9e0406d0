"""Destroys the keys that the log says are destroyed."""

import asyncio
from collections.abc import Sequence

import structlog

from domain.catalogue import decode_data
from domain.envelope import Envelope
from projections.destroyed_keys import DESTROYED_KEYS, TYPES, destroyed_by
from projections.keyring.port import Keyring, KeyringError
from projections.store.port import ReadStore, Scan
from projections.vault import Vault
from workers.log.port import EventLog, LogError

log = structlog.get_logger()

BATCH = 1000
#: Seconds between attempts while the log or the keyring does not answer.
RETRY = 0.5


class KeyDestroyer:
    """The event comes first and the key goes after it, so whoever starts next finds what a crash
    left undone. Destroying a key twice is harmless, so any number of processes may do this."""

    def __init__(
        self, event_log: EventLog, store: ReadStore, keyring: Keyring, vault: Vault
    ) -> None:
        self._log = event_log.reader()
        self._store = store
        self._keyring = keyring
        self._vault = vault
        self._reached: dict[str, int] = {}

    async def start(self) -> None:
        """Destroy again all that the read models know of: the keyring may come from a backup.

        Raises:
            StoreError, KeyringError: they do not answer.
        """
        # What comes after these positions is read from the log.
        self._reached = await self._store.checkpoints()
        after = None
        while True:
            scan = Scan(above=after, limit=BATCH)
            [found] = await self._store.scan(DESTROYED_KEYS, [scan])
            alive = await self._keyring.get([one.key for one in found])
            if alive:
                await self._destroy(list(alive))
            if len(found) < BATCH:
                return
            after = found[-1].key

    async def run(self) -> None:
        """Destroy what the log says from `start` on, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for partition in self._log.partitions:
                group.create_task(self._follow(partition))

    async def _follow(self, partition: str) -> None:
        reached = self._reached.get(partition, 0)
        while True:
            try:
                await self._log.wait(partition, reached)
                batch = await self._log.read(partition, reached, BATCH)
                keys = [key for envelope in batch.events for key in _destroyed(envelope)]
                if keys:
                    await self._destroy(keys)
                reached = batch.end
            except (LogError, KeyringError) as error:
                log.warning("keys_not_destroyed", partition=partition, error=str(error))
                await asyncio.sleep(RETRY)

    async def _destroy(self, keys: Sequence[str]) -> None:
        await self._keyring.destroy(keys)
        self._vault.forget(keys)


def _destroyed(envelope: Envelope) -> list[str]:
    if envelope.type not in TYPES:
        return []
    try:
        return destroyed_by(decode_data(envelope))
    except (ValueError, KeyError):
        # The projector makes a dead letter of it; once it can be read the next start applies it.
        log.error("event_not_read", stream=envelope.stream, seq=envelope.seq)
        return []
