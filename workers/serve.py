"""The processes of Hansard: one of each kind, or all in one."""

import contextlib
import hmac
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from functools import partial
from pathlib import Path
from typing import Literal

from prometheus_client import disable_created_metrics

from domain.instants import to_millis
from gateway.app import create_app, create_worker_app
from gateway.auth import Authenticator, JwksKeys, Keys, SharedSecret
from gateway.contacts import Contacts
from gateway.cursor import CursorCodec
from gateway.limits import Limiter, open_limit_storage
from gateway.media.links import LinkCodec
from gateway.media.uploads import Uploads
from gateway.push_endpoints import PushHosts
from gateway.services import Health, Policy, Services
from gateway.ws.attendance import Attendance
from gateway.ws.hub import Hub
from projections.objects import Objects, ObjectsError, open_objects
from projections.realtime import open_presence
from projections.views.circles import circles
from projections.views.reading import Reading
from workers.core import Core, now, now_millis, open_core, running
from workers.data_lock import DataLock
from workers.fanout import Fanout
from workers.http_server import HttpServer
from workers.log import is_shared, migrate_log
from workers.notifier import email_links, open_notifier, push_key
from workers.scheduler import Scheduler
from workers.secrets_file import Secrets, make_data_folder, open_secrets
from workers.settings import Settings, StartRefused
from workers.store_watch import StoreWatch
from workers.sweeper import Sweeper
from workers.tools.logs import dropped_lines
from workers.tracing import sending_spans

Role = Literal["gateway", "decider", "projector", "fanout", "notifier", "scheduler"]
ALL: tuple[Role, ...] = ("gateway", "decider", "projector", "fanout", "notifier", "scheduler")

#: What became of notifications, by channel and outcome.
Told = Counter[tuple[str, str]]

#: Seconds without any progress of a partition, while there is something to do, after which
#: somebody has to look.
STUCK_AFTER = 30.0
#: Seconds after which a log or a read store that does not answer is no passing matter.
SILENT_AFTER = 10.0


async def serve(
    settings: Settings,
    roles: Collection[Role],
    started: Callable[[Settings, Secrets], None],
) -> None:
    """Do the work of these roles until told to stop by SIGTERM or SIGINT; `started` is called once
    the process listens.

    Raises:
        StartRefused: it can't start; the text is one line for the operator.
    """
    if set(roles) != set(ALL) and not is_shared(settings.log_url):
        raise StartRefused(
            "HANSARD_LOG_URL names a log of one process: hansard serve does everything in it"
        )
    secrets = open_secrets(settings)
    if set(roles) == set(ALL) and is_shared(settings.log_url):
        await migrate_log(settings.log_url)
    # Of each counter and histogram, when it was made: nobody asks for that.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    async with contextlib.AsyncExitStack() as stack:
        whole = set(roles) == set(ALL)
        service = "hansard" if whole else "-".join(("hansard", *roles))
        await stack.enter_async_context(sending_spans(service))
        core = await stack.enter_async_context(open_core(settings, secrets))
        if "decider" in roles and core.watch is not None:
            stack.enter_context(_caches(settings.cache_dir))
        told = Told()
        work = _work(core, settings, secrets, roles, told)
        await stack.enter_async_context(running(*work))
        if "gateway" in roles:
            services = await stack.enter_async_context(
                gateway_services(core, settings, secrets, told)
            )
            app = create_app(services)
            closing = app.state.sockets.close
        else:
            app = create_worker_app(_health(core, told))
            closing = _nothing
        await HttpServer(app, settings, lambda: started(settings, secrets), closing).serve()
        await core.deciders.drain()


def _caches(folder: Path) -> DataLock:
    """The folder for what the deciders of one process keep."""
    try:
        make_data_folder(folder)
    except OSError as error:
        raise StartRefused(f"{folder}: {error.strerror}") from error
    return DataLock(folder)


def _work(
    core: Core, settings: Settings, secrets: Secrets, roles: Collection[Role], told: Told
) -> list[Coroutine[None, None, None]]:
    work: list[Coroutine[None, None, None]] = []
    if "decider" in roles:
        work.append(core.deciders.decide())
    if "projector" in roles:
        work.append(core.projector.run())
        if core.watch is not None:
            work.append(core.projector.attend())
    if "fanout" in roles:
        # Those who are connected to other processes count on what this one has left off at.
        anew = core.watch is None
        fanout = Fanout(
            core.event_log,
            core.realtime,
            core.store,
            core.vault,
            now,
            anew=anew,
            metrics=core.metrics,
        )
        work.append(fanout.run())
    if "notifier" in roles:
        work.append(open_notifier(core, settings, secrets, told).run())
    if "scheduler" in roles:
        scheduler = Scheduler(
            core.store,
            core.vault,
            core.commander,
            core.progress,
            core.settle,
            now,
            metrics=core.metrics,
        )
        sweeper = Sweeper(
            _objects(settings), core.store, core.vault, core.progress, core.settle, now
        )
        work += [scheduler.run(), sweeper.run()]
    return work


@contextlib.asynccontextmanager
async def gateway_services(
    core: Core, settings: Settings, secrets: Secrets, told: Told
) -> AsyncIterator[Services]:
    contacts = Contacts(core.store)
    hub = Hub(lambda: Reading(core.store, core.vault, now()), core.realtime, core.settle, contacts)
    board = open_presence(settings.realtime_url)
    attendance = Attendance(board, core.realtime, hub.circle, partial(circles, core.store))
    counters = open_limit_storage(settings.realtime_url)
    authenticator = _authenticator(settings, secrets)
    objects = _objects(settings)
    uploads = Uploads(objects, settings.media_quota, now)
    async with running(hub.run(), attendance.run()):
        yield Services(
            store=core.store,
            vault=core.vault,
            progress=core.progress,
            commander=core.commander,
            authenticator=authenticator,
            limiter=Limiter(settings.rates, counters, registry=core.registry),
            positions=core.positions,
            cursors=CursorCodec(hmac.digest(secrets.master_key, b"cursors", "sha256")),
            links=LinkCodec(hmac.digest(secrets.master_key, b"links", "sha256")),
            objects=objects,
            uploads=uploads,
            contacts=contacts,
            hub=hub,
            attendance=attendance,
            settle=core.settle,
            health=_health(core, told, lambda: hub.connections),
            email_links=email_links(settings, secrets),
            policy=Policy(
                directory=settings.directory,
                trusted_proxies=settings.trusted_proxies,
                cors_origins=settings.cors_origins,
                allow_address_ids=settings.allow_address_ids,
                jwt_issuer=settings.jwt_issuer,
                jwt_audience=settings.jwt_audience,
                dev_secret=secrets.jwt_secret
                if secrets.made_here and settings.on_loopback
                else None,
                push_hosts=PushHosts(settings.push_hosts),
                push_key=push_key(secrets),
            ),
            clock=now,
            record=core.event_log,
        )
    uploads.close()
    await authenticator.aclose()
    await counters.aclose()
    await board.close()


def _objects(settings: Settings) -> Objects:
    try:
        return open_objects(settings.media_url)
    except (ValueError, ObjectsError) as error:
        raise StartRefused(str(error)) from error


def _health(core: Core, told: Told, connections: Callable[[], int] = lambda: 0) -> Health:
    watch = core.watch
    if watch is not None:
        return Health(
            stale=lambda: sorted(core.progress.stale),
            behind=lambda: watch.behind,
            lag=lambda: watch.lag,
            waiting=lambda: core.deciders.waiting,
            problems=lambda: _problems(watch),
            connections=connections,
            told=lambda: told,
            oldest=lambda: core.deciders.oldest,
            dropped=dropped_lines,
            registry=core.registry,
        )

    def lag() -> float:
        oldest = core.projector.oldest_not_shown
        return 0.0 if oldest is None else max(0.0, (now_millis() - to_millis(oldest)) / 1000)

    return Health(
        stale=lambda: sorted(core.engine.stale),
        behind=lambda: sum(core.projector.behind().values()),
        lag=lag,
        waiting=lambda: core.deciders.waiting,
        connections=connections,
        told=lambda: told,
        oldest=lambda: core.deciders.oldest,
        dropped=dropped_lines,
        registry=core.registry,
    )


def _problems(watch: StoreWatch) -> list[str]:
    mute, seconds = watch.silent
    if seconds > SILENT_AFTER:
        return [f"The {mute} has not answered for {seconds:.0f} s."]
    stuck = {p: seconds for p, seconds in watch.stuck.items() if seconds > STUCK_AFTER}
    if not stuck:
        return []
    longest = max(stuck, key=stuck.__getitem__)
    count = f"{len(stuck)} partitions stand" if len(stuck) > 1 else "it stands"
    return [f"Nothing of {longest} was projected for {stuck[longest]:.0f} s: {count} still."]


async def _nothing() -> None:
    pass


def _authenticator(settings: Settings, secrets: Secrets) -> Authenticator:
    keys: Keys
    if settings.jwt_jwks_url is not None:
        keys = JwksKeys(settings.jwt_jwks_url)
    else:
        assert secrets.jwt_secret is not None
        keys = SharedSecret(secrets.jwt_secret)
    return Authenticator(
        keys,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        allow_address_ids=settings.allow_address_ids,
    )
