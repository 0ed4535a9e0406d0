"""Destroys the keys that the log says are destroyed."""

from collections.abc import Sequence

import structlog

from domain.catalogue import decode_data
from domain.envelope import Envelope
from projections.destroyed_keys import DESTROYED_KEYS, TYPES, destroyed_by
from projections.keyring.port import Keyring
from projections.store.port import ReadStore, Scan
from projections.vault import Vault

log = structlog.get_logger()

BATCH = 1000


class KeyDestroyer:
    """The event comes first, then the read models, then the key goes: whoever starts next finds
    what a crash left undone. Destroying a key twice is harmless."""

    def __init__(self, store: ReadStore, keyring: Keyring, vault: Vault) -> None:
        self._store = store
        self._keyring = keyring
        self._vault = vault

    async def start(self) -> None:
        """Destroy again all that the read models know of: whoever folded it may have died before
        the key went, and the keyring may come from a backup.

        Raises:
            StoreError, KeyringError: they do not answer.
        """
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

    async def apply(self, events: Sequence[Envelope]) -> None:
        """Destroy the keys that go with these events, which the read models have.

        Raises:
            KeyringError: it does not answer.
        """
        if keys := [key for envelope in events for key in _destroyed(envelope)]:
            await self._destroy(keys)

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
