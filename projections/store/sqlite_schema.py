"""How a declared collection is kept in SQLite: its tables, its indexes and the way into them.

A row holds the document as JSON in `_doc`, beside it one column for each field by which documents
are found. Columns have no declared type, so that a value stays what it was.
"""

import sqlite3
from collections.abc import Sequence
from types import GenericAlias
from typing import Any, Generic

import msgspec

from projections.store.port import Collection, D, Document, StoreError, Value
from projections.store.sqlite_terms import TERMS_LAYOUT, Postings, postings_table, scopes_table
from projections.store.sqlite_values import Stored, stored, to_json

# Names the form of these tables in the declarations a file keeps. Raise it when that form changes:
# every table is then rebuilt from its documents on opening.
LAYOUT = 1
REBUILD_STEP = 1_000

META = """
CREATE TABLE IF NOT EXISTS _meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _checkpoints (
    partition TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _collections (
    name TEXT PRIMARY KEY, declaration TEXT NOT NULL) WITHOUT ROWID;
"""


class Rows(msgspec.Struct, frozen=True):
    """Documents of one table, ready to be written: whole rows, and keys with `seq`."""

    rows: str
    keys: str


class Table(Generic[D]):
    """The tables of one collection."""

    def __init__(self, collection: Collection[D]) -> None:
        self.collection = collection
        self.name = collection.name
        self.key = collection.key
        self.postings = Postings(collection) if collection.terms else None
        indexes = collection.indexes.values()
        # A dict, because it keeps the order and drops what is named twice.
        self.fields = tuple(
            dict.fromkeys(
                (
                    *self.key,
                    *(field for index in indexes for field in index.fields),
                    *((collection.terms.scope, collection.terms.time) if collection.terms else ()),
                    "seq",
                )
            )
        )
        self.conditions = tuple(dict.fromkeys(i.where for i in indexes if i.where is not None))
        self.decoder: msgspec.json.Decoder[list[D]] = msgspec.json.Decoder(
            GenericAlias(list, (collection.document,))
        )
        self.runs_decoder: msgspec.json.Decoder[list[list[D]]] = msgspec.json.Decoder(
            GenericAlias(list, (GenericAlias(list, (collection.document,)),))
        )
        self._upsert = self._upsert_sql()

    @property
    def declaration(self) -> str:
        collection = self.collection
        indexes = sorted(collection.indexes.values())
        layout = [LAYOUT, collection.key, indexes, collection.terms]
        return to_json([*layout, TERMS_LAYOUT] if collection.terms else layout)

    def index_name(self, index: str | None) -> str:
        """The name of an index in SQLite; that of the key when `index` is None."""
        return f"{self.name}.key" if index is None else f"{self.name}:{index}"

    def create(self, connection: sqlite3.Connection) -> None:
        columns = (
            *(f'"{field}"' + " NOT NULL" * (field in self.key) for field in self.fields),
            *(f'"{condition_column(field)}"' for field in self.conditions),
            *(("_terms NOT NULL",) if self.postings else ()),
            "_doc NOT NULL",
        )
        connection.execute(f'CREATE TABLE "{self.name}" ({", ".join(columns)})')
        connection.execute(
            f'CREATE UNIQUE INDEX "{self.index_name(None)}" ON "{self.name}" ({quoted(self.key)})'
        )
        for index in self.collection.indexes.values():
            where = f" WHERE {condition(index.where)}" if index.where else ""
            connection.execute(
                f'CREATE INDEX "{self.index_name(index.name)}" ON "{self.name}"'
                f" ({quoted(self.order(index.name))}){where}"
            )
        if self.postings:
            self.postings.create(connection)

    def order(self, index: str | None) -> tuple[str, ...]:
        """The fields that order a run: the index's, then the key's, so that no two are equal."""
        fields = self.collection.indexes[index].fields if index is not None else ()
        return tuple(dict.fromkeys((*fields, *self.key)))

    def rows(self, documents: Sequence[Document]) -> Rows:
        """Raises ValueError when a document holds what cannot be kept."""
        rows = [self._row(document) for document in documents]
        keys: list[list[Stored]] = []
        if self.postings:
            seq = self.fields.index("seq")
            keys = [[*row[: len(self.key)], row[seq]] for row in rows]
        return Rows(to_json(rows), to_json(keys))

    def write(self, connection: sqlite3.Connection, rows: Rows) -> None:
        """Write each row unless the stored one has seen as much. Needs an open transaction."""
        if self.postings:
            self.postings.withdraw(connection, rows.keys)
        connection.execute(self._upsert, (rows.rows,))
        if self.postings:
            self.postings.post(connection, rows.keys)

    def _row(self, document: Document) -> list[Any]:
        row: list[Any] = [stored(getattr(document, field)) for field in self.fields]
        row += [is_set(getattr(document, field)) for field in self.conditions]
        if self.postings:
            row.append(self.postings.terms_of(document))
        row.append(document)
        return row

    def _upsert_sql(self) -> str:
        columns = [*self.fields, *map(condition_column, self.conditions)]
        values = [f"value ->> {place}" for place in range(len(columns))]
        for column in ("_terms",) * bool(self.postings) + ("_doc",):
            values.append(f"value -> {len(columns)}")
            columns.append(column)
        changes = ", ".join(f'"{c}" = excluded."{c}"' for c in columns if c not in self.key)
        # "WHERE true" tells the parser that ON CONFLICT is no part of a join.
        return (
            f'INSERT INTO "{self.name}" ({quoted(columns)})'
            f" SELECT {', '.join(values)} FROM json_each(?) WHERE true"
            f" ON CONFLICT ({quoted(self.key)}) DO UPDATE SET {changes}"
            f' WHERE excluded."seq" > "{self.name}"."seq"'
        )


def quoted(columns: Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


def condition_column(field: str) -> str:
    return f"_has_{field}"


def condition(field: str) -> str:
    """The condition of a partial index; a query must repeat it to be answered from the index."""
    return f'"{condition_column(field)}" IS NOT NULL'


def is_set(value: object) -> Value:
    return None if value is None or value is False else 1


def declare(connection: sqlite3.Connection, tables: Sequence[Table[Any]]) -> None:
    """Make the file hold these tables, in one transaction.

    A table whose declaration has changed is built anew from its documents. Tables that nobody
    declares stay as they are: an earlier release may come back for them.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in META.split(";"):
            connection.execute(statement)
        known = dict(connection.execute("SELECT name, declaration FROM _collections"))
        for table in tables:
            if known.get(table.name) == table.declaration:
                continue
            if table.name in known:
                _rebuild(connection, table)
            else:
                table.create(connection)
            connection.execute(
                "REPLACE INTO _collections VALUES (?, ?)", (table.name, table.declaration)
            )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _rebuild(connection: sqlite3.Connection, table: Table[Any]) -> None:
    indexes = "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql <> ''"
    for (index,) in connection.execute(indexes, (table.name,)).fetchall():
        connection.execute(f'DROP INDEX "{index}"')
    for part in (postings_table, scopes_table):
        connection.execute(f'DROP TABLE IF EXISTS "{part(table.name)}"')
    old = f"{table.name}.old"
    connection.execute(f'ALTER TABLE "{table.name}" RENAME TO "{old}"')
    table.create(connection)
    documents = connection.execute(f'SELECT _doc FROM "{old}"')
    while step := documents.fetchmany(REBUILD_STEP):
        try:
            decoded = table.decoder.decode(f"[{','.join(doc for (doc,) in step)}]")
        except msgspec.ValidationError as error:
            raise StoreError(
                f"the stored documents of {table.name} do not have the declared form ({error});"
                " drop the read store and let the projections fill it again"
            ) from error
        table.write(connection, table.rows(decoded))
    connection.execute(f'DROP TABLE "{old}"')
