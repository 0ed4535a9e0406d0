"""A disk so small that it can be filled."""

import errno
import os
import subprocess
from pathlib import Path
from typing import Final, Self

from tests.servers.process import ENDED_WITH_US, maker

#: Mounting takes rights; who has them not has them in a name space of users of their own.
_OWN: Final = () if os.geteuid() == 0 else ("--user",)
_MOUNT: Final = 'mount -t tmpfs -o size="$1",mode=0700 none "$2" && echo && exec sleep infinity'


class SmallDisk:
    """A file system that only the processes see that are started by its `launcher`.

    It is gone with the test run. Needs `unshare` and `nsenter` of util-linux.
    """

    def __init__(self, folder: Path, mebibytes: int) -> None:
        """`folder` is where it is mounted."""
        self.folder = folder
        self._size = f"{mebibytes}m"
        self._holder: subprocess.Popen[bytes] | None = None

    def mount(self) -> Self:
        """Raises RuntimeError: this system does not allow it."""
        self.folder.mkdir(parents=True)
        self._holder = maker.submit(self._hold).result()
        assert self._holder.stdout is not None
        if not self._holder.stdout.readline():
            raise RuntimeError("a small disk can't be mounted here")
        return self

    def _hold(self) -> subprocess.Popen[bytes]:
        root = ("--map-root-user",) if _OWN else ()
        shell = ("sh", "-c", _MOUNT, "sh", self._size, str(self.folder))
        return subprocess.Popen(
            ["unshare", *_OWN, *root, "--mount", *ENDED_WITH_US, *shell],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )

    def unmount(self) -> None:
        """What is on it is lost once nobody uses it any more."""
        if self._holder is not None:
            self._holder.kill()
            self._holder.communicate()

    @property
    def launcher(self) -> tuple[str, ...]:
        """What a command is preceded by to see the disk."""
        # In this order: changing the name space of users makes the kernel forget the signal.
        return ("nsenter", f"--target={self._pid}", *_OWN, "--mount", *ENDED_WITH_US)

    @property
    def from_outside(self) -> Path:
        """Where those find its files who do not see it."""
        return Path(f"/proc/{self._pid}/root", *self.folder.parts[1:])

    def fill(self) -> None:
        """Leave no room at all."""
        with self._filling.open("ab", buffering=0) as file:
            size = 1 << 20
            while size:
                try:
                    file.write(bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    size //= 2

    def free(self) -> None:
        """Give the room back."""
        self._filling.unlink()

    @property
    def _filling(self) -> Path:
        return self.from_outside / "filling"

    @property
    def _pid(self) -> int:
        assert self._holder is not None
        return self._holder.pid
