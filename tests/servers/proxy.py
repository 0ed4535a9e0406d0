"""A TCP proxy before a server, that can be as bad as a network."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, Self

from tests.servers.process import Server, ServerProcess

ANSWER_WITHIN: Final = 10.0

#: Pieces of a connection that are under way, in one direction; more wait with the sender.
_UNDER_WAY: Final = 256

_Pieces = asyncio.Queue[tuple[float, bytes]]


class Proxy(Server):
    """Runs in a thread of its own while entered. Clients use its `url` or `url_for`."""

    def __init__(self, server: ServerProcess) -> None:
        self.port = server.proxy_port
        super().__init__(server.url_at(self.port))
        #: Seconds that each piece takes longer on its way, in either direction.
        self.delay = 0.0
        self._upstream = server.upstream_port
        self._transports: set[asyncio.WriteTransport] = set()
        self._listener: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.accept()
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()
        self.cut()
        self._do(self._finish)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def accept(self) -> None:
        """Take connections, again."""
        self._do(self._accept)

    def refuse(self) -> None:
        """Refuse new connections; those that stand go on."""
        self._do(self._refuse)

    def cut(self) -> None:
        """Break every connection; what was under way is lost."""
        self._do(self._cut)

    def hold(self) -> None:
        """Hand nothing on until `release`; connections stand and new ones are taken."""
        self._do(self._hold)

    def release(self) -> None:
        self._do(self._release)

    def _do(self, action: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.run_coroutine_threadsafe(action(), self._loop).result(ANSWER_WITHIN)

    async def _accept(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._connect, "127.0.0.1", self.port)

    async def _refuse(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _cut(self) -> None:
        for transport in self._transports:
            transport.abort()

    async def _hold(self) -> None:
        self._flowing.clear()

    async def _release(self) -> None:
        self._flowing.set()

    async def _finish(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transports = {writer.transport}
        self._transports |= transports
        try:
            server_reader, server_writer = await asyncio.open_connection(
                "127.0.0.1", self._upstream
            )
            transports.add(server_writer.transport)
            self._transports |= transports
            there, back = _Pieces(_UNDER_WAY), _Pieces(_UNDER_WAY)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._take(reader, there))
                group.create_task(self._hand_on(there, server_writer))
                group.create_task(self._take(server_reader, back))
                group.create_task(self._hand_on(back, writer))
        except* OSError:
            pass
        finally:
            for transport in transports:
                transport.abort()
            self._transports -= transports

    async def _take(self, reader: asyncio.StreamReader, pieces: _Pieces) -> None:
        while True:
            piece = await reader.read(65536)
            await pieces.put((self._loop.time() + self.delay, piece))
            if not piece:
                return

    async def _hand_on(self, pieces: _Pieces, writer: asyncio.StreamWriter) -> None:
        while True:
            due, piece = await pieces.get()
            await asyncio.sleep(due - self._loop.time())
            await self._flowing.wait()
            if not piece:
                writer.write_eof()
                return
            writer.write(piece)
            await writer.drain()
