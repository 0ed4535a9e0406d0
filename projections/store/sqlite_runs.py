"""Reading documents of a SQLite table by key and along its indexes.

Each answer is one JSON list built by SQLite, so that it costs one step of the statement however
many documents it has. Runs of one form share a statement, which takes their values as JSON.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from projections.store.port import D, Key, Scan
from projections.store.sqlite_schema import Table, condition
from projections.store.sqlite_values import sought, to_json

T = TypeVar("T")

_COUNTS = msgspec.json.Decoder(list[int])


class Form(NamedTuple):
    """What of a run stands in the statement; the rest are its values."""

    along: str | None
    nulls: tuple[bool, ...]
    above: bool
    below: bool
    newest: bool
    limit: int | None


class Runs(Generic[D]):
    """The statements that read one table."""

    def __init__(self, table: Table[D]) -> None:
        self._table = table
        same = " AND ".join(f'd."{field}" = k.value ->> {n}' for n, field in enumerate(table.key))
        self._get_sql = (
            "SELECT '[' || coalesce(group_concat(d._doc, ','), '') || ']'"
            f' FROM json_each(?) k CROSS JOIN "{table.name}" d WHERE {same}'
        )
        self._scan_sql = cache(self._make_scan_sql)
        self._count_sql = cache(self._make_count_sql)

    def get(self, connection: sqlite3.Connection, keys: Iterable[Key]) -> dict[Key, D]:
        given = to_json([[sought(value) for value in key] for key in dict.fromkeys(keys)])
        (found,) = connection.execute(self._get_sql, (given,)).fetchone()
        key_of = self._table.collection.key_of
        return {key_of(document): document for document in self._table.decoder.decode(found)}

    def scan(self, connection: sqlite3.Connection, scans: Sequence[Scan]) -> list[list[D]]:
        return _answer(connection, scans, self._scan_sql, self._table.runs_decoder.decode)

    def count(self, connection: sqlite3.Connection, scans: Sequence[Scan]) -> list[int]:
        return _answer(connection, scans, self._count_sql, _COUNTS.decode)

    def _make_scan_sql(self, form: Form) -> str:
        run, order = self._run(form)
        return (
            "SELECT '[' || group_concat((SELECT '[' || coalesce(group_concat(_doc, ','), '') || ']'"
            f" FROM (SELECT _doc FROM {run} ORDER BY {order} LIMIT :limit)), ',') || ']'"
            " FROM json_each(:runs) r"
        )

    def _make_count_sql(self, form: Form) -> str:
        run, _ = self._run(form)
        return (
            "SELECT '[' || group_concat((SELECT count(*)"
            f" FROM (SELECT 1 FROM {run} LIMIT :limit)), ',') || ']' FROM json_each(:runs) r"
        )

    def _run(self, form: Form) -> tuple[str, str]:
        """The rows of one run `r`, and their order."""
        table = self._table
        fields = table.order(form.along)
        name = table.index_name(form.along)
        wanted = []
        if form.along is not None and (where := table.collection.indexes[form.along].where):
            wanted.append(condition(where))
        for n, null in enumerate(form.nulls):
            wanted.append(f'"{fields[n]}" ' + ("IS NULL" if null else f"= r.value ->> {n}"))
        value = len(form.nulls)
        for bounded, sign in ((form.above, ">"), (form.below, "<")):
            if bounded:
                wanted.append(f'"{fields[len(form.nulls)]}" {sign} r.value ->> {value}')
                value += 1
        where = f" WHERE {' AND '.join(wanted)}" if wanted else ""
        direction = " DESC" if form.newest else ""
        order = ", ".join(f'"{field}"{direction}' for field in fields)
        return f'"{table.name}" INDEXED BY "{name}"{where}', order


def _answer(
    connection: sqlite3.Connection,
    scans: Sequence[Scan],
    sql: Callable[[Form], str],
    decode: Callable[[bytes], list[T]],
) -> list[T]:
    """One answer a scan, all from one state, with one statement for all scans of one form."""
    forms: dict[Form, list[int]] = {}
    for place, scan in enumerate(scans):
        forms.setdefault(_form(scan), []).append(place)
    answers: dict[int, T] = {}
    if len(forms) > 1:
        connection.execute("BEGIN")
    try:
        for form, places in forms.items():
            runs = to_json([_values(scans[place]) for place in places])
            parameters = {"runs": runs, "limit": -1 if form.limit is None else form.limit}
            (found,) = connection.execute(sql(form), parameters).fetchone()
            answers.update(zip(places, decode(found), strict=True))
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")
    return [answers[place] for place in range(len(scans))]


def _form(scan: Scan) -> Form:
    return Form(
        scan.along,
        tuple(value is None for value in scan.equal),
        scan.above is not None,
        scan.below is not None,
        scan.newest,
        scan.limit,
    )


def _values(scan: Scan) -> list[Any]:
    bounds = (value for value in (scan.above, scan.below) if value is not None)
    return [sought(value) for value in (*scan.equal, *bounds)]
