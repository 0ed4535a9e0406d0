"""The keyring in a SQLite file of its own."""

import asyncio
import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Self, TypeVar

import msgspec

from projections.keyring.port import KeyringError
from projections.keyring.wrapping import MasterKey, WrongMasterKey

T = TypeVar("T")

# Not WITHOUT ROWID, and no row is ever deleted: so rows are only appended and shrunk in place.
# Where SQLite moves a row to another page it leaves a copy behind that secure_delete doesn't wipe.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (id TEXT NOT NULL UNIQUE, wrapped TEXT);
CREATE TABLE IF NOT EXISTS master (only INTEGER PRIMARY KEY CHECK (only = 1), wrapped TEXT);
"""

_MAKE = """
INSERT INTO keys (id, wrapped) SELECT value ->> 0, value ->> 1 FROM json_each(?) WHERE true
ON CONFLICT DO NOTHING
"""

_READ = """
SELECT json_group_object(id, wrapped) FROM keys WHERE id IN (SELECT value FROM json_each(?))
"""

_DESTROY = """
INSERT INTO keys (id, wrapped) SELECT value, NULL FROM json_each(?) WHERE true
ON CONFLICT (id) DO UPDATE SET wrapped = NULL WHERE wrapped IS NOT NULL
"""

_EMPTY_WAL = "PRAGMA wal_checkpoint(TRUNCATE)"

# The master key wraps a key that is used for nothing, under an id that no key has.
_CHECK_ID = ""

_WAIT_SECONDS = 5.0

_rows = msgspec.json.Decoder(dict[str, str | None])


class SqliteKeyring:
    """Keys by id; a destroyed one leaves its id with NULL. All SQL runs in one thread."""

    def __init__(self, path: str, master_key: MasterKey) -> None:
        self._path = path
        self._master_key = master_key
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="keyring")
        self._db: sqlite3.Connection

    @classmethod
    async def open(cls, path: str, master_key: MasterKey) -> Self:
        """The keyring in this file, which is made if it is missing (mode 0600).

        Raises:
            WrongMasterKey: the file was made with another one.
            KeyringError: the file can't be used.
        """
        keyring = cls(path, master_key)
        try:
            await keyring._run(keyring._connect)
        except BaseException:
            keyring._thread.shutdown(wait=False)
            raise
        return keyring

    async def ensure(self, ids: Sequence[str]) -> dict[str, bytes]:
        return await self._run(lambda: self._ensure(ids))

    async def get(self, ids: Sequence[str]) -> dict[str, bytes]:
        return await self._run(lambda: self._unwrapped(self._read(ids)))

    async def destroy(self, ids: Sequence[str]) -> None:
        await self._run(lambda: self._destroy(ids))

    async def close(self) -> None:
        await self._run(self._db.close)
        self._thread.shutdown(wait=False)

    async def _run(self, step: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, step)
        except (OSError, sqlite3.Error) as error:
            raise KeyringError(f"{self._path}: {error}") from error

    def _connect(self) -> None:
        # SQLite does not wait for another one that is turning on WAL.
        with _alone_in_folder(self._path):
            _make_private(self._path)
            self._open_database()

    def _open_database(self) -> None:
        self._db = sqlite3.connect(self._path, timeout=_WAIT_SECONDS, isolation_level=None)
        try:
            self._db.executescript(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                "PRAGMA secure_delete=ON; PRAGMA temp_store=MEMORY;"
                f"BEGIN IMMEDIATE; {_SCHEMA}"
            )
            self._check_master_key()
            self._db.execute("COMMIT")
            # A crash may have come between a destruction and its wiping. Whoever is busy with the
            # file now does not stop the start: the next destruction wipes too.
            self._db.execute(_EMPTY_WAL)
        except BaseException:
            self._db.close()
            raise

    def _check_master_key(self) -> None:
        self._db.execute(
            "INSERT INTO master VALUES (1, ?) ON CONFLICT DO NOTHING",
            (self._master_key.new_key(_CHECK_ID),),
        )
        (wrapped,) = self._db.execute("SELECT wrapped FROM master").fetchone()
        try:
            self._master_key.unwrap(_CHECK_ID, wrapped)
        except KeyringError as error:
            raise WrongMasterKey(f"{self._path} was made with another master key") from error

    def _ensure(self, ids: Sequence[str]) -> dict[str, bytes]:
        rows = self._read(ids)
        if missing := set(ids) - rows.keys():
            made = [(key_id, self._master_key.new_key(key_id)) for key_id in missing]
            self._db.execute(_MAKE, (msgspec.json.encode(made).decode(),))
            # Another process may have been faster: what stands in the file counts.
            rows |= self._read(missing)
        return self._unwrapped(rows)

    def _read(self, ids: Collection[str]) -> dict[str, str | None]:
        (rows,) = self._db.execute(_READ, (msgspec.json.encode(ids).decode(),)).fetchone()
        return _rows.decode(rows)

    def _unwrapped(self, rows: dict[str, str | None]) -> dict[str, bytes]:
        unwrap = self._master_key.unwrap
        return {key_id: unwrap(key_id, wrapped) for key_id, wrapped in rows.items() if wrapped}

    def _destroy(self, ids: Sequence[str]) -> None:
        self._db.execute(_DESTROY, (msgspec.json.encode(ids).decode(),))
        self._wipe()

    def _wipe(self) -> None:
        """Bring the zeros that secure_delete wrote into the main file, and empty the WAL."""
        busy, _, _ = self._db.execute(_EMPTY_WAL).fetchone()
        if busy:
            raise KeyringError(f"{self._path}: a reader keeps destroyed keys in the WAL")


@contextlib.contextmanager
def _alone_in_folder(path: str) -> Iterator[None]:
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _make_private(path: str) -> None:
    """SQLite gives its other files the mode of this one."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        # Not opened here: closing it would end the locks of every connection of this process.
        os.chmod(path, 0o600)
