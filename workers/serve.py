"""`hansard serve`: everything in one process."""

import asyncio
import contextlib
import hmac
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from socket import socket

import uvicorn
from uvicorn.config import Config

from domain.instants import to_millis
from gateway.app import create_app
from gateway.auth import Authenticator, JwksKeys, Keys, SharedSecret
from gateway.cursor import CursorCodec
from gateway.limits import Limiter, open_limit_storage
from gateway.push_endpoints import PushHosts
from gateway.services import Health, Policy, Services
from gateway.ws.hub import Hub
from projections.realtime import open_realtime
from workers.embedded import Core, now, now_millis, open_core, running
from workers.fanout import Fanout
from workers.keys import KeyDestroyer
from workers.notifier import open_notifier
from workers.scheduler import Scheduler
from workers.secrets_file import Secrets, open_secrets
from workers.settings import Settings
from workers.sockets import GatheringProtocol

#: Frames a client may send: `hello` is the largest.
MAX_FRAME_BYTES = 1024 * 1024


class Server(uvicorn.Server):
    """Tells when it listens, and closes WebSockets with advice before it stops listening."""

    def __init__(
        self, config: Config, started: Callable[[], None], closing: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__(config)
        self._started = started
        self._closing = closing

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal again when it has stopped serving, which would end the
        # process before the log and the stores are closed.
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT)
        for number in signals:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._started()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        await self._closing()
        await super().shutdown(sockets)


async def serve(settings: Settings, started: Callable[[Settings, Secrets], None]) -> None:
    """Serve until told to stop by SIGTERM or SIGINT; `started` is called once it listens.

    Raises:
        StartRefused: it can't start; the text is one line for the operator.
    """
    secrets = open_secrets(settings)
    async with open_core(settings, secrets) as core, _gateway(core, settings, secrets) as services:
        app = create_app(services)
        config = Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            # The gateway reads forwarded addresses itself, by HANSARD_TRUSTED_PROXIES.
            proxy_headers=False,
            ws=GatheringProtocol,
            ws_max_size=MAX_FRAME_BYTES,
            ws_per_message_deflate=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=10,
        )
        await Server(config, lambda: started(settings, secrets), app.state.sockets.close).serve()


@contextlib.asynccontextmanager
async def _gateway(core: Core, settings: Settings, secrets: Secrets) -> AsyncIterator[Services]:
    realtime = open_realtime(settings.realtime_url)
    hub = Hub(core.store, realtime, core.settle)
    fanout = Fanout(core.event_log, realtime, core.store, core.vault, now)
    scheduler = Scheduler(core.store, core.vault, core.commander, core.progress, core.settle, now)
    told: Counter[tuple[str, str]] = Counter()
    notifier, email_links, push_key = open_notifier(core, settings, secrets, told)
    destroyer = KeyDestroyer(core.event_log, core.store, core.keyring, core.vault)
    authenticator = _authenticator(settings, secrets)
    await destroyer.start()
    async with running(hub.run(), fanout.run(), scheduler.run(), destroyer.run(), notifier.run()):
        yield Services(
            store=core.store,
            vault=core.vault,
            progress=core.progress,
            commander=core.commander,
            authenticator=authenticator,
            limiter=Limiter(settings.rates, open_limit_storage("memory://")),
            positions=core.positions,
            cursors=CursorCodec(hmac.digest(secrets.master_key, b"cursors", "sha256")),
            hub=hub,
            health=_health(core, told),
            email_links=email_links,
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
                push_key=push_key,
            ),
            clock=now,
        )
    await authenticator.aclose()
    await realtime.close()


def _health(core: Core, told: Counter[tuple[str, str]]) -> Health:
    def lag() -> float:
        oldest = core.projector.oldest_not_shown
        return 0.0 if oldest is None else max(0.0, (now_millis() - to_millis(oldest)) / 1000)

    return Health(
        stale=lambda: sorted(core.engine.stale),
        behind=lambda: sum(core.projector.behind().values()),
        lag=lag,
        waiting=lambda: core.decider.waiting,
        told=lambda: told,
    )


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
