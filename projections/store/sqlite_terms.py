"""The inverted index of a collection in SQLite.

A posting is a row (scope, term, time, rest of the key): the documents of a term stand side by side
within a scope, in the order of time. Scopes are numbered: there are few, and their names are long.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from projections.store.port import Collection, Document
from projections.store.sqlite_values import Stored, escape

# Names the form of postings, as LAYOUT does that of documents.
TERMS_LAYOUT = 2

# The term of every document. Being a number, it equals no text and stands before all.
EVERY = 0


def postings_table(collection: str) -> str:
    return f"{collection}.terms"


def scopes_table(collection: str) -> str:
    return f"{collection}.scopes"


class Postings:
    """The postings of one collection with terms."""

    def __init__(self, collection: Collection[Any]) -> None:
        assert collection.terms is not None
        self._declared = collection.terms
        self._documents = f'"{collection.name}"'
        self.table = f'"{postings_table(collection.name)}"'
        self.scopes = f'"{scopes_table(collection.name)}"'
        self._key = collection.key
        #: The fields of the key but the scope, and the columns that hold them, after the time.
        self.rest = tuple(field for field in collection.key if field != self._declared.scope)
        self.place = ("time", *(f"k{n}" for n in range(len(self.rest))))
        self.columns = ("scope", "term", *self.place)
        self._is_given = " AND ".join(
            f'd."{field}" = i.value ->> {n}' for n, field in enumerate(self._key)
        )

    def create(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            # Without the type, SQLite would not look scopes up by their numbers.
            f"CREATE TABLE {self.table} (scope INTEGER, {', '.join(self.columns[1:])},"
            f" PRIMARY KEY ({', '.join(self.columns)})) WITHOUT ROWID"
        )
        connection.execute(
            f"CREATE TABLE {self.scopes} (number INTEGER PRIMARY KEY, scope UNIQUE NOT NULL)"
        )

    def terms_of(self, document: Document) -> Sequence[Stored]:
        declared = self._declared
        if getattr(document, declared.scope) is None or getattr(document, declared.time) is None:
            return ()
        terms: Iterable[str] = getattr(document, declared.field)
        return [EVERY, *map(escape, terms)]

    def withdraw(self, connection: sqlite3.Connection, keys: str) -> None:
        """Drop the postings of the stored documents that newer ones are about to replace."""
        connection.execute(
            f"DELETE FROM {self.table} WHERE ({', '.join(self.columns)}) IN"
            f" ({self._postings_of('>')})",
            (keys,),
        )

    def post(self, connection: sqlite3.Connection, keys: str) -> None:
        """Write the postings of the stored documents of these keys, those it has excepted."""
        connection.execute(
            f"INSERT OR IGNORE INTO {self.scopes} (scope)"
            f' SELECT DISTINCT d."{self._declared.scope}" FROM json_each(?) i'
            f" CROSS JOIN {self._documents} d WHERE {self._is_given}",
            (keys,),
        )
        connection.execute(
            f"INSERT INTO {self.table} {self._postings_of('=')}"
            " ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING",
            (keys,),
        )

    def _postings_of(self, relation: str) -> str:
        """A query over given keys with `seq`: the postings of those stored documents to whose `seq`
        the given one stands in this relation."""
        rest = "".join(f', d."{field}"' for field in self.rest)
        return (
            f'SELECT s.number, w.value, d."{self._declared.time}"{rest}'
            f" FROM json_each(?) i CROSS JOIN {self._documents} d"
            f' CROSS JOIN {self.scopes} s ON s.scope = d."{self._declared.scope}"'
            f" CROSS JOIN json_each(d._terms) w"
            f' WHERE {self._is_given} AND i.value ->> {len(self._key)} {relation} d."seq"'
        )
