"""The inverted index of a collection in SQLite.

A posting is a row (scope, term, time, rest of the key): the documents of a term stand side by side
within a scope, in the order of time. Scopes are numbered: there are few, and their names are long.
Walks over many scopes and terms are merged lazily by a recursive query whose queue is ordered; it
takes as many steps as there are documents to find.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from math import prod
from typing import Any

from projections.store.port import Collection, Document, Match, TooCostly
from projections.store.sqlite_values import Stored, escape, sought, to_json

# Names the form of postings, as LAYOUT does that of documents.
TERMS_LAYOUT = 2

# The term of every document. Being a number, it equals no text and stands before all.
EVERY = 0

# Of a set of up to so many terms each is looked up as a posting, of a longer one the document's own
# terms are looked through. That costs as much as LONG look-ups.
FEW = 16
LONG = 20

# In so many of the scopes, and so far, it is counted how common the terms are.
SAMPLE = 10
COUNTED = 10_000


# Instructions of SQLite's machine that one search may take, and how many pass between two looks.
MOST_STEPS = 50_000_000
STEPS_BETWEEN = 1_000_000


@contextmanager
def bounded(connection: sqlite3.Connection) -> Iterator[None]:
    """Break the statements in here off once they have taken too long.

    Raises:
        TooCostly: they have.
    """
    taken = 0

    def broken_off() -> bool:
        nonlocal taken
        taken += STEPS_BETWEEN
        return taken > MOST_STEPS

    connection.set_progress_handler(broken_off, STEPS_BETWEEN)
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            raise TooCostly("a search went through too much") from None
        raise
    finally:
        connection.set_progress_handler(None, 0)


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
        self._table = f'"{postings_table(collection.name)}"'
        self._scopes = f'"{scopes_table(collection.name)}"'
        self._key = collection.key
        self._rest = tuple(field for field in collection.key if field != self._declared.scope)
        self._place = ("time", *(f"k{n}" for n in range(len(self._rest))))
        self._columns = ("scope", "term", *self._place)
        self._is_given = " AND ".join(
            f'd."{field}" = i.value ->> {n}' for n, field in enumerate(self._key)
        )
        self._numbered = f"json_each(:scopes) n CROSS JOIN {self._scopes} s ON s.scope = n.value"
        self._walk_sql = cache(self._make_walk_sql)

    def create(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            # Without the type, SQLite would not look scopes up by their numbers.
            f"CREATE TABLE {self._table} (scope INTEGER, {_columns(self._columns[1:])},"
            f" PRIMARY KEY ({_columns(self._columns)})) WITHOUT ROWID"
        )
        connection.execute(
            f"CREATE TABLE {self._scopes} (number INTEGER PRIMARY KEY, scope UNIQUE NOT NULL)"
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
            f"DELETE FROM {self._table} WHERE ({_columns(self._columns)}) IN"
            f" ({self._postings_of('>')})",
            (keys,),
        )

    def post(self, connection: sqlite3.Connection, keys: str) -> None:
        """Write the postings of the stored documents of these keys, those it has excepted."""
        connection.execute(
            f"INSERT OR IGNORE INTO {self._scopes} (scope)"
            f' SELECT DISTINCT d."{self._declared.scope}" FROM json_each(?) i'
            f" CROSS JOIN {self._documents} d WHERE {self._is_given}",
            (keys,),
        )
        connection.execute(
            f"INSERT INTO {self._table} {self._postings_of('=')}"
            " ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING",
            (keys,),
        )

    def match(self, connection: sqlite3.Connection, match: Match) -> bytes:
        """The matching documents, as one JSON list."""
        scopes = sorted({escape(scope) for scope in match.scopes})
        sets = [sorted({escape(term) for term in terms}) for terms in match.all_of]
        if not scopes or not all(sets):
            return b"[]"
        driver = self._cheapest(connection, match, scopes, sets)
        checks = [terms for n, terms in enumerate(sets) if n != driver]
        until, after = match.until, match.after
        # SQLite starts to read at one bound; the lower of the two implies the other.
        if until is not None and after is not None:
            until, after = (None, after) if str(after[0]) < until else (until, None)
        along = sets[driver] if sets else [EVERY]
        sql = self._walk_sql(
            len(along) <= FEW,
            tuple(len(terms) <= FEW for terms in checks),
            match.since is not None,
            until is not None,
            after is not None,
        )
        parameters = {
            "scopes": to_json(scopes),
            "driver": to_json(along),
            "first": along[0],
            "last": along[-1],
            "since": match.since,
            "until": until,
            "after": to_json([sought(value) for value in after or ()]),
            "limit": match.limit,
            **{f"set{n}": to_json(terms) for n, terms in enumerate(checks)},
        }
        found: tuple[bytes] = connection.execute(sql, parameters).fetchone()
        return found[0]

    def expand(
        self, connection: sqlite3.Connection, scopes: Sequence[str], prefix: str, limit: int
    ) -> bytes:
        """The terms, still escaped, as one JSON list."""
        found: tuple[bytes] = connection.execute(
            f"""
            WITH RECURSIVE found (scope, term) AS (
                SELECT s.number, (
                    SELECT p.term FROM {self._table} p
                    WHERE p.scope = s.number AND p.term >= :prefix ORDER BY p.term LIMIT 1)
                FROM {self._numbered}
                UNION ALL
                SELECT f.scope, (
                    SELECT p.term FROM {self._table} p
                    WHERE p.scope = f.scope AND p.term > f.term ORDER BY p.term LIMIT 1)
                FROM found f WHERE substr(f.term, 1, length(:prefix)) = :prefix
                ORDER BY 2)
            SELECT json_group_array(term) FROM (
                SELECT DISTINCT term FROM found
                WHERE substr(term, 1, length(:prefix)) = :prefix LIMIT :limit)
            """,
            {
                "scopes": to_json(sorted({escape(scope) for scope in scopes})),
                "prefix": escape(prefix),
                "limit": limit,
            },
        ).fetchone()
        return found[0]

    def _postings_of(self, relation: str) -> str:
        """A query over given keys with `seq`: the postings of those stored documents to whose `seq`
        the given one stands in this relation."""
        rest = "".join(f', d."{field}"' for field in self._rest)
        return (
            f'SELECT s.number, w.value, d."{self._declared.time}"{rest}'
            f" FROM json_each(?) i CROSS JOIN {self._documents} d"
            f' CROSS JOIN {self._scopes} s ON s.scope = d."{self._declared.scope}"'
            f" CROSS JOIN json_each(d._terms) w"
            f' WHERE {self._is_given} AND i.value ->> {len(self._key)} {relation} d."seq"'
        )

    def _cheapest(
        self, connection: sqlite3.Connection, match: Match, scopes: list[str], sets: list[list[str]]
    ) -> int:
        """The set to walk along: the one that leads to the last document by the fewest look-ups.

        How common the sets are is counted in some of the scopes, and taken as independent.
        """
        if len(sets) < 2:
            return 0
        sample = scopes[:: len(scopes) // SAMPLE + 1]
        scale = len(scopes) / len(sample)
        every, *sizes = (
            scale * max(1, counted) for counted in self._count(connection, sample, [[EVERY], *sets])
        )
        costs = []
        for n, terms in enumerate(sets):
            others = [other for other in range(len(sets)) if other != n]
            check = sum(len(sets[o]) if len(sets[o]) <= FEW else LONG for o in others)
            share = prod(min(1.0, sizes[o] / every) for o in others)
            # In each scope the walk goes as far as the first match, then on to those asked for.
            steps = min(sizes[n], (len(scopes) + match.limit) / share)
            pairs = min(len(scopes) * len(terms), sizes[n])
            costs.append(pairs + steps * check)
        return costs.index(min(costs))

    def _count(
        self, connection: sqlite3.Connection, scopes: list[str], sets: Sequence[Sequence[Stored]]
    ) -> Iterable[int]:
        counts = ", ".join(
            f"(SELECT count(*) FROM (SELECT 1 FROM {self._numbered}"
            f" CROSS JOIN json_each(:set{n}) t CROSS JOIN {self._table} p"
            f" WHERE p.scope = s.number AND p.term = t.value LIMIT {COUNTED}))"
            for n in range(len(sets))
        )
        parameters = {f"set{n}": to_json(terms) for n, terms in enumerate(sets)}
        counted: tuple[int, ...] = connection.execute(
            f"SELECT {counts}", {"scopes": to_json(scopes), **parameters}
        ).fetchone()
        return counted

    def _make_walk_sql(
        self, short: bool, few: tuple[bool, ...], since: bool, until: bool, after: bool
    ) -> str:
        """A walk along the postings of `:driver`, newest first over all `:scopes`.

        It begins with those pairs of a scope and a term that there are: of a long list, which is
        that of a prefix, few stand in each scope. Each row of the queue is the newest match of one
        scope and term that is not yet taken; the one taken makes room for the next of its scope and
        term.
        """
        place = _columns(self._place, "p")
        fits = " AND q.time >= :since" * since
        fits += "".join(self._check(f":set{n}", is_few) for n, is_few in enumerate(few))
        start = " AND q.time < :until" * until
        if after:
            given = ", ".join(f":after ->> {n}" for n in range(len(self._place) + 1))
            here = ", ".join(("q.time", "t.named", *(f"q.{k}" for k in self._place[1:])))
            start += f" AND q.time <= :after ->> 0 AND ({here}) < ({given})"
        next_one = f"""(
            SELECT {_columns(self._place, "q")} FROM {self._table} q
            WHERE q.scope = %s AND q.term = %s{fits}%s
            ORDER BY {_columns(self._place, "q", " DESC")} LIMIT 1)"""
        onward = f" AND ({_columns(self._place, 'q')}) < ({_columns(self._place, 'w')})"
        walked = ("named", *self._columns)
        order = ("time", "named", *self._place[1:])
        queue = ", ".join(f"{1 + walked.index(column)} DESC" for column in order)
        next_term = f"""(
            SELECT q.term FROM {self._table} q
            WHERE q.scope = %s AND q.term %s ORDER BY q.term LIMIT 1)"""
        pairs = f"""
            SELECT s.scope, s.number, t.value
            FROM {self._numbered} CROSS JOIN json_each(:driver) t"""
        if not short:
            pairs = f"""
            SELECT s.scope, s.number, {next_term % ("s.number", ">= :first")}
            FROM {self._numbered}
            UNION ALL
            SELECT t.named, t.scope, {next_term % ("t.scope", "> t.term")}
            FROM pairs t WHERE t.term < :last"""
        wanted = "" if short else " AND t.term IN (SELECT value FROM json_each(:driver))"
        return f"""
            WITH RECURSIVE pairs (named, scope, term) AS ({pairs}),
            walk ({_columns(walked)}) AS (
                SELECT t.named, {_columns(self._columns, "p")}
                FROM pairs t CROSS JOIN {self._table} p
                WHERE p.scope = t.scope AND p.term = t.term{wanted}
                AND ({place}) = {next_one % ("t.scope", "t.term", start)}
                UNION ALL
                SELECT w.named, {_columns(self._columns, "p")}
                FROM walk w CROSS JOIN {self._table} p
                WHERE p.scope = w.scope AND p.term = w.term
                AND ({place}) = {next_one % ("w.scope", "w.term", onward)}
                ORDER BY {queue})
            SELECT '[' || coalesce(group_concat(_doc, ','), '') || ']' FROM (
                SELECT d._doc FROM (
                    SELECT DISTINCT {_columns(order)} FROM walk LIMIT :limit) w
                CROSS JOIN {self._documents} d WHERE {self._is_document_of("w", "w.named")}
                ORDER BY {_columns(order, "w", " DESC")} LIMIT :limit)"""

    def _check(self, terms: str, few: bool) -> str:
        """The condition that the document of posting `q` holds one of these terms."""
        wanted = f"IN (SELECT value FROM json_each({terms}))"
        if few:
            same = " AND ".join(f"c.{column} = q.{column}" for column in ("scope", *self._place))
            return f" AND EXISTS (SELECT 1 FROM {self._table} c WHERE {same} AND c.term {wanted})"
        named = f"(SELECT scope FROM {self._scopes} WHERE number = q.scope)"
        return (
            f" AND EXISTS (SELECT 1 FROM {self._documents} d CROSS JOIN json_each(d._terms) o"
            f" WHERE {self._is_document_of('q', named)} AND o.value {wanted})"
        )

    def _is_document_of(self, posting: str, scope: str) -> str:
        columns = {
            field: f"{posting}.{place}"
            for field, place in zip(self._rest, self._place[1:], strict=True)
        }
        return " AND ".join(f'd."{field}" = {columns.get(field, scope)}' for field in self._key)


def _columns(names: Sequence[str], of: str = "", order: str = "") -> str:
    return ", ".join(f"{of}.{name}{order}" if of else name for name in names)
