"""Logging, set up once for a process: JSON lines, or lines for people on a terminal.

What is logged never quotes what was said: of other programs' records only the first line is kept,
and of an exception its class.
"""

import atexit
import logging
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import MutableMapping
from typing import Any, TextIO

import msgspec
import structlog

from gateway.trail import TRAIL

#: Lines waiting to be written; more are dropped, and counted.
MAX_WAITING = 10_000
#: Seconds to let lines gather: a write costs much of what it costs whatever its size.
GATHER = 0.02
#: Seconds that a process waits at its end for its last lines to be taken.
FAREWELL = 1.0
#: Seconds within which a library tells the same thing once.
SAME_WITHIN = 1.0
#: Things that libraries tell which are remembered.
MAX_REMEMBERED = 1_000

_encode = msgspec.json.Encoder(enc_hook=repr).encode


class LineWriter:
    """Writes lines in a thread of its own: whoever logs never waits for the one that reads them."""

    def __init__(self, file: int) -> None:
        """`file` is a descriptor: a thread that waits for its reader in Python's own buffers would
        make the end of the process fail."""
        self.dropped = 0
        self._file = file
        self._waiting: deque[bytes] = deque()
        self._arrived = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-lines", daemon=True)
        self._thread.start()

    def msg(self, line: bytes) -> None:
        """Take a line, its end included."""
        if len(self._waiting) >= MAX_WAITING:
            self.dropped += 1
            return
        self._waiting.append(line)
        self._arrived.set()

    # By these names the levels come.
    debug = info = warning = error = critical = msg

    def close(self) -> None:
        """Return once all is written, or after a while without that."""
        self._ending.set()
        self._arrived.set()
        self._thread.join(FAREWELL)

    def _run(self) -> None:
        while self._waiting or not self._ending.is_set():
            self._arrived.wait()
            self._arrived.clear()
            lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
            try:
                _write(self._file, b"".join(lines))
            except OSError:
                # Nobody takes them any more.
                self.dropped += len(lines)
            self._ending.wait(GATHER)


def _write(file: int, text: bytes) -> None:
    rest = memoryview(text)
    while rest:
        rest = rest[os.write(file, rest) :]


class _ToStructlog(logging.Handler):
    """Hands on what libraries log, the same thing once a second: clients of a broker that is gone
    tell of it hundreds of times."""

    def __init__(self) -> None:
        super().__init__()
        # When a thing was told last, and how often it was not since.
        self._told: dict[tuple[str, str], tuple[float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        what, now = (record.name, str(record.msg)), time.monotonic()
        told_at, unsaid = self._told.get(what, (-math.inf, 0))
        if now - told_at < SAME_WITHIN:
            self._told[what] = told_at, unsaid + 1
            return
        if len(self._told) >= MAX_REMEMBERED:
            self._told.clear()
        self._told[what] = now, 0
        error = record.exc_info[0] if record.exc_info else None
        structlog.get_logger().log(
            record.levelno,
            "library_log",
            logger=record.name,
            message=record.getMessage().partition("\n")[0],
            **({"repeated": unsaid} if unsaid else {}),
            **({} if error is None else {"error": error.__qualname__}),
        )


def configure(level: str, stream: TextIO) -> None:
    """Log to the stream from this level on (`debug`, `info`, `warning` or `error`)."""
    writer = LineWriter(stream.fileno())
    atexit.register(writer.close)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _name_request,
            _for_people if stream.isatty() else _as_json,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: writer,
        cache_logger_on_first_use=True,
    )
    # What libraries tell below a warning may hold addresses and tokens.
    logging.basicConfig(level=logging.WARNING, handlers=[_ToStructlog()], force=True)


def dropped_lines() -> int:
    """The lines of this process that nobody has written."""
    writer = structlog.get_config()["logger_factory"]()
    return writer.dropped if isinstance(writer, LineWriter) else 0


def _name_request(_: Any, __: str, told: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Whatever is told while a request is carried out names it."""
    trail = TRAIL.get()
    if trail is not None and trail.request_id:
        told.setdefault("request_id", trail.request_id)
    return told


def _as_json(_: Any, __: str, told: MutableMapping[str, Any]) -> bytes:
    return _encode(told) + b"\n"


_console = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())


def _for_people(logger: Any, name: str, told: MutableMapping[str, Any]) -> bytes:
    return f"{_console(logger, name, told)}\n".encode()
