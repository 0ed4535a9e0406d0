"""The embedded edition's core in one process: log, keyring, read store, decider, projector."""

import asyncio
import contextlib
import gc
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass

from domain.commands import Command
from domain.decider import Verdict
from domain.instants import from_millis
from gateway.commander import Busy, Commander
from gateway.position import PositionCodec
from projections.catalogue import COLLECTIONS
from projections.engine import Engine
from projections.keyring import open_keyring
from projections.keyring.port import Keyring, KeyringError
from projections.progress import Progress
from projections.store import open_store
from projections.store.port import ReadStore, StoreError
from projections.vault import Vault
from workers.data_lock import DataLock
from workers.decider import Decider, Overloaded
from workers.log import EmbeddedLog, open_log
from workers.log.port import LogError
from workers.projector import Projector
from workers.secrets_file import Secrets
from workers.settings import Settings, StartRefused

#: Threads wait for the interpreter's lock at most this long (seconds) while the event loop is busy.
#: The default of 5 ms would be added to every write of a busy server.
SWITCH_INTERVAL = 0.0005

#: The caches hold hundreds of thousands of small objects that the collector would walk again and
#: again for the few cycles there are: a tenth of the time of an import.
COLLECT_AFTER = (50_000, 20, 100)


def now_millis() -> int:
    return time.time_ns() // 1_000_000


def now() -> str:
    """The present instant."""
    return from_millis(now_millis())


@dataclass(frozen=True)
class Core:
    event_log: EmbeddedLog
    store: ReadStore
    keyring: Keyring
    vault: Vault
    progress: Progress
    engine: Engine
    projector: Projector
    decider: Decider
    positions: PositionCodec
    commander: Commander

    async def settle(self) -> None:
        """Wait until the read models hold all that the log holds now."""
        await self.projector.reach({p: self.event_log.end(p) for p in self.event_log.partitions})


@contextlib.asynccontextmanager
async def open_core(settings: Settings, secrets: Secrets) -> AsyncIterator[Core]:
    """Open everything on the data folder, with the decider and the projector at work.

    Raises:
        StartRefused: the folder is in use, or its parts do not belong together.
    """
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(DataLock(settings.data_dir))
        try:
            keyring = await open_keyring(settings.keyring_url, secrets.master_key)
            stack.push_async_callback(keyring.close)
            event_log = await open_log(settings.log_url)
            stack.push_async_callback(event_log.close)
            store = await open_store(settings.store_url, COLLECTIONS)
            stack.push_async_callback(store.close)
            await store.bind(event_log.identity)
        except (ValueError, KeyringError, LogError, StoreError) as error:
            raise StartRefused(str(error)) from error
        vault = Vault(keyring, sealing=settings.sealing)
        progress = Progress(store)
        engine = Engine(store, vault, progress)
        projector = Projector(event_log, engine)
        decider = Decider(event_log, now_millis)
        positions = PositionCodec(event_log.identity, secrets.master_key)
        commander = Commander(
            vault, _hand_to(decider), positions, now, delete_destroys=settings.delete_destroys
        )
        async with running(decider.run(), projector.run()):
            yield Core(
                event_log,
                store,
                keyring,
                vault,
                progress,
                engine,
                projector,
                decider,
                positions,
                commander,
            )
            await decider.drain()


def _hand_to(decider: Decider) -> Callable[[Command, Callable[[Verdict | None], None]], None]:
    def decide(command: Command, reply: Callable[[Verdict | None], None]) -> None:
        try:
            decider.submit(command, reply)
        except Overloaded as error:
            raise Busy from error

    return decide


@contextlib.asynccontextmanager
async def running(*work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Have the work done beside the body; if any of it fails, so does the body."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in work]
        yield
        for task in tasks:
            task.cancel()
