"""Searches along the postings of a collection in SQLite.

There are two ways from a set of terms to the newest documents that hold one of them. A walk goes
from posting to posting, newest first over all scopes and terms, as far as it must: walks are merged
lazily by a recursive query whose queue is ordered. A gathering reads all postings of the set and
keeps the newest. The first is for sets with many postings, the second for the others: it needs no
queue, and what it costs is known before.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from typing import Any, NamedTuple

import msgspec

from projections.store import sqlite_plans as plans
from projections.store.port import Begun, Match, TooCostly
from projections.store.sqlite_plans import Wanted
from projections.store.sqlite_schema import Table
from projections.store.sqlite_terms import EVERY, Postings
from projections.store.sqlite_values import Stored, escape, sought, to_json, unescape
from projections.store.text_order import end_of

#: Postings of what is begun that may be read to gather them, and of any other set.
GATHERED = 60_000
GATHERED_BESIDE = 20_000
#: So many postings that are sorted are worth a look at how old they are.
MANY = 500
#: So many postings are passed over in the time of one step to a scope's next term.
PASSED = 3

#: In so many of the scopes, and so far, it is counted how common the terms are.
SAMPLE = 10
COUNTED = 10_000

#: Instructions of SQLite's machine that one search may take, and how many pass between two looks.
MOST_STEPS = 50_000_000
STEPS_BETWEEN = 1_000_000

_TERMS = msgspec.json.Decoder(list[str])
_NUMBERS = msgspec.json.Decoder(list[int])
_AS_LIST = "'[' || coalesce(group_concat(_doc, ','), '') || ']'"


class Form(NamedTuple):
    """What of a search stands in the statement; the rest are its values.

    `picked` and `begun` tell of the driver, `few` of each other set whether it is short.
    """

    picked: bool
    begun: bool
    few: tuple[bool, ...]
    since: bool
    until: bool
    after: bool


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


class Matching:
    """The statements that search one table."""

    def __init__(self, table: Table[Any], postings: Postings) -> None:
        self._documents = f'"{table.name}"'
        self._table = postings.table
        self._scopes = postings.scopes
        self._key = table.key
        self._rest = postings.rest
        self._place = postings.place
        self._columns = postings.columns
        #: Of answers: scopes go by their names.
        self._order = ("time", "named", *self._place[1:])
        self._numbered = f"json_each(:scopes) n CROSS JOIN {self._scopes} s ON s.number = n.value"
        self._walk_sql = cache(self._make_walk_sql)
        self._gathering_sql = cache(self._make_gathering_sql)
        self._since_sql = cache(self._make_since_sql)

    def match(self, connection: sqlite3.Connection, match: Match) -> bytes:
        """The matching documents, as one JSON list in any order."""
        scopes = self._numbers(connection, match.scopes)
        sets = [Wanted(sorted(set(map(escape, terms)))) for terms in match.all_of]
        sets += [Wanted([*map(escape, b.terms)], True, b.postings) for b in match.begun]
        if not scopes or not all(one.terms for one in sets):
            return b"[]"
        sets = sets or [Wanted([EVERY])]
        walk, driver = self._cheapest(connection, scopes, sets, match.limit)
        along = sets[driver]
        checks = [one for n, one in enumerate(sets) if n != driver]
        until, after = match.until, match.after
        # SQLite starts to read at one bound; the lower of the two implies the other.
        if until is not None and after is not None:
            until, after = (None, after) if str(after[0]) < until else (until, None)
        form = Form(
            along.picked(plans.FEW if walk else plans.RUN),
            along.begun,
            tuple(one.few for one in checks),
            match.since is not None,
            until is not None,
            after is not None,
        )
        parameters = {
            "scopes": to_json(scopes),
            **_values("driver", along),
            "since": match.since,
            "until": until,
            "after": to_json([sought(value) for value in after or ()]),
            "limit": match.limit,
            **{f"set{n}": to_json(one.terms) for n, one in enumerate(checks)},
        }
        found: bytes
        if walk:
            (found,) = connection.execute(self._walk_sql(form), parameters).fetchone()
            return found
        limit = match.limit
        # A document stands there once for each of its terms in the set, mostly for one.
        rows = -1 if len(along.terms) == 1 or checks else limit + limit // 4
        newest = parameters | {"rows": rows}
        recently = form
        if rows >= MANY and (since := self._since(connection, form, scopes, newest)):
            recently = form._replace(since=True)
            newest["since"] = max(since, match.since or "")
        found, count = self._gather(connection, recently, newest)
        if count < limit and rows != -1:
            found, _ = self._gather(connection, form, parameters | {"rows": -1})
        return found

    def _since(
        self,
        connection: sqlite3.Connection,
        form: Form,
        scopes: list[int],
        parameters: dict[str, Any],
    ) -> str | None:
        """A time since which there are about half as many postings more than `:rows`, by those of
        some of the scopes; None for one that is not known. Sorting is dearer than passing over."""
        sample = scopes[:: len(scopes) // SAMPLE + 1]
        wanted = parameters["rows"] * 3 * len(sample) // (2 * len(scopes))
        (since,) = connection.execute(
            self._since_sql(form), parameters | {"scopes": to_json(sample), "rows": wanted}
        ).fetchone()
        return since.decode() if since is not None else None

    def _gather(
        self, connection: sqlite3.Connection, form: Form, parameters: dict[str, Any]
    ) -> tuple[bytes, int]:
        """The newest matches, and how many they are."""
        found: tuple[bytes, int] = connection.execute(
            self._gathering_sql(form), parameters
        ).fetchone()
        return found

    def expand(
        self, connection: sqlite3.Connection, scopes: Sequence[str], prefix: str, limit: int
    ) -> Begun:
        """The first terms in these scopes that begin with the prefix."""
        numbers = self._numbers(connection, scopes)
        start = escape(prefix)
        end = end_of(start)
        # Blobs stand after all texts.
        bounds = {"prefix": start, "end": b"" if end is None else end}
        sample = numbers[:: len(numbers) // SAMPLE + 1]
        if len(sample) < len(numbers):
            known, _ = self._begun(connection, sample, bounds, limit)
            if len(known) == limit:
                # Others can only push the last of these further back.
                bounds["end"] = known[-1] + "\x00"
        terms, postings = self._begun(connection, numbers, bounds, limit)
        return Begun(tuple(map(unescape, terms)), postings)

    def _begun(
        self,
        connection: sqlite3.Connection,
        scopes: list[int],
        bounds: dict[str, str | bytes],
        limit: int,
    ) -> tuple[list[str], int | None]:
        """The first terms between these bounds, and at most how many postings they have."""
        most = min(GATHERED, PASSED * len(scopes) * limit)
        parameters = bounds | {"scopes": to_json(scopes), "limit": limit, "most": most}
        rows, found = connection.execute(
            f"""
            SELECT count(*), json_group_array(DISTINCT term) FROM (
                SELECT p.term AS term FROM json_each(:scopes) n CROSS JOIN {self._table} p
                WHERE p.scope = n.value AND p.term >= :prefix AND p.term < :end LIMIT :most)
            """,
            parameters,
        ).fetchone()
        if rows < most:
            return sorted(_TERMS.decode(found))[:limit], rows
        (found,) = connection.execute(self._stepwise_sql, parameters).fetchone()
        return _TERMS.decode(found), None

    def _numbers(self, connection: sqlite3.Connection, scopes: Sequence[str]) -> list[int]:
        found: tuple[bytes] = connection.execute(
            "SELECT json_group_array(s.number) FROM json_each(?) n"
            f" CROSS JOIN {self._scopes} s ON s.scope = n.value",
            (to_json(sorted({escape(scope) for scope in scopes})),),
        ).fetchone()
        return _NUMBERS.decode(found[0])

    @cached_property
    def _stepwise_sql(self) -> str:
        """From each term to the next in its scope, in the order of terms: however often a term
        stands in a scope, it takes one step."""
        next_term = f"""(
            SELECT p.term FROM {self._table} p
            WHERE p.scope = %s AND p.term %s AND p.term < :end ORDER BY p.term LIMIT 1)"""
        return f"""
            WITH RECURSIVE found (scope, term) AS (
                SELECT n.value, {next_term % ("n.value", ">= :prefix")}
                FROM json_each(:scopes) n
                UNION ALL
                SELECT f.scope, {next_term % ("f.scope", "> f.term")}
                FROM found f WHERE f.term IS NOT NULL
                ORDER BY 2)
            SELECT json_group_array(term) FROM (
                SELECT DISTINCT term FROM found WHERE term IS NOT NULL LIMIT :limit)"""

    def _cheapest(
        self, connection: sqlite3.Connection, scopes: list[int], sets: list[Wanted], limit: int
    ) -> tuple[bool, int]:
        """Whether to walk along the postings of a set or to gather them, and of which set."""
        if len(sets) == 1 and sets[0].picked(plans.RUN):
            return True, 0
        sizes = self._sizes(connection, scopes, sets)
        if len(sets) == 1:
            return sizes[0] is None, 0
        sample = scopes[:: len(scopes) // SAMPLE + 1]
        every, *counts = self._count(connection, sample, [Wanted([EVERY]), *sets], COUNTED)
        sampled = plans.Sample(len(scopes) / len(sample), max(1, every), counts)
        return plans.cheapest(sets, sizes, sampled, len(scopes), limit)

    def _sizes(
        self, connection: sqlite3.Connection, scopes: list[int], sets: Sequence[Wanted]
    ) -> list[int | None]:
        """At most how many postings there are of each set; None for more than may be gathered."""
        unknown = [one for one in sets if not one.begun]
        counts = self._count(connection, scopes, unknown, GATHERED_BESIDE) if unknown else ()
        few_enough = iter(count if count < GATHERED_BESIDE else None for count in counts)
        return [one.postings if one.begun else next(few_enough) for one in sets]

    def _count(
        self, connection: sqlite3.Connection, scopes: list[int], sets: Sequence[Wanted], most: int
    ) -> Sequence[int]:
        """How many postings there are of each set in these scopes, at most so many; of a long set,
        with the terms between its own."""
        parameters: dict[str, Any] = {"scopes": to_json(scopes), "most": most}
        counts = []
        for n, one in enumerate(sets):
            postings = self._postings(f"set{n}", one.picked(plans.RUN))
            counts.append(f"(SELECT count(*) FROM (SELECT 1 FROM {postings} LIMIT :most))")
            parameters |= _values(f"set{n}", one)
        counted: tuple[int, ...] = connection.execute(
            f"SELECT {', '.join(counts)}", parameters
        ).fetchone()
        return counted

    def _postings(self, terms: str, picked: bool) -> str:
        """The postings `q` of a set in all scopes `s`; unless `picked`, with those between."""
        if picked:
            return (
                f"{self._numbered} CROSS JOIN json_each(:{terms}) t CROSS JOIN {self._table} q"
                " WHERE q.scope = s.number AND q.term = t.value"
            )
        return (
            f"{self._numbered} CROSS JOIN {self._table} q WHERE q.scope = s.number"
            f" AND q.term >= :{terms}_first AND q.term <= :{terms}_last"
        )

    def _make_gathering_sql(self, form: Form) -> str:
        """The newest matches, and how many they are; of the newest `:rows` postings of `:driver`
        whose documents fit."""
        found = ("q.time", "s.scope AS named", *(f"q.{k}" for k in self._place[1:]))
        newest = f"ORDER BY {_columns(self._order, of='', order=' DESC')}"
        checks = "".join(self._check(n, few, "q", "s.scope") for n, few in enumerate(form.few))
        gathered = f"""
            SELECT {", ".join(found)} FROM {self._gathered(form)}{checks}
            {newest} LIMIT :rows"""
        places = f"SELECT DISTINCT * FROM ({gathered}) {newest} LIMIT :limit"
        return f"SELECT {_AS_LIST}, count(*) FROM ({self._documents_of(places)})"

    def _make_since_sql(self, form: Form) -> str:
        """The time of the `:rows`th newest posting of `:driver`."""
        return f"""
            SELECT (SELECT q.time FROM {self._gathered(form)}
                ORDER BY 1 DESC LIMIT 1 OFFSET :rows)"""

    def _gathered(self, form: Form) -> str:
        """The postings `q` of `:driver` that are within the times and the page."""
        fits = ""
        if not form.picked and not form.begun:
            # The sign keeps SQLite from looking each of the terms up.
            fits = " AND +q.term IN (SELECT value FROM json_each(:driver))"
        fits += " AND q.time >= :since" * form.since + self._before(form, "q", "s.scope")
        return self._postings("driver", form.picked) + fits

    def _make_walk_sql(self, form: Form) -> str:
        """A walk along the postings of `:driver`, newest first over all `:scopes`.

        It begins with those pairs of a scope and a term that there are: of a long list, which is
        that of a prefix, few stand in each scope. Each row of the queue is the newest posting of
        one scope and term that is not yet taken; the one taken makes room for the next of its scope
        and term. Short sets are looked up on the way to it, long ones looked through only when it
        is taken: that costs more, and most that stand in the queue are never taken.
        """
        place = _columns(self._place, "p")
        fits = " AND q.time >= :since" * form.since
        late = ""
        for n, few in enumerate(form.few):
            if few:
                fits += self._check(n, few, "q", "t.named")
            else:
                late += self._check(n, few, "w", "w.named")
        next_one = f"""(
            SELECT {_columns(self._place, "q")} FROM {self._table} q
            WHERE q.scope = %s AND q.term = %s{fits}%s
            ORDER BY {_columns(self._place, "q", " DESC")} LIMIT 1)"""
        start = self._before(form, "q", "t.named")
        onward = f" AND ({_columns(self._place, 'q')}) < ({_columns(self._place, 'w')})"
        walked = ("named", *self._columns)
        queue = ", ".join(f"{1 + walked.index(column)} DESC" for column in self._order)
        next_term = f"""(
            SELECT q.term FROM {self._table} q
            WHERE q.scope = %s AND q.term %s ORDER BY q.term LIMIT 1)"""
        pairs = f"""
            SELECT s.scope, s.number, t.value
            FROM {self._numbered} CROSS JOIN json_each(:driver) t"""
        if not form.picked:
            pairs = f"""
            SELECT s.scope, s.number, {next_term % ("s.number", ">= :driver_first")}
            FROM {self._numbered}
            UNION ALL
            SELECT t.named, t.scope, {next_term % ("t.scope", "> t.term")}
            FROM pairs t WHERE t.term < :driver_last"""
        wanted = "" if form.picked else " AND t.term IN (SELECT value FROM json_each(:driver))"
        taken = f"SELECT DISTINCT {_columns(self._order)} FROM walk w WHERE true{late} LIMIT :limit"
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
            SELECT {_AS_LIST} FROM ({self._documents_of(taken)})"""

    def _before(self, form: Form, posting: str, named: str) -> str:
        """The conditions on a posting from the end of the time and the page before."""
        start = f" AND {posting}.time < :until" * form.until
        if form.after:
            given = ", ".join(f":after ->> {n}" for n in range(len(self._order)))
            here = ", ".join(
                (f"{posting}.time", named, *(f"{posting}.{k}" for k in self._place[1:]))
            )
            start += f" AND {posting}.time <= :after ->> 0 AND ({here}) < ({given})"
        return start

    def _check(self, number: int, few: bool, posting: str, named: str) -> str:
        """The condition that the document of a posting holds a term of the set of this number."""
        wanted = f"IN (SELECT value FROM json_each(:set{number}))"
        if few:
            same = _same(("scope", *self._place), "c", posting)
            return f" AND EXISTS (SELECT 1 FROM {self._table} c WHERE {same} AND c.term {wanted})"
        return (
            f" AND EXISTS (SELECT 1 FROM {self._documents} d CROSS JOIN json_each(d._terms) o"
            f" WHERE {self._is_document_of(posting, named)} AND o.value {wanted})"
        )

    def _documents_of(self, places: str) -> str:
        return f"""
            SELECT d._doc FROM ({places}) w CROSS JOIN {self._documents} d
            WHERE {self._is_document_of("w", "w.named")}"""

    def _is_document_of(self, posting: str, named: str) -> str:
        columns = {
            field: f"{posting}.{place}"
            for field, place in zip(self._rest, self._place[1:], strict=True)
        }
        return " AND ".join(f'd."{field}" = {columns.get(field, named)}' for field in self._key)


def _values(name: str, wanted: Wanted) -> dict[str, Stored]:
    terms = wanted.terms
    return {name: to_json(terms), f"{name}_first": terms[0], f"{name}_last": terms[-1]}


def _columns(names: Sequence[str], of: str = "", order: str = "") -> str:
    return ", ".join(f"{of}.{name}{order}" if of else f"{name}{order}" for name in names)


def _same(names: Sequence[str], one: str, other: str) -> str:
    return " AND ".join(f"{one}.{name} = {other}.{name}" for name in names)
