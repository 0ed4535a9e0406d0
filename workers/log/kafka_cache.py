"""What a decider keeps of its partition on the local disk: folded states and receipts.

Only a cache: it holds no event, may be deleted at any time, and lags behind the log when the
process dies between the two. What it lacks is folded from the log again.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from domain.commands import Outcome
from domain.state import Part, decode_part, encode_part
from workers.log.port import PartRef

#: Raised with every change of the tables: a file of another layout is thrown away.
LAYOUT = 1

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.decode
_decode_outcome = msgspec.json.Decoder(Outcome).decode


class Place(NamedTuple):
    """Up to where a kind of topic is folded: the offset of its last record and that one's hash."""

    offset: int
    hash: str


class CacheError(Exception):
    """The file can't be used; without it everything is folded from the log."""


class StateCache:
    """Used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            CacheError: it can't be read, or is of another layout.
        """
        self._path = path
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            # A commit that a power cut takes back is folded from the log again.
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("PRAGMA cache_size=-65536")
            layout = self._db.execute("PRAGMA user_version").fetchone()[0]
            if layout not in (0, LAYOUT):
                raise CacheError(f"{path.name} has another layout")
            self._db.executescript(
                "CREATE TABLE IF NOT EXISTS parts (stream TEXT, part TEXT, state TEXT NOT NULL,"
                " PRIMARY KEY (stream, part)) WITHOUT ROWID;"
                "CREATE TABLE IF NOT EXISTS receipts"
                " (command TEXT PRIMARY KEY, outcome TEXT NOT NULL) WITHOUT ROWID;"
                "CREATE TABLE IF NOT EXISTS places"
                " (kind TEXT PRIMARY KEY, last INTEGER NOT NULL, hash TEXT NOT NULL) WITHOUT ROWID;"
                f"PRAGMA user_version={LAYOUT}"
            )
        except sqlite3.Error as error:
            raise CacheError(f"{path.name}: {error}") from error

    def places(self) -> dict[str, Place]:
        rows = self._db.execute("SELECT kind, last, hash FROM places").fetchall()
        return {kind: Place(last, hash) for kind, last, hash in rows}

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

    def holds_any(self, commands: Sequence[str]) -> bool:
        """Whether any of these commands has its receipt."""
        row = self._db.execute(
            "SELECT EXISTS (SELECT 1 FROM json_each(?) w"
            " CROSS JOIN receipts r ON r.command = w.value)",
            (_text(commands),),
        ).fetchone()
        return bool(row[0])

    def part(self, ref: PartRef) -> Part | None:
        row = self._db.execute(
            "SELECT state FROM parts WHERE stream = ? AND part = ?", ref
        ).fetchone()
        return None if row is None else decode_part(row[0])

    def receipt(self, command: str) -> Outcome | None:
        row = self._db.execute(
            "SELECT outcome FROM receipts WHERE command = ?", (command,)
        ).fetchone()
        return None if row is None else _decode_outcome(row[0])

    def write(
        self,
        parts: Mapping[PartRef, Part],
        receipts: Sequence[Outcome],
        places: Mapping[str, Place],
    ) -> None:
        """Take what was committed to the log, in one transaction."""
        rows = [(*ref, encode_part(part).decode()) for ref, part in parts.items()]
        outcomes = [(outcome.command, _encode(outcome).decode()) for outcome in receipts]
        reached = [(kind, *place) for kind, place in places.items()]
        try:
            self._db.execute("BEGIN")
            self._replace("parts", 3, rows)
            self._replace("receipts", 2, outcomes)
            self._replace("places", 3, reached)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise CacheError(str(error)) from error

    def copy_to(self, path: Path) -> None:
        """Write a closed copy of the whole."""
        self._db.execute("VACUUM INTO ?", (str(path),))

    def close(self) -> None:
        self._db.close()

    def discard(self) -> None:
        """Close and delete the file."""
        self._db.close()
        for name in (self._path, Path(f"{self._path}-wal"), Path(f"{self._path}-shm")):
            name.unlink(missing_ok=True)

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


def open_cache(path: Path) -> StateCache:
    """The file's cache, an empty one in its place where it can't be used."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return StateCache(path)
    except CacheError:
        for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            name.unlink(missing_ok=True)
        return StateCache(path)


def _text(rows: Any) -> str:
    return _encode(rows).decode()
