"""The process recorder of `eventsourcing` on SQLite, with what a group of commands leaves beside
its events: receipts, outcomes and folded states, in the same transaction."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import msgspec
from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import (
    SQLiteConnection,
    SQLiteConnectionPool,
    SQLiteCursor,
    SQLiteDatastore,
    SQLiteProcessRecorder,
)

Rows = Sequence[tuple[str, ...]]

CACHE_KIB = 32 * 1024
WAL_CHECKPOINT_PAGES = 16 * 1024
WAL_LIMIT_BYTES = 64 * 1024 * 1024


class DurableConnectionPool(SQLiteConnectionPool):
    """Connections that flush to the disk before a commit returns."""

    def _create_connection(self) -> SQLiteConnection:
        connection = super()._create_connection()
        cursor = connection.cursor()
        # Receipts and states are found all over the file: a page that many commits touch is best
        # kept in memory, and moved from the write-ahead log into the file once for all of them.
        cursor.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        cursor.execute(f"PRAGMA wal_autocheckpoint={WAL_CHECKPOINT_PAGES}")
        cursor.execute(f"PRAGMA journal_size_limit={WAL_LIMIT_BYTES}")
        # A statement of many rows keeps what it may have to undo; by default in a file.
        cursor.execute("PRAGMA temp_store=MEMORY")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA synchronous")
        assert cursor.fetchone()[0] == 2, "the log must be durable when it acknowledges"
        return connection


class LogRecorder(SQLiteProcessRecorder):
    """Records of the log. One process writes; rowids of events are their positions."""

    def __init__(self, path: str) -> None:
        datastore = SQLiteDatastore(path, originator_id_type="text")
        datastore.pool.close()
        datastore.pool = DurableConnectionPool(db_name=path)
        super().__init__(datastore, events_table_name="stored_events")
        self.create_table()

    def construct_create_table_statements(self) -> list[str]:
        return [
            *super().construct_create_table_statements(),
            "CREATE TABLE IF NOT EXISTS log (identity TEXT NOT NULL)",
            "CREATE TABLE IF NOT EXISTS receipts"
            " (command TEXT PRIMARY KEY, outcome TEXT NOT NULL) WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS outcomes"
            " (position INTEGER PRIMARY KEY AUTOINCREMENT, outcome TEXT NOT NULL)",
            "CREATE TABLE IF NOT EXISTS parts (stream TEXT, part TEXT, state TEXT NOT NULL,"
            " PRIMARY KEY (stream, part)) WITHOUT ROWID",
        ]

    def identity(self) -> str:
        """The log's UUID, made when the log is."""
        with self.datastore.transaction(commit=True) as c:
            c.execute(
                "INSERT INTO log SELECT ? WHERE NOT EXISTS (SELECT 1 FROM log)", (str(uuid4()),)
            )
            c.execute("SELECT identity FROM log")
            return str(c.fetchone()[0])

    def _insert_events(
        self, c: SQLiteCursor, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        # One statement a table, its rows as one JSON text: sqlite3 gives up the interpreter's lock
        # at every step, and beside a busy event loop each step waits long to get it back.
        if stored_events:
            rows = [
                (s.originator_id, s.originator_version, s.topic, s.state.decode())
                for s in stored_events
            ]
            c.execute(
                "INSERT INTO stored_events SELECT value->>0, value->>1, value->>2,"
                " CAST(value->>3 AS BLOB) FROM json_each(?)",
                (_json(rows),),
            )
        self._insert(c, "receipts", 2, kwargs.get("receipts", ()))
        self._insert(c, "parts", 3, kwargs.get("parts", ()), replace=True)
        outcomes = kwargs.get("outcomes", ())
        if outcomes:
            c.execute(
                "INSERT INTO outcomes (outcome) SELECT value FROM json_each(?)",
                (_json(outcomes),),
            )
        return None

    def _insert(
        self, c: SQLiteCursor, table: str, width: int, rows: Rows, *, replace: bool = False
    ) -> None:
        if rows:
            verb = "INSERT OR REPLACE" if replace else "INSERT"
            columns = ", ".join(f"value->>{n}" for n in range(width))
            c.execute(f"{verb} INTO {table} SELECT {columns} FROM json_each(?)", (_json(rows),))

    def recall(
        self, parts: Sequence[tuple[str, str]], commands: Sequence[str]
    ) -> tuple[list[tuple[str, str, str]], list[str]]:
        """The stored parts, as (stream, part, state), and the receipts of these commands."""
        with self.datastore.transaction(commit=False) as c:
            states = self._fetch(
                c,
                "SELECT json_group_array(json_array(p.stream, p.part, p.state)) FROM json_each(?) w"
                " CROSS JOIN parts p ON p.stream = w.value->>0 AND p.part = w.value->>1",
                parts,
            )
            receipts = self._fetch(
                c,
                "SELECT json_group_array(r.outcome) FROM json_each(?) w"
                " CROSS JOIN receipts r ON r.command = w.value",
                commands,
            )
        return states, receipts

    def ends(self) -> tuple[int, int]:
        """The positions of the last event and of the last outcome."""
        with self.datastore.transaction(commit=False) as c:
            c.execute("SELECT max(rowid) FROM stored_events")
            events = c.fetchone()[0] or 0
            c.execute("SELECT max(position) FROM outcomes")
            return events, c.fetchone()[0] or 0

    def read_events(self, after: int, limit: int) -> list[tuple[int, str]]:
        """(position, record) of the events after a position."""
        with self.datastore.transaction(commit=False) as c:
            rows: list[tuple[int, str]] = self._fetch(
                c,
                "SELECT json_group_array(json_array(rowid, CAST(state AS TEXT))) FROM"
                " (SELECT rowid, state FROM stored_events WHERE rowid > ?2"
                " ORDER BY rowid LIMIT ?3)",
                None,
                after,
                limit,
            )
            return rows

    def read_outcomes(self, after: int, limit: int) -> list[tuple[int, str]]:
        with self.datastore.transaction(commit=False) as c:
            rows: list[tuple[int, str]] = self._fetch(
                c,
                "SELECT json_group_array(json_array(position, outcome)) FROM"
                " (SELECT position, outcome FROM outcomes WHERE position > ?2"
                " ORDER BY position LIMIT ?3)",
                None,
                after,
                limit,
            )
            return rows

    def _fetch(self, c: SQLiteCursor, statement: str, wanted: Any, *rest: int) -> list[Any]:
        if wanted is not None and not wanted:
            return []
        c.execute(statement, (_json(wanted), *rest))
        found: list[Any] = msgspec.json.decode(c.fetchone()[0])
        return found


def _json(rows: Any) -> str:
    return msgspec.json.encode(rows).decode()
