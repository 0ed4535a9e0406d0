"""`hansard migrate`: makes what is missing of the log and the stores, and checks what is there."""

import contextlib

import msgspec

from projections.catalogue import COLLECTIONS
from projections.keyring import open_keyring
from projections.store import open_store
from workers.log import migrate_log, open_log
from workers.secrets_file import open_secrets
from workers.settings import Settings


class Migrated(msgspec.Struct, frozen=True):
    """`made` names what was missing, `faults` what is not as it should be and is left as it is."""

    log: str
    partitions: int
    made: list[str]
    faults: list[str]


async def migrate(settings: Settings) -> Migrated:
    """May be repeated, and done by several at once.

    Raises:
        LogError, StoreError, KeyringError: a server can't be reached, or its data belong to
            something else.
        ValueError: a URL names nothing that there is.
    """
    log = await migrate_log(settings.log_url)
    async with contextlib.AsyncExitStack() as stack:
        event_log = await open_log(settings.log_url)
        stack.push_async_callback(event_log.close)
        keyring = await open_keyring(settings.keyring_url, open_secrets(settings).master_key)
        stack.push_async_callback(keyring.close)
        store = await open_store(settings.store_url, COLLECTIONS)
        stack.push_async_callback(store.close)
        await store.bind(event_log.identity)
    return Migrated(log.identity, log.partitions, log.made, log.faults)
