"""The inverted index of a collection in SQLite.

A posting is a row (scope, term, time, rest of the key): the documents of a term stand side by side
within a scope, in the order of time. Walks over many scopes and terms are merged lazily by a
recursive query whose queue is ordered; it takes as many steps as there are documents to find.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from projections.store.port import Collection, Document, Match
from projections.store.sqlite_values import Stored, escape, sought, to_json

# The term of every document. Being a number, it equals no text and stands before all.
EVERY = 0

# Up to so many terms of a set are looked up as postings; of a longer set the document's own terms
# are looked through, which costs about as much as so many look-ups.
FEW = 8

# How many postings of a set are counted, at most, to learn how common it is.
SAMPLE = 500


def postings_table(collection: str) -> str:
    return f"{collection}.terms"


class Postings:
    """The postings of one collection with terms."""

    def __init__(self, collection: Collection[Any]) -> None:
        assert collection.terms is not None
        self._declared = collection.terms
        self._documents = f'"{collection.name}"'
        self._table = f'"{postings_table(collection.name)}"'
        self._key = collection.key
        self._rest = tuple(field for field in collection.key if field != self._declared.scope)
        self._place = ("time", *(f"k{n}" for n in range(len(self._rest))))
        self._walk_sql = cache(self._make_walk_sql)

    def create(self, connection: sqlite3.Connection) -> None:
        columns = _columns("scope", "term", *self._place)
        connection.execute(
            f"CREATE TABLE {self._table} ({columns}, PRIMARY KEY ({columns})) WITHOUT ROWID"
        )

    def terms_of(self, document: Document) -> Sequence[Stored]:
        declared = self._declared
        if getattr(document, declared.scope) is None or getattr(document, declared.time) is None:
            return ()
        terms: Iterable[str] = getattr(document, declared.field) or ()
        return [EVERY, *map(escape, dict.fromkeys(terms))]

    def withdraw(self, connection: sqlite3.Connection, keys: str) -> None:
        """Drop the postings of the stored documents that newer ones are about to replace."""
        connection.execute(
            f"DELETE FROM {self._table} WHERE ({_columns('scope', 'term', *self._place)}) IN"
            f" ({self._postings_of('json_each(?)', newer='>')})",
            (keys,),
        )

    def post(self, connection: sqlite3.Connection, keys: str) -> None:
        """Write the postings of the stored documents of these keys, those it has excepted."""
        connection.execute(
            f"INSERT INTO {self._table} {self._postings_of('json_each(?)', newer='=')}"
            " ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING",
            (keys,),
        )

    def match(self, connection: sqlite3.Connection, match: Match) -> bytes:
        """The matching documents, as one JSON list."""
        scopes = sorted({escape(scope) for scope in match.scopes})
        sets = [sorted({escape(term) for term in terms}) for terms in match.all_of]
        driver = self._cheapest(connection, scopes, sets)
        checks = [terms for n, terms in enumerate(sets) if n != driver]
        after, until = match.after, match.until
        if after is not None and until is not None:
            # The lower of the two bounds, so that SQLite starts to read there.
            if str(after[0]) < until:
                until = None
            else:
                after = None
        sql = self._walk_sql(
            tuple(len(terms) <= FEW for terms in checks),
            match.since is not None,
            until is not None,
            after is not None,
        )
        parameters = {
            "scopes": to_json(scopes),
            "driver": to_json(sets[driver] if sets else [EVERY]),
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
                SELECT s.value, (
                    SELECT p.term FROM {self._table} p
                    WHERE p.scope = s.value AND p.term >= :prefix ORDER BY p.term LIMIT 1)
                FROM json_each(:scopes) s
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

    def _postings_of(self, keys: str, newer: str) -> str:
        """The postings of stored documents, as a query over keys that end with a `seq`."""
        same = " AND ".join(f'd."{f}" = i.value ->> {n}' for n, f in enumerate(self._key))
        rest = "".join(f', d."{field}"' for field in self._rest)
        return (
            f'SELECT d."{self._declared.scope}", w.value, d."{self._declared.time}"{rest}'
            f" FROM {keys} i CROSS JOIN {self._documents} d CROSS JOIN json_each(d._terms) w"
            f' WHERE {same} AND i.value ->> {len(self._key)} {newer} d."seq"'
        )

    def _cheapest(
        self, connection: sqlite3.Connection, scopes: list[str], sets: list[list[str]]
    ) -> int:
        """The set to walk along: that of the fewest look-ups, judged by a sample of the scopes."""
        if len(sets) < 2:
            return 0
        checks = [min(len(terms), FEW) for terms in sets]
        costs = []
        for n, terms in enumerate(sets):
            every = max(1, len(scopes) * len(terms) // SAMPLE)
            sample = scopes[::every]
            (counted,) = connection.execute(
                f"SELECT count(*) FROM (SELECT 1 FROM json_each(?) s CROSS JOIN json_each(?) t"
                f" CROSS JOIN {self._table} p WHERE p.scope = s.value AND p.term = t.value"
                f" LIMIT {SAMPLE})",
                (to_json(sample), to_json(terms)),
            ).fetchone()
            others = sum(checks) - checks[n]
            costs.append(len(scopes) * len(terms) + counted * every * others)
        return costs.index(min(costs))

    def _make_walk_sql(self, few: tuple[bool, ...], since: bool, until: bool, after: bool) -> str:
        place = _columns(*(f"p.{column}" for column in self._place))
        bounds = ""
        if since:
            bounds += " AND q.time >= :since"
        checks = "".join(self._check(f":set{n}", short) for n, short in enumerate(few))
        first = bounds + checks
        if until:
            first = " AND q.time < :until" + first
        if after:
            given = _columns(*(f":after ->> {n}" for n in range(len(self._place) + 1)))
            here = _columns("q.time", "q.scope", *(f"q.{c}" for c in self._place[1:]))
            first = f" AND q.time <= :after ->> 0 AND ({here}) < ({given})" + first
        last = _columns(*(f"w.{column}" for column in self._place))
        next_place = _columns(*(f"q.{column}" for column in self._place))
        newest = _columns(*(f"q.{column} DESC" for column in self._place))
        rest_order = "".join(f", {n} DESC" for n in range(4, 4 + len(self._rest)))
        same = " AND ".join(
            f'd."{field}" = '
            + (f"w.k{self._rest.index(field)}" if field in self._rest else "w.scope")
            for field in self._key
        )
        order = _columns("w.time DESC", "w.scope DESC", *(f"w.{c} DESC" for c in self._place[1:]))
        return f"""
            WITH RECURSIVE walk ({_columns("scope", "term", *self._place)}) AS (
                SELECT p.scope, p.term, {place}
                FROM json_each(:scopes) s CROSS JOIN json_each(:driver) t
                CROSS JOIN {self._table} p
                WHERE p.scope = s.value AND p.term = t.value AND ({place}) = (
                    SELECT {next_place} FROM {self._table} q
                    WHERE q.scope = s.value AND q.term = t.value{first}
                    ORDER BY {newest} LIMIT 1)
                UNION ALL
                SELECT p.scope, p.term, {place}
                FROM walk w CROSS JOIN {self._table} p
                WHERE p.scope = w.scope AND p.term = w.term AND ({place}) = (
                    SELECT {next_place} FROM {self._table} q
                    WHERE q.scope = w.scope AND q.term = w.term
                    AND ({next_place}) < ({last}){bounds}{checks}
                    ORDER BY {newest} LIMIT 1)
                ORDER BY 3 DESC, 1 DESC{rest_order})
            SELECT '[' || coalesce(group_concat(_doc, ','), '') || ']' FROM (
                SELECT d._doc FROM (
                    SELECT DISTINCT {_columns("scope", *self._place)} FROM walk LIMIT :limit) w
                CROSS JOIN {self._documents} d WHERE {same}
                ORDER BY {order} LIMIT :limit)
            """

    def _check(self, terms: str, few: bool) -> str:
        """Does the document of posting `q` hold one of these terms?"""
        if few:
            same = "".join(f" AND c.{column} = q.{column}" for column in self._place)
            return (
                f" AND EXISTS (SELECT 1 FROM {self._table} c WHERE c.scope = q.scope"
                f" AND c.term IN (SELECT value FROM json_each({terms})){same})"
            )
        same = " AND ".join(
            f'd."{field}" = '
            + (f"q.k{self._rest.index(field)}" if field in self._rest else "q.scope")
            for field in self._key
        )
        return (
            f" AND EXISTS (SELECT 1 FROM {self._documents} d CROSS JOIN json_each(d._terms) w"
            f" WHERE {same} AND w.value IN (SELECT value FROM json_each({terms})))"
        )


def _columns(*names: str) -> str:
    return ", ".join(names)
