"""A server as a process of its own on loopback, whose data outlives it."""

import random
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

START_WITHIN: Final = 120.0
STOP_WITHIN: Final = 30.0

#: A process is ended by the kernel when the thread that made it ends, so one thread makes all and
#: ends with the test run, however that ends.
ENDED_WITH_US: Final = ("setpriv", "--pdeathsig", "KILL")
maker: Final = ThreadPoolExecutor(1, "servers")


def free_port() -> int:
    """A port below those that systems give to outgoing connections.

    So nothing takes it while its server is down, not even a client that tries to connect to it.
    """
    while True:
        port = random.randrange(16384, 32768)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Server:
    """A server that runs, wherever; the URL is as in the settings."""

    def __init__(self, url: str) -> None:
        self.url = url

    def url_for(self, name: str) -> str:
        """The URL of a part of one's own: a prefix or a database, whatever the server has."""
        return urlsplit(self.url)._replace(path=f"/{name}").geturl()


class ServerProcess(Server, ABC):
    """A server that the tests start, on a port and in a folder that it keeps when restarted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        #: What the command is preceded by.
        self.launcher: Sequence[str] = ENDED_WITH_US
        self._process: subprocess.Popen[bytes] | None = None
        super().__init__(self.url_at(self.port))

    @abstractmethod
    def url_at(self, port: int) -> str:
        """The URL for clients that reach the server at this port, its own or a proxy's."""

    @abstractmethod
    def _command(self) -> list[str]: ...

    @abstractmethod
    def _ready(self) -> bool: ...

    def _prepare(self) -> None:
        """Done once, before the first start."""

    @property
    def upstream_port(self) -> int:
        """Where a proxy's connections go."""
        return self.port

    @property
    def proxy_port(self) -> int:
        """Where a proxy must listen."""
        return free_port()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def await_end(self) -> None:
        """Wait until it has ended by itself. Raises TimeoutExpired after STOP_WITHIN."""
        if self._process is not None:
            self._process.wait(STOP_WITHIN)
            self._process = None

    @property
    def log(self) -> str:
        """What the server has written to its standard output and error since its first start."""
        return self._log.read_text(errors="replace")

    @property
    def _log(self) -> Path:
        return self.folder / "server.log"

    def start(self) -> Self:
        """Return when it serves. Raises RuntimeError, with its log, when it does not."""
        if not self.folder.exists():
            self.folder.mkdir(parents=True)
            self._prepare()
        self._process = maker.submit(self._spawn).result()
        deadline = time.monotonic() + START_WITHIN
        while not self._ready():
            if self._process.poll() is not None:
                raise RuntimeError(f"{self.url} ended with {self._process.returncode}: {self.log}")
            if time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self.url} did not become ready: {self.log}")
            time.sleep(0.02)
        return self

    def stop(self) -> None:
        """Ask it to stop, and end it if it does not within STOP_WITHIN."""
        try:
            self._end(signal.SIGTERM)
        except subprocess.TimeoutExpired:
            self._end(signal.SIGKILL)

    def kill(self) -> None:
        """End it as a crash does."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it do nothing until `resume`; its connections stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            # One that is paused gets the signal when it goes on.
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(STOP_WITHIN)
            self._process = None

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            # A session of its own, so that Ctrl-C reaches the test run alone, which then stops it.
            return subprocess.Popen(
                [*self.launcher, *self._command()],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
