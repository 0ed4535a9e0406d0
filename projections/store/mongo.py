"""The read store in a MongoDB database, for any number of processes.

A batch is not one transaction. Its collections are written in their order, each write repeatable,
the checkpoint only when all documents are where no change of the primary can take them back. What
readers are shown has come as far.

Only the last write of a batch waits for the majority: what a primary has written before it, the
majority then has too. That holds for one primary, so a batch that has met two is written again.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Self

import msgspec
import pymongo
from pymongo import AsyncMongoClient, ReturnDocument, UpdateOne, WriteConcern
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import BulkWriteError, ExecutionTimeout, PyMongoError
from pymongo.monitoring import CommandListener
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference

from projections.cancellation import BrokenOff, own_cancellation
from projections.store.mongo_elections import Elections
from projections.store.mongo_runs import numbered
from projections.store.mongo_schema import Fields, Table, declare
from projections.store.mongo_terms import Terms
from projections.store.mongo_values import sought, stored
from projections.store.port import (
    Batch,
    Begun,
    Collection,
    D,
    Key,
    Match,
    Scan,
    StoreError,
    TooCostly,
)

#: Seconds after which a question or a write is given up.
TIMEOUT = 10.0

#: So many documents come in one answer of the server, if its size allows.
PAGE = 100_000

_DUPLICATE_KEY = 11000

_MAJORITY = WriteConcern("majority", j=True)
_PRIMARY = WriteConcern(1)


class MongoStore:
    """A `ReadStore` in a database of a replica set."""

    def __init__(self, url: str, collections: Sequence[Collection[Any]]) -> None:
        """Raises ValueError when the URL names no database."""
        self._elections = Elections()
        self._client = _client_of(url, self._elections)
        self._database = self._client.get_default_database(
            read_preference=ReadPreference.PRIMARY,
            read_concern=ReadConcern("majority"),
            write_concern=_MAJORITY,
        )
        self._tables = {collection.name: Table(collection) for collection in collections}
        #: Whether the documents last written to a collection were mostly new to it.
        self._mostly_new = dict.fromkeys(self._tables, True)
        self._closed = False
        self._begun = 0
        self._idle = asyncio.Event()

    @classmethod
    async def open(cls, url: str, collections: Sequence[Collection[Any]]) -> Self:
        """Raises StoreError when the server is not there, ValueError when the URL is wrong."""
        store = cls(url, collections)
        try:
            # Making an index takes as long as it takes.
            async with store._work(seconds=None):
                await declare(store._database, tuple(store._tables.values()))
        except BaseException:
            await store.close()
            raise
        return store

    async def get(self, collection: Collection[D], keys: Iterable[Key]) -> dict[Key, D]:
        table: Table[D] = self._tables[collection.name]
        ids = [table.id_of(map(sought, key)) for key in dict.fromkeys(keys)]
        async with self._work():
            rows = await (
                self._database[table.name]
                .find({"_id": {"$in": ids}}, {"_id": False, "doc": True}, batch_size=PAGE)
                .to_list()
            )
            return {collection.key_of(document): document for document in table.documents(rows)}

    async def scan(self, collection: Collection[D], scans: Sequence[Scan]) -> list[list[D]]:
        table: Table[D] = self._tables[collection.name]
        runs: list[list[Fields]] = [[] for _ in scans]
        async with self._work():
            for row in await self._answer(table, scans, {"$project": {"_id": False, "doc": True}}):
                runs[row["run"]].append(row)
            return [table.documents(run) for run in runs]

    async def count(self, collection: Collection[Any], scans: Sequence[Scan]) -> list[int]:
        counts = [0] * len(scans)
        async with self._work():
            for row in await self._answer(
                self._tables[collection.name], scans, {"$count": "count"}
            ):
                counts[row["run"]] = row["count"]
        return counts

    async def match(self, collection: Collection[D], match: Match) -> list[D]:
        async with self._search():
            return await self._terms(collection).match(match)

    async def expand(
        self, collection: Collection[Any], scopes: Sequence[str], prefix: str, limit: int
    ) -> Begun:
        async with self._search(), self._one_state() as session:
            terms = await self._terms(collection).expand(scopes, prefix, limit, session)
        return Begun(tuple(terms))

    async def write(self, batch: Batch) -> None:
        parts = []
        for collection, documents in batch.documents:
            table = self._tables[collection.name]
            if documents:
                parts.append((table, [table.row(document) for document in documents]))
        raised = [
            UpdateOne({"_id": partition}, {"$max": {"position": stored(at)}}, upsert=True)
            for partition, at in batch.checkpoints.items()
        ]
        async with self._work():
            elections = self._elections.seen
            for number, (table, rows) in enumerate(parts, 1):
                await self._put(table, rows, _MAJORITY if number == len(parts) else _PRIMARY)
            if elections != self._elections.seen:
                raise StoreError("the primary has changed in the middle of a batch")
            if raised:
                await self._database["_checkpoints"].bulk_write(raised)

    async def checkpoints(self) -> dict[str, int]:
        async with self._work():
            rows = await self._database["_checkpoints"].find().to_list()
        return {row["_id"]: row["position"] for row in rows}

    async def bind(self, log_id: str) -> None:
        async with self._work():
            row: Any = await self._database["_meta"].find_one_and_update(
                {"_id": "log"},
                {"$setOnInsert": {"value": log_id}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        assert row is not None
        if row["value"] != log_id:
            raise StoreError(f"the read store belongs to the log {row['value']}, not to {log_id}")

    async def close(self) -> None:
        """Finish what was begun, then close the connections."""
        self._closed = True
        while self._begun:
            self._idle.clear()
            await self._idle.wait()
        await self._client.close()

    async def _put(self, table: Table[Any], rows: list[Fields], concern: WriteConcern) -> None:
        """Write each row unless the stored one has seen as much.

        Inserting is by far the fastest, and fails for what is already there.
        """
        collection = self._database.get_collection(table.name, write_concern=concern)
        if not self._mostly_new[table.name]:
            result = await collection.bulk_write([_newer(row, upsert=True) for row in rows], False)
            self._mostly_new[table.name] = 2 * result.upserted_count > len(rows)
            return
        known: list[Fields] = []
        try:
            await collection.insert_many(rows, ordered=False)
        except BulkWriteError as error:
            errors = error.details["writeErrors"]
            if error.details["writeConcernErrors"] or any(
                one["code"] != _DUPLICATE_KEY for one in errors
            ):
                raise
            known = [rows[one["index"]] for one in errors]
            await collection.bulk_write([_newer(row, upsert=False) for row in known], False)
        self._mostly_new[table.name] = 2 * len(known) <= len(rows)

    async def _answer(
        self, table: Table[Any], scans: Sequence[Scan], *last: Fields
    ) -> list[Fields]:
        rows: list[Fields] = []
        async with self._one_state() as session:
            for pipeline in numbered(table, scans, *last):
                cursor = await self._database[table.name].aggregate(
                    pipeline, session=session, batchSize=PAGE
                )
                rows += await cursor.to_list()
        return rows

    @contextlib.asynccontextmanager
    async def _one_state(self) -> AsyncIterator[AsyncClientSession]:
        """All questions in this session are answered from the newest state that a majority has."""
        async with self._client.start_session(snapshot=True) as session:
            yield session

    def _terms(self, collection: Collection[D]) -> Terms[D]:
        table = self._tables[collection.name]
        return Terms(table, self._database[table.name])

    @contextlib.asynccontextmanager
    async def _search(self) -> AsyncIterator[None]:
        """Work whose questions say themselves how long the server may take for them."""
        try:
            async with asyncio.timeout(TIMEOUT), self._work(seconds=None):
                yield
        except TimeoutError:
            raise StoreError("the read store does not answer") from None
        except StoreError as error:
            if isinstance(error.__cause__, ExecutionTimeout):
                raise TooCostly("a search went through too much") from None
            raise

    @contextlib.asynccontextmanager
    async def _work(self, *, seconds: float | None = TIMEOUT) -> AsyncIterator[None]:
        if self._closed:
            raise StoreError("the read store is closed")
        self._begun += 1
        try:
            with own_cancellation(), pymongo.timeout(seconds):
                yield
        except BulkWriteError as error:
            # Its own text quotes the documents.
            [first, *_] = error.details["writeErrors"] or error.details["writeConcernErrors"]
            raise StoreError(f"a write failed: {first['errmsg']}") from None
        except (PyMongoError, BrokenOff) as error:
            raise StoreError(f"the read store: {error}") from error
        except msgspec.DecodeError as error:
            raise StoreError(f"a stored document has another form: {error}") from error
        finally:
            self._begun -= 1
            if not self._begun:
                self._idle.set()


def _client_of(url: str, *listeners: CommandListener) -> AsyncMongoClient[Fields]:
    try:
        client: AsyncMongoClient[Fields] = AsyncMongoClient(
            url, serverSelectionTimeoutMS=int(TIMEOUT * 1000), event_listeners=listeners
        )
        client.get_default_database()
    except (PyMongoError, ValueError):
        # Its text quotes the URL, which may hold a password.
        raise ValueError("a read store is named mongodb://host/database") from None
    return client


def _newer(row: Fields, *, upsert: bool) -> UpdateOne:
    """Put the row in the place of one that has seen less, or of none.

    Looked for by `_id` alone and decided by the server in the update: asking for an older `seq`
    beside the `_id` takes another way into the index, and half as long again.
    """
    newer = {"$cond": [{"$lt": ["$seq", row["seq"]]}, {"$literal": row}, "$$ROOT"]}
    return UpdateOne({"_id": row["_id"]}, [{"$replaceWith": newer}], upsert=upsert)
