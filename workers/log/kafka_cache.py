"""What a decider keeps of its partition on the local disk: folded states and receipts.

Only a cache: it holds no event, may be deleted at any time, and lags behind the log when the
process dies between the two. What it lacks is folded from the log again.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from domain.commands import Outcome
from domain.state import Part, decode_part, encode_part
from workers.log.port import PartRef

#: Raised with every change of the tables: a file of another layout is thrown away.
LAYOUT = 2

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.decode
_decode_outcome = msgspec.json.Decoder(Outcome).decode


class Place(NamedTuple):
    """Up to where a kind of topic is folded: the offset of its last record, that one's hash, and
    the number of records so far."""

    offset: int
    hash: str
    records: int


class CacheError(Exception):
    """The file can't be used; without it everything is folded from the log."""


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError, msgspec.MsgspecError) as error:
        raise CacheError(f"{type(error).__name__}: {error}") from error


class StateCache:
    """Used by one thread at a time. All of it raises `CacheError`."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            CacheError: it can't be read, or is of another layout.
        """
        self._path = path
        with _told():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._prepare()
        except CacheError:
            self._db.close()
            raise

    @_told()
    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        # A commit that a power cut takes back is folded from the log again.
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("PRAGMA cache_size=-65536")
        layout = self._db.execute("PRAGMA user_version").fetchone()[0]
        if layout not in (0, LAYOUT):
            raise CacheError("it has another layout")
        self._db.executescript(
            "CREATE TABLE IF NOT EXISTS parts (stream TEXT, part TEXT, state TEXT NOT NULL,"
            " PRIMARY KEY (stream, part)) WITHOUT ROWID;"
            "CREATE TABLE IF NOT EXISTS receipts"
            " (command TEXT PRIMARY KEY, outcome TEXT NOT NULL) WITHOUT ROWID;"
            "CREATE TABLE IF NOT EXISTS places (kind TEXT PRIMARY KEY, last INTEGER NOT NULL,"
            " hash TEXT NOT NULL, records INTEGER NOT NULL) WITHOUT ROWID;"
            f"PRAGMA user_version={LAYOUT}"
        )

    @_told()
    def places(self) -> dict[str, Place]:
        rows = self._db.execute("SELECT kind, last, hash, records FROM places").fetchall()
        return {kind: Place(*place) for kind, *place in rows}

    @_told()
    def recall(
        self, parts: Sequence[PartRef], commands: Sequence[str]
    ) -> tuple[dict[PartRef, Part], dict[str, Outcome]]:
        # One statement a table: sqlite3 gives up the interpreter's lock at every step, and beside
        # a busy event loop each step waits long to get it back.
        found: dict[PartRef, Part] = {}
        if parts:
            for stream, part, state in self._select(
                "SELECT json_group_array(json_array(p.stream, p.part, p.state)) FROM json_each(?) w"
                " CROSS JOIN parts p ON p.stream = w.value->>0 AND p.part = w.value->>1",
                parts,
            ):
                found[stream, part] = decode_part(state)
        receipts: dict[str, Outcome] = {}
        if commands:
            for stored in self._select(
                "SELECT json_group_array(r.outcome) FROM json_each(?) w"
                " CROSS JOIN receipts r ON r.command = w.value",
                commands,
            ):
                outcome = _decode_outcome(stored)
                receipts[outcome.command] = outcome
        return found, receipts

    @_told()
    def holds_any(self, commands: Sequence[str]) -> bool:
        """Whether any of these commands has its receipt."""
        row = self._db.execute(
            "SELECT EXISTS (SELECT 1 FROM json_each(?) w"
            " CROSS JOIN receipts r ON r.command = w.value)",
            (_text(commands),),
        ).fetchone()
        return bool(row[0])

    @_told()
    def part(self, ref: PartRef) -> Part | None:
        row = self._db.execute(
            "SELECT state FROM parts WHERE stream = ? AND part = ?", ref
        ).fetchone()
        return None if row is None else decode_part(row[0])

    @_told()
    def receipt(self, command: str) -> Outcome | None:
        row = self._db.execute(
            "SELECT outcome FROM receipts WHERE command = ?", (command,)
        ).fetchone()
        return None if row is None else _decode_outcome(row[0])

    @_told()
    def write(
        self,
        parts: Mapping[PartRef, Part],
        receipts: Sequence[Outcome],
        places: Mapping[str, Place],
    ) -> None:
        """Take what was committed to the log, in one transaction."""
        # Sorted, as rows that are neighbours are written together.
        rows = sorted((*ref, encode_part(part).decode()) for ref, part in parts.items())
        outcomes = sorted((outcome.command, _encode(outcome).decode()) for outcome in receipts)
        reached = [(kind, *place) for kind, place in places.items()]
        with self._transaction():
            self._replace("parts", 3, rows)
            self._replace("receipts", 2, outcomes)
            self._replace("places", 4, reached)

    def close(self) -> None:
        self._db.close()

    def discard(self) -> None:
        """Close and delete the file."""
        self._db.close()
        remove(self._path)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN")
        try:
            yield
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _select(self, statement: str, wanted: Any) -> list[Any]:
        found: list[Any] = _decode(self._db.execute(statement, (_text(wanted),)).fetchone()[0])
        return found

    def _replace(self, table: str, width: int, rows: Sequence[Any]) -> None:
        if rows:
            columns = ", ".join(f"value->>{n}" for n in range(width))
            self._db.execute(
                f"INSERT OR REPLACE INTO {table} SELECT {columns} FROM json_each(?)",
                (_text(rows),),
            )


def remove(path: Path) -> None:
    """Delete a cache that nobody has open."""
    for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        name.unlink(missing_ok=True)


@_told()
def connect_for_copy(path: Path) -> sqlite3.Connection:
    """For `copy`, in whatever thread; its `interrupt` ends that. Whoever writes the cache goes on.

    Raises:
        CacheError: there is no such file.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(uri, uri=True, check_same_thread=False)


@_told()
def copy(db: sqlite3.Connection, path: Path) -> None:
    """Write a closed copy of the whole, in place of any file, and close the connection.

    Raises:
        CacheError: it can't be read or written, or was interrupted.
    """
    with closing(db):
        path.unlink(missing_ok=True)
        db.execute("VACUUM INTO ?", (str(path),))


def _text(rows: Any) -> str:
    return _encode(rows).decode()
