"""The server's processes: what they use, and one of our own to measure."""

import asyncio
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import msgspec

from benchmarks import Stop
from benchmarks.figures import ProcessFigures

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20
_SAMPLE_S = 1.0
_START_S = 60.0
_END_S = 20.0


def cpu_seconds(pid: int) -> float:
    """User and system time so far, of all threads (proc(5), stat fields 14 and 15)."""
    # The second field is the program's name in brackets and may hold blanks.
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def resident_mib(pid: int) -> float:
    """Resident memory (proc(5), statm field 2)."""
    return int(_read(pid, "statm").split()[1]) * _PAGE_MIB


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError as error:
        raise Stop(f"process {pid} can't be read: {error}") from error


class Meter:
    """Sums the readings of several processes from `start` to `stop`, memory once a second."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._rss: list[float] = []

    def start(self) -> None:
        self._server = sum(map(cpu_seconds, self._pids))
        self._driver = time.process_time()
        self._weigh()
        self._sampling = asyncio.create_task(self._sample())

    def stop(self) -> ProcessFigures:
        self._sampling.cancel()
        self._weigh()
        return ProcessFigures(
            server_cpu_s=sum(map(cpu_seconds, self._pids)) - self._server if self._pids else None,
            driver_cpu_s=time.process_time() - self._driver,
            rss_mib=self._rss,
        )

    async def _sample(self) -> None:
        with suppress(Stop):
            while True:
                await asyncio.sleep(_SAMPLE_S)
                self._weigh()

    def _weigh(self) -> None:
        if self._pids:
            self._rss.append(round(sum(map(resident_mib, self._pids)), 2))


class Server(msgspec.Struct, frozen=True):
    url: str
    secret: str
    pids: list[int]


def kept_secret(data_dir: Path) -> str:
    """The token secret that a server keeps in its data folder."""
    try:
        return (data_dir / "jwt.secret").read_text().strip()
    except OSError as error:
        raise Stop(f"no token secret: {error}") from error


@contextmanager
def spawned(secret: str) -> Iterator[Server]:
    """A `hansard serve` without rate limits, on a free port and an empty data folder.

    The environment's other settings reach it too. An empty `secret` leaves the choice to the
    server. When the body raises, the end of the server's output is written to stderr.
    """
    command = Path(sys.executable).with_name("hansard")
    if not command.exists():
        raise Stop(f"no {command}: install the project in this environment first")
    with tempfile.TemporaryDirectory(prefix="hansard-benchmark-") as folder:
        data, output = Path(folder, "data"), Path(folder, "output")
        data.mkdir()
        port = _free_port()
        limits = ("WRITES", "READS", "CONNECTS", "UNAUTHENTICATED")
        with output.open("wb") as sink:
            process = subprocess.Popen(
                [command, "serve"],
                env=os.environ
                | {"HANSARD_PORT": str(port), "HANSARD_DATA_DIR": str(data)}
                | {f"HANSARD_RATE_{name}": "off" for name in limits}
                | ({"HANSARD_JWT_SECRET": secret} if secret else {}),
                stdout=sink,
                stderr=sink,
            )
        try:
            _wait_until_ready(port, process)
            yield Server(f"http://127.0.0.1:{port}", secret or kept_secret(data), [process.pid])
        except BaseException:
            tail = output.read_text(errors="replace").splitlines()[-20:]
            if tail:
                print("the server's last lines:", *tail, sep="\n", file=sys.stderr)
            raise
        finally:
            _end(process)


def _wait_until_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Stop(f"hansard serve ended with {process.returncode} before it was ready")
        probe = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with closing(probe), suppress(OSError, http.client.HTTPException):
            probe.request("GET", "/readyz")
            if probe.getresponse().status == 200:
                return
        time.sleep(0.1)
    raise Stop(f"hansard serve was not ready within {_START_S:g} s")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
