"""Search in MongoDB: the terms of a document are an array in it, under one index.

That index, of scope, term, time and key, is walked newest first where scope and term are given. The
server merges the walks of several, as long as they are not too many, and so stops at the limit.
"""

import asyncio
from collections.abc import Sequence
from math import prod
from typing import Generic

from pymongo import DESCENDING
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection

from projections.store.mongo_schema import EVERY, TERMS_INDEX, Fields, Table
from projections.store.mongo_values import sought
from projections.store.port import D, Match, Value
from projections.store.text_order import end_of

#: The server merges so many walks (its internalQueryMaxScansToExplode); of more it reads all the
#: documents and sorts them.
MERGED = 200
#: So many questions are asked at once for one answer, each of a part of the scopes.
PARTS = 8

#: In so many of the scopes, and so far, it is counted how common the terms are.
SAMPLE = 10
COUNTED = 10_000

#: Documents read at once in search of terms not yet known.
STEP = 500

#: Milliseconds of work after which the server breaks a question off.
MOST_WORK_MS = 3_000

Sets = Sequence[Sequence[str | int]]


class Terms(Generic[D]):
    """Questions to one collection with terms."""

    def __init__(self, table: Table[D], collection: AsyncCollection[Fields]) -> None:
        declared = table.collection.terms
        if declared is None:
            raise ValueError(f"{table.name} has no terms")
        self._table = table
        self._collection = collection
        self._terms = declared.field
        self._place = table.collection.place_of
        self._time, self._scope, *self._rest = map(table.path, table.collection.place)

    async def match(self, match: Match) -> list[D]:
        scopes = sorted(set(match.scopes))
        sets: Sets = [sorted(set(terms)) for terms in match.sets]
        if not scopes or not all(sets) or match.limit == 0:
            return []
        driver = await self._cheapest(scopes, sets, match.limit)
        checks = [terms for terms in sets if terms is not driver]
        size = len(scopes)
        if self._walks(scopes, driver):
            size = max(1, MERGED // len(driver))
        parts = [scopes[start : start + size] for start in range(0, len(scopes), size)]
        found = await asyncio.gather(*(self._part(part, driver, checks, match) for part in parts))
        documents = [document for part in found for document in part]
        documents.sort(key=self._place, reverse=True)
        return documents[: match.limit]

    async def expand(
        self, scopes: Sequence[str], prefix: str, limit: int, session: AsyncClientSession
    ) -> list[str]:
        """Reads documents with terms not yet known until there are none: a common term costs no
        more than a rare one."""
        end = end_of(prefix)
        known: list[str] = []
        while limit:
            wanted: Fields = {"$gte": prefix, "$nin": known}
            if end is not None:
                wanted["$lt"] = end
            found = await self._collection.find(
                {self._scope: {"$in": sorted(set(scopes))}, self._terms: {"$elemMatch": wanted}},
                {"_id": False, self._terms: True},
                hint=TERMS_INDEX,
                limit=STEP,
                max_time_ms=MOST_WORK_MS,
                session=session,
            ).to_list()
            terms = {term for row in found for term in row[self._terms] if term != EVERY}
            fresh = {t for t in terms if t.startswith(prefix) and (end is None or t < end)}
            known = sorted(fresh | set(known))[:limit]
            if len(found) < STEP:
                break
            if len(known) == limit:
                end = known[-1]
        return known

    async def _part(
        self, scopes: Sequence[str], driver: Sequence[str | int], checks: Sets, match: Match
    ) -> list[D]:
        """The matches in some of the scopes, not yet in their order where times are equal."""
        wanted = self._filter(scopes, driver, checks, match)
        # Within a scope and term the index has no order by scope.
        found = await self._find(wanted, (self._time, *self._rest), match.limit + 1)
        if len(found) <= match.limit:
            return found
        *_, last, beyond = (self._place(document)[0] for document in found)
        if last != beyond or len(scopes) == 1:
            return found
        wanted["$and"].append({self._time: last})
        tied = await self._find(wanted, (self._scope, *self._rest), match.limit)
        return [d for d in found if self._place(d)[0] > last] + tied

    async def _find(self, wanted: Fields, order: Sequence[str], limit: int) -> list[D]:
        found = await self._collection.find(
            wanted,
            {"_id": False, "doc": True},
            sort=[(path, DESCENDING) for path in order],
            hint=TERMS_INDEX,
            limit=limit,
            batch_size=limit,
            max_time_ms=MOST_WORK_MS,
        ).to_list()
        return self._table.documents(found)

    def _filter(
        self, scopes: Sequence[str], driver: Sequence[str | int], checks: Sets, match: Match
    ) -> Fields:
        times: list[Fields] = []
        if match.since is not None:
            times.append({self._time: {"$gte": match.since}})
        if match.until is not None:
            times.append({self._time: {"$lt": match.until}})
        # What stands under $nor never leads into the index, so that the driver alone does.
        none_of: list[Fields] = [{self._terms: {"$nin": terms}} for terms in checks]
        if match.after is not None:
            times.append({self._time: {"$lte": match.after[0]}})
            none_of += self._at_or_before(match.after)
        wanted: Fields = {
            self._scope: {"$in": scopes},
            self._terms: {"$in": driver},
            "$and": times or [{}],
        }
        return wanted | ({"$nor": none_of} if none_of else {})

    def _at_or_before(self, after: Sequence[Value]) -> list[Fields]:
        """Of the documents not newer than this place, those that stood on the pages up to it."""
        paths = (self._time, self._scope, *self._rest)
        place = [sought(value) for value in after]
        return [
            {
                **dict(zip(paths[:n], place[:n], strict=True)),
                paths[n]: {"$gt" if n < len(paths) - 1 else "$gte": place[n]},
            }
            for n in range(1, len(paths))
        ]

    @staticmethod
    def _walks(scopes: Sequence[str], terms: Sequence[str | int]) -> bool:
        return len(terms) <= MERGED and len(scopes) * len(terms) <= MERGED * PARTS

    async def _cheapest(self, scopes: Sequence[str], sets: Sets, limit: int) -> Sequence[str | int]:
        """The set to walk along: the one that leads to the last document by the fewest steps.

        How common the sets are is counted in some of the scopes, and taken as independent.
        """
        if not sets:
            return [EVERY]
        if len(sets) == 1 and self._walks(scopes, sets[0]):
            return sets[0]
        drivers: Sets = [*sets, [EVERY]]
        sample = scopes[:: len(scopes) // SAMPLE + 1]
        scale = len(scopes) / len(sample)
        counts = await asyncio.gather(*(self._count(sample, terms) for terms in drivers))
        *sizes, every = (scale * max(1, count) for count in counts)
        shares = [min(1.0, size / every) for size in sizes]
        costs = []
        for n, (terms, size) in enumerate(zip(drivers, (*sizes, every), strict=True)):
            steps = size
            if self._walks(scopes, terms):
                # In each scope the walk goes as far as the first match, then to those asked for.
                others = prod(share for other, share in enumerate(shares) if other != n)
                steps = min(size, (len(scopes) + limit) / others)
            costs.append(len(scopes) * len(terms) + steps)
        return drivers[costs.index(min(costs))]

    async def _count(self, scopes: Sequence[str], terms: Sequence[str | int]) -> int:
        wanted = {self._scope: {"$in": scopes}, self._terms: {"$in": terms}}
        return await self._collection.count_documents(
            wanted, hint=TERMS_INDEX, limit=COUNTED, maxTimeMS=MOST_WORK_MS
        )
