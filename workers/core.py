"""What every process of Hansard works with, opened as the settings say."""

import asyncio
import contextlib
import gc
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from domain.commands import Command
from domain.decider import Verdict
from domain.instants import from_millis
from gateway.commander import Busy, Commander
from gateway.position import PositionCodec
from projections.cancellation import own_cancellation
from projections.catalogue import COLLECTIONS
from projections.engine import Engine
from projections.keyring import open_keyring
from projections.keyring.port import Keyring, KeyringError
from projections.objects import ObjectsError
from projections.progress import Progress
from projections.realtime import open_realtime
from projections.realtime.port import Realtime, RealtimeError
from projections.store import open_store
from projections.store.port import ReadStore, StoreError
from projections.vault import Vault
from workers.data_lock import DataLock
from workers.deciders import open_deciders
from workers.deciders.port import Deciders, Overloaded
from workers.keys import KeyDestroyer
from workers.log import is_shared, open_log
from workers.log.port import EventLog, LogError
from workers.metrics import Metrics
from workers.projector import Projector
from workers.secrets_file import Secrets
from workers.settings import Settings, StartRefused
from workers.settling import Settling
from workers.store_watch import StoreWatch

#: Threads wait for the interpreter's lock at most this long (seconds) while the event loop is busy.
#: The default of 5 ms would be added to every write of a busy server.
SWITCH_INTERVAL = 0.0005

#: The caches hold hundreds of thousands of small objects that the collector would walk again and
#: again for the few cycles there are: a tenth of the time of an import.
COLLECT_AFTER = (50_000, 20, 100)

_NOT_OPENED = (ValueError, KeyringError, LogError, ObjectsError, StoreError, RealtimeError)


def now_millis() -> int:
    return time.time_ns() // 1_000_000


def now() -> str:
    """The present instant."""
    return from_millis(now_millis())


@dataclass(frozen=True)
class Core:
    """`reach` waits until the read models hold the log up to these positions, `settle` until they
    hold all that it holds now. `watch` sees what other processes write; null where none does. In
    `registry` is what all parts measure."""

    event_log: EventLog
    store: ReadStore
    keyring: Keyring
    vault: Vault
    realtime: Realtime
    progress: Progress
    engine: Engine
    projector: Projector
    watch: StoreWatch | None
    registry: CollectorRegistry
    metrics: Metrics
    deciders: Deciders
    positions: PositionCodec
    commander: Commander
    reach: Callable[[Mapping[str, int]], Awaitable[None]]
    settle: Callable[[], Awaitable[None]]


@contextlib.asynccontextmanager
async def open_core(settings: Settings, secrets: Secrets) -> AsyncIterator[Core]:
    """Open everything; what has to run for it to work does so.

    Raises:
        StartRefused: the data folder is in use, or the parts do not belong together.
    """
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    shared = is_shared(settings.log_url)
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    async with contextlib.AsyncExitStack() as stack:
        if not shared:
            stack.enter_context(DataLock(settings.data_dir))
        try:
            keyring = await open_keyring(settings.keyring_url, secrets.master_key)
            stack.push_async_callback(keyring.close)
            event_log = await open_log(settings.log_url)
            stack.push_async_callback(event_log.close)
            store = await open_store(settings.store_url, COLLECTIONS)
            stack.push_async_callback(store.close)
            await store.bind(event_log.identity)
            realtime = open_realtime(settings.realtime_url, registry)
            stack.push_async_callback(realtime.close)
            deciders = await open_deciders(
                settings, event_log, realtime, store, now_millis, metrics
            )
            stack.push_async_callback(deciders.close)
        except _NOT_OPENED as error:
            raise StartRefused(str(error)) from error
        vault = Vault(keyring, sealing=settings.sealing)
        progress = Progress(store)
        engine = Engine(store, vault, progress)
        keys = KeyDestroyer(store, keyring, vault)
        await keys.start()
        projector = Projector(event_log, engine, keys, metrics)
        watch = StoreWatch(event_log, store, progress) if shared else None
        reach = watch.reach if watch is not None else projector.reach
        positions = PositionCodec(event_log.identity, secrets.master_key)
        commander = Commander(
            vault, _hand_to(deciders), positions, now, delete_destroys=settings.delete_destroys
        )
        always = [deciders.carry()] + ([watch.run()] if watch is not None else [])
        async with running(*always):
            yield Core(
                event_log=event_log,
                store=store,
                keyring=keyring,
                vault=vault,
                realtime=realtime,
                progress=progress,
                engine=engine,
                projector=projector,
                watch=watch,
                registry=registry,
                metrics=metrics,
                deciders=deciders,
                positions=positions,
                commander=commander,
                reach=reach,
                settle=Settling(event_log, reach),
            )


@contextlib.asynccontextmanager
async def writing(core: Core) -> AsyncIterator[None]:
    """Have commands decided and events projected, as far as no other process does."""
    if core.watch is not None:
        yield
        return
    async with running(core.deciders.decide(), core.projector.run()):
        yield
        await core.deciders.drain()


def _hand_to(deciders: Deciders) -> Callable[[Command, Callable[[Verdict | None], None]], None]:
    def decide(command: Command, reply: Callable[[Verdict | None], None]) -> None:
        try:
            deciders.submit(command, reply)
        except Overloaded as error:
            raise Busy from error

    return decide


@contextlib.asynccontextmanager
async def running(*work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Have the work done beside the body; if any of it fails, so does the body."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_carried_out(one)) for one in work]
            yield
            for task in tasks:
                task.cancel()
    finally:
        for one in work:
            # It may not have begun, which Python would warn of.
            one.close()


async def _carried_out(work: Coroutine[None, None, None]) -> None:
    # A task that somebody else's cancellation ends would be no failure to its group, and the
    # process would go on without it.
    with own_cancellation():
        await work
