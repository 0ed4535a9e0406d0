"""The HTTP server of a process."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator
from socket import socket

import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import Config

from workers.settings import Settings
from workers.sockets import GatheringProtocol

#: Frames a client may send: `hello` is the largest.
MAX_FRAME_BYTES = 1024 * 1024


class HttpServer(uvicorn.Server):
    """Tells when it listens, and has something closed before it stops listening."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        started: Callable[[], None],
        closing: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(
            Config(
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
        )
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
        # Who comes from here on finds another process.
        for server in self.servers:
            server.close()
        await self._closing()
        await super().shutdown(sockets)
