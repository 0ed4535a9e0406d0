"""Where commands are decided: in this process, or in those that share the log."""

from collections.abc import Callable

from projections.objects import open_objects
from projections.realtime.port import Realtime
from projections.store.port import ReadStore
from workers.deciders.local import LocalDecider
from workers.deciders.observer import Observer
from workers.deciders.port import Deciders
from workers.deciders.remote import RemoteDeciders
from workers.log import is_shared, open_command_log
from workers.log.port import EventLog, Ledger
from workers.metrics import Metrics
from workers.settings import Settings


async def open_deciders(
    settings: Settings,
    event_log: EventLog,
    realtime: Realtime,
    store: ReadStore,
    clock: Callable[[], int],
    metrics: Metrics,
) -> Deciders:
    """The deciders of the log that the settings name. `clock` gives milliseconds since 1970.

    Raises:
        LogError: the queue of commands can't be opened.
        ObjectsError: nor can the place of the deciders' snapshots.
    """
    observer = Observer(metrics, clock)
    if is_shared(settings.log_url):
        objects = open_objects(settings.media_url)
        commands = await open_command_log(settings.log_url, settings.cache_dir, objects)
        return RemoteDeciders(commands, realtime, store, clock, observer)
    assert isinstance(event_log, Ledger), "a log that is not shared is written here"
    return LocalDecider(event_log, clock, observer)
