"""A Hansard of its own, as a process, on a free port and a data folder that outlives it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from gateway.auth import mint
from tests.servers.process import ENDED_WITH_US, free_port, maker

START_WITHIN = 120.0
STOP_WITHIN = 30.0

UNLIMITED = {
    f"HANSARD_RATE_{kind}": "off"
    for kind in ("WRITES", "READS", "UPLOADS", "CONNECTS", "UNAUTHENTICATED")
}


class HansardServer:
    """One process, `hansard serve` if not said otherwise. The environment is only what is given, on
    top of the bare minimum."""

    def __init__(
        self, folder: Path, environ: Mapping[str, str] | None = None, command: str = "serve"
    ) -> None:
        self.folder = folder
        self.command = command
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.socket_url = f"ws://127.0.0.1:{self.port}/v1/ws"
        self._environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "HANSARD_DATA_DIR": str(folder),
            "HANSARD_PORT": str(self.port),
            **(UNLIMITED if environ is None else environ),
        }
        #: What the command is preceded by.
        self.launcher: Sequence[str] = ENDED_WITH_US
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environ(self) -> dict[str, str]:
        """The environment that commands on this server's data run with."""
        return dict(self._environ)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What the server has written to its standard output and error."""
        return (self.folder.parent / f"{self.folder.name}.log").read_text()

    def start(self) -> "HansardServer":
        """Return when it is ready. Raises RuntimeError, with its log, when it does not get so."""
        self.spawn()
        self.await_ready()
        return self

    def spawn(self) -> None:
        self._process = maker.submit(self._spawn).result()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            return subprocess.Popen(
                [*self.launcher, sys.executable, "-m", "workers.cli", self.command],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def await_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_WITHIN
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"the server ended with {self._process.returncode}: {self.log}")
            try:
                if httpx.get(f"{self.url}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.02)
        raise RuntimeError(f"the server did not become ready: {self.log}")

    def stop(self) -> int:
        """Ask it to stop, as an operator does, and return its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash does: nothing of it runs any more, nothing is tidied up."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it do nothing until `resume`; its connections stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        return process.wait(STOP_WITHIN)

    def secret(self) -> str:
        kept = Path(self._environ["HANSARD_DATA_DIR"]) / "jwt.secret"
        return self._environ.get("HANSARD_JWT_SECRET") or kept.read_text()

    def token(self, user: str, lifetime: int = 3600, scopes: Sequence[str] = ()) -> str:
        return mint(self.secret().strip(), user, lifetime, scopes=scopes)
