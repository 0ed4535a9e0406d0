"""A Hansard of its own, as a process, on a free port and a data folder that outlives it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from gateway.auth import mint

START_WITHIN = 60.0
STOP_WITHIN = 30.0

UNLIMITED = {
    f"HANSARD_RATE_{kind}": "off"
    for kind in ("WRITES", "READS", "UPLOADS", "CONNECTS", "UNAUTHENTICATED")
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class HansardServer:
    """`hansard serve`. The environment is only what is given, on top of the bare minimum."""

    def __init__(self, folder: Path, environ: Mapping[str, str] | None = None) -> None:
        self.folder = folder
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
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "workers.cli", "serve"],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_WITHIN
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"the server ended with {self._process.returncode}: {self.log}")
            try:
                if httpx.get(f"{self.url}/readyz").status_code == 200:
                    return self
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

    def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        return process.wait(STOP_WITHIN)

    def secret(self) -> str:
        return self._environ.get("HANSARD_JWT_SECRET") or (self.folder / "jwt.secret").read_text()

    def token(self, user: str, lifetime: int = 3600, scopes: Sequence[str] = ()) -> str:
        return mint(self.secret().strip(), user, lifetime, scopes=scopes)
