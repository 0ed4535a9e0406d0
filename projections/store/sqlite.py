"""The read store in one SQLite file.

All SQL runs in threads: one for writing, with its own connection, and a few for reading. A thread
waits for the interpreter at each step of a statement, so a question, and a collection's part of a
batch, is one statement that takes and gives its many values as JSON.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec

from projections.store.port import Batch, Begun, Collection, D, Key, Match, Scan, StoreError
from projections.store.sqlite_matching import Matching, bounded
from projections.store.sqlite_runs import Runs
from projections.store.sqlite_schema import Table, declare
from projections.store.sqlite_values import escape, stored, to_json, unescape

T = TypeVar("T")

READERS = 3
BUSY_SECONDS = 1.0
WRITER_CACHE_KIB = 64 * 1024
READER_CACHE_KIB = 16 * 1024
WAL_CHECKPOINT_PAGES = 16 * 1024
WAL_LIMIT_BYTES = 64 * 1024 * 1024

_POSITIONS = msgspec.json.Decoder(dict[str, int])

_RAISE_CHECKPOINTS = """
INSERT INTO _checkpoints SELECT value ->> 0, value ->> 1 FROM json_each(?) WHERE true
ON CONFLICT DO UPDATE SET position = excluded.position WHERE excluded.position > position
"""


class SqliteStore:
    """A `ReadStore` in a file that one process writes."""

    def __init__(self, path: str, collections: Sequence[Collection[Any]]) -> None:
        """Open the file or make it; blocks.

        Raises:
            StoreError: it cannot be opened, or its documents do not fit the declarations.
        """
        self._path = path
        self._closed = False
        self._tables = {collection.name: Table(collection) for collection in collections}
        self._runs = {name: Runs(table) for name, table in self._tables.items()}
        self._matching = {
            name: Matching(table, table.postings)
            for name, table in self._tables.items()
            if table.postings
        }
        # Of as many as there are threads; the last used is taken first: its pages are at hand.
        self._idle: deque[sqlite3.Connection] = deque()
        try:
            self._connection = _connect(path, WRITER_CACHE_KIB)
            try:
                _prepare_for_writing(self._connection)
                declare(self._connection, tuple(self._tables.values()))
            except BaseException:
                self._connection.close()
                raise
            for _ in range(READERS):
                self._idle.append(_reader(path))
        except sqlite3.Error as error:
            raise StoreError(f"{path}: {error}") from error
        self._writer = ThreadPoolExecutor(1, "store-writer")
        self._readers = ThreadPoolExecutor(READERS, "store-reader")

    async def get(self, collection: Collection[D], keys: Iterable[Key]) -> dict[Key, D]:
        runs: Runs[D] = self._runs[collection.name]
        return await self._read(lambda connection: runs.get(connection, keys))

    async def scan(self, collection: Collection[D], scans: Sequence[Scan]) -> list[list[D]]:
        runs: Runs[D] = self._runs[collection.name]
        return await self._read(lambda connection: runs.scan(connection, scans))

    async def count(self, collection: Collection[Any], scans: Sequence[Scan]) -> list[int]:
        runs = self._runs[collection.name]
        return await self._read(lambda connection: runs.count(connection, scans))

    async def match(self, collection: Collection[D], match: Match) -> list[D]:
        table: Table[D] = self._tables[collection.name]
        matching = self._matching_in(collection)

        def search(connection: sqlite3.Connection) -> list[D]:
            with bounded(connection):
                found = table.decoder.decode(matching.match(connection, match))
            found.sort(key=collection.place_of, reverse=True)
            return found

        return await self._read(search)

    async def expand(
        self, collection: Collection[Any], scopes: Sequence[str], prefix: str, limit: int
    ) -> Begun:
        matching = self._matching_in(collection)

        def search(connection: sqlite3.Connection) -> Begun:
            with bounded(connection):
                return matching.expand(connection, scopes, prefix, limit)

        return await self._read(search)

    async def write(self, batch: Batch) -> None:
        """As the port says. Raises ValueError, with nothing written, for a document that no later
        try could write either: a lone surrogate, an integer beyond 64 bits in a key or an index.
        """
        await self._submit(self._writer, self._write, batch)

    async def checkpoints(self) -> dict[str, int]:
        sql = "SELECT json_group_object(partition, position) FROM _checkpoints"
        positions = await self._read(
            lambda connection: _POSITIONS.decode(connection.execute(sql).fetchone()[0])
        )
        return {unescape(partition): position for partition, position in positions.items()}

    async def bind(self, log_id: str) -> None:
        bound = await self._submit(self._writer, self._bind, log_id)
        if bound != log_id:
            raise StoreError(f"{self._path} belongs to the log {bound}, not to {log_id}")

    async def close(self) -> None:
        """Finish what was begun, then close the file."""
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(self._close)

    def _write(self, batch: Batch) -> None:
        parts = [(self._tables[collection.name], docs) for collection, docs in batch.documents]
        written = [(table, table.rows(documents)) for table, documents in parts]
        checkpoints = to_json([[escape(p), stored(at)] for p, at in batch.checkpoints.items()])
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            for table, rows in written:
                table.write(connection, rows)
            connection.execute(_RAISE_CHECKPOINTS, (checkpoints,))
            connection.execute("COMMIT")
        except BaseException:
            # A full disk may have ended the transaction already.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _bind(self, log_id: str) -> str:
        self._connection.execute(
            "INSERT INTO _meta VALUES ('log', ?) ON CONFLICT DO NOTHING", (log_id,)
        )
        sql = "SELECT value FROM _meta WHERE name = 'log'"
        bound: str = self._connection.execute(sql).fetchone()[0]
        return bound

    def _matching_in(self, collection: Collection[Any]) -> Matching:
        if collection.name not in self._matching:
            raise ValueError(f"{collection.name} has no terms")
        return self._matching[collection.name]

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._submit(self._readers, self._with_reader, work)

    def _with_reader(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._idle.pop()
        try:
            return work(connection)
        except msgspec.DecodeError as error:
            raise StoreError(f"{self._path}: a document has another form: {error}") from error
        finally:
            self._idle.append(connection)

    async def _submit(self, executor: Executor, work: Callable[..., T], *arguments: Any) -> T:
        if self._closed:
            raise StoreError(f"{self._path} is closed")
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, work, *arguments)
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error

    def _close(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        for _ in range(READERS):
            self._idle.pop().close()
        # The last connection to close moves the write-ahead log into the file.
        self._connection.close()


def _connect(path: str, cache_kib: int) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=512,
    )
    connection.execute(f"PRAGMA cache_size = -{cache_kib}")
    return connection


def _prepare_for_writing(connection: sqlite3.Connection) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise sqlite3.OperationalError("its file system cannot hold a write-ahead log")
    # A commit is not forced to the disk. A power cut may take the last ones back, but whole and in
    # order, and a batch's checkpoint with its documents, because they share the file and the
    # transaction: the projections then go on from the older checkpoint, and lose nothing as long
    # as the log itself was forced to the disk before they read it.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
    # A statement of many rows keeps what it may have to undo; by default in a file.
    connection.execute("PRAGMA temp_store = MEMORY")
    # What was deleted or edited away must not stay readable in free pages.
    connection.execute("PRAGMA secure_delete = ON")


def _reader(path: str) -> sqlite3.Connection:
    connection = _connect(path, READER_CACHE_KIB)
    connection.execute("PRAGMA query_only = ON")
    # Answers are JSON that goes to a decoder of bytes.
    connection.text_factory = bytes
    return connection
