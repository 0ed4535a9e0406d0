"""Runs of documents along an index, as pipelines: all runs of a question in one."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bson import MaxKey, MinKey
from pymongo import ASCENDING, DESCENDING

from projections.store.mongo_schema import Fields, Table
from projections.store.mongo_values import sought
from projections.store.port import Scan

Stages = list[Fields]

#: Runs in one pipeline; the server takes a thousand stages.
MOST = 500


def numbered(table: Table[Any], scans: Sequence[Scan], *last: Fields) -> Iterator[Stages]:
    """Pipelines that answer each run with its documents, put through the last stages, and with its
    number as `run`."""
    wanted = [(n, scan) for n, scan in enumerate(scans) if scan.limit != 0]
    for start in range(0, len(wanted), MOST):
        first, *others = (
            [*stages(table, scan), *last, {"$set": {"run": {"$literal": n}}}]
            for n, scan in wanted[start : start + MOST]
        )
        yield first + [{"$unionWith": {"coll": table.name, "pipeline": other}} for other in others]


def stages(table: Table[Any], scan: Scan) -> Stages:
    """The documents of one run, in its order."""
    direction = DESCENDING if scan.newest else ASCENDING
    if scan.along is None:
        match, paths = _of_key(table, scan), ["_id"]
    else:
        match, paths = _of_index(table, scan, scan.along), table.order(scan.along)
    limit = [{"$limit": scan.limit}] if scan.limit is not None else []
    return [{"$match": match}, {"$sort": dict.fromkeys(paths, direction)}, *limit]


def _of_index(table: Table[Any], scan: Scan, along: str) -> Fields:
    index = table.collection.indexes[along]
    paths = [table.path(field) for field in index.fields]
    conditions = [table.condition(index.where)] if index.where is not None else []
    conditions += [{path: sought(value)} for path, value in zip(paths, scan.equal, strict=False)]
    if bounds := _bounds(scan.above, scan.below):
        conditions.append({paths[len(scan.equal)]: bounds})
    return {"$and": conditions} if conditions else {}


def _of_key(table: Table[Any], scan: Scan) -> Fields:
    if len(table.key) == 1:
        if scan.equal:
            return {"_id": sought(scan.equal[0])}
        bounds = _bounds(scan.above, scan.below)
        return {"_id": bounds} if bounds else {}
    equal = [sought(value) for value in scan.equal]
    if len(equal) == len(table.key):
        return {"_id": table.id_of(equal)}
    rest = len(table.key) - len(equal) - 1
    if scan.above is None and scan.below is None and not equal:
        return {}
    # Objects are compared field by field, and one that ends before another comes before it.
    low = MinKey() if scan.above is None else sought(scan.above)
    high = MaxKey() if scan.below is None else sought(scan.below)
    above = [*equal, low, *[MaxKey()] * rest]
    return {"_id": {"$gt": _part(table, above), "$lt": _part(table, [*equal, high])}}


def _part(table: Table[Any], values: Iterable[Any]) -> Fields:
    return dict(zip(table.key, values, strict=False))


def _bounds(above: object, below: object) -> Fields:
    bounds = {}
    if above is not None:
        bounds["$gt"] = sought(above)
    if below is not None:
        bounds["$lt"] = sought(below)
    return bounds
