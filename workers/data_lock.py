"""One process at a time on one data folder."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from workers.settings import StartRefused

LOCK_FILE = "lock"


class DataInUse(StartRefused):
    """Another process holds the data folder."""


class DataLock:
    """Holds a data folder, which must exist, as long as the context lasts.

    The kernel ends the lock with the process, however that ends, so nothing has to be tidied up
    after a crash. The file stays: removing it could leave two processes with a lock each.

    Raises:
        DataInUse: another process holds it; the text says which.
        StartRefused: the folder can't be locked at all.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor = -1

    def __enter__(self) -> Self:
        try:
            descriptor = os.open(self._folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StartRefused(f"{self._folder} can't be locked: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                raise DataInUse(f"{self._folder} is in use by process {holder or '?'}") from error
            raise StartRefused(f"{self._folder} can't be locked: {error.strerror}") from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)
