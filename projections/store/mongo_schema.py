"""How a declared collection is kept in MongoDB: the form of its documents, and its indexes.

`_id` is the key: the value itself of one field, an object of several, whose order in an index is
that of its values one after the other. Beside it stand the fields by which documents are found;
`doc` is the whole document as JSON text, since only that holds every document: the keys of an
object may be any text, its integers of any size.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from types import GenericAlias
from typing import Any, Generic

import msgspec
from pymongo import ASCENDING, IndexModel, ReplaceOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from projections.store.mongo_values import stored
from projections.store.port import Collection, D, Document, StoreError

Fields = dict[str, Any]
Database = AsyncDatabase[Fields]

#: The term of every document. Being a number, it equals no text.
EVERY = 0
TERMS_INDEX = "terms"

# Names the form of documents and indexes in the declarations a database keeps. Raise it when that
# form changes: every collection is then rewritten on opening.
LAYOUT = 1
REWRITE_STEP = 1_000

_DECLARATIONS = "_collections"
_OTHER_INDEX_OF_THIS_NAME = (85, 86)


class Table(Generic[D]):
    """One collection."""

    def __init__(self, collection: Collection[D]) -> None:
        self.collection = collection
        self.name = collection.name
        self.key = collection.key
        indexes = collection.indexes.values()
        found_by = (
            *(field for index in indexes for field in index.fields),
            *(index.where for index in indexes if index.where is not None),
            *((collection.terms.scope, collection.terms.time) if collection.terms else ()),
            "seq",
        )
        self._beside = tuple(field for field in dict.fromkeys(found_by) if field not in self.key)
        types = {field.name: field.type for field in msgspec.structs.fields(collection.document)}
        self._flags = {field for field, type_ in types.items() if type_ is bool}
        self._decoder: msgspec.json.Decoder[list[D]] = msgspec.json.Decoder(
            GenericAlias(list, (collection.document,))
        )

    @property
    def declaration(self) -> str:
        collection = self.collection
        indexes = sorted(collection.indexes.values())
        return msgspec.json.encode([LAYOUT, self.key, indexes, collection.terms]).decode()

    def id_of(self, key: Iterable[Any]) -> Any:
        """The `_id` of a document with this key."""
        values = dict(zip(self.key, key, strict=True))
        return values if len(values) > 1 else values[self.key[0]]

    def path(self, field: str) -> str:
        """Where a field stands that documents are found by."""
        if field not in self.key:
            return field
        return "_id" if len(self.key) == 1 else f"_id.{field}"

    def order(self, index: str) -> list[str]:
        """The paths that order an index: its own, then the key's, so that no two are equal."""
        fields = self.collection.indexes[index].fields
        return [self.path(field) for field in dict.fromkeys((*fields, *self.key))]

    def condition(self, where: str) -> Fields:
        """That a field is set. A query must repeat it to be answered from a partial index."""
        return {self.path(where): True if where in self._flags else {"$exists": True}}

    def row(self, document: Document) -> Fields:
        """Raises ValueError when the document holds what cannot be kept."""
        text = msgspec.json.encode(document).decode()
        row: Fields = {"_id": self.id_of(stored(getattr(document, field)) for field in self.key)}
        for field in self._beside:
            value = stored(getattr(document, field))
            if value is not None:
                row[field] = value
        declared = self.collection.terms
        if declared and None not in (
            getattr(document, declared.scope),
            getattr(document, declared.time),
        ):
            row[declared.field] = [EVERY, *getattr(document, declared.field)]
        row["doc"] = text
        return row

    def documents(self, rows: Sequence[Mapping[str, Any]]) -> list[D]:
        return self._decoder.decode(f"[{','.join([row['doc'] for row in rows])}]")

    def indexes(self) -> list[IndexModel]:
        models = []
        for index in self.collection.indexes.values():
            paths = [(path, ASCENDING) for path in self.order(index.name)]
            where = {"partialFilterExpression": self.condition(index.where)} if index.where else {}
            models.append(IndexModel(paths, name=index.name, **where))
        if declared := self.collection.terms:
            fields = dict.fromkeys((declared.scope, declared.field, declared.time, *self.key))
            paths = [(self.path(field), ASCENDING) for field in fields]
            models.append(IndexModel(paths, name=TERMS_INDEX))
        return models


async def declare(database: Database, tables: Sequence[Table[Any]]) -> None:
    """Make the database hold these collections with their indexes.

    Documents of a collection whose declaration has changed are rewritten. Collections and indexes
    that nobody declares stay as they are: an earlier release may come back for them.
    """
    declarations = database[_DECLARATIONS]
    known = {row["_id"]: row["declaration"] for row in await declarations.find().to_list()}
    changed = [table for table in tables if known.get(table.name) != table.declaration]
    await asyncio.gather(
        *(_declare(database[table.name], table, rewrite=table.name in known) for table in changed)
    )
    if changed:
        await declarations.bulk_write(
            [
                ReplaceOne({"_id": table.name}, {"declaration": table.declaration}, upsert=True)
                for table in changed
            ]
        )


async def _declare(
    collection: AsyncCollection[Fields], table: Table[Any], *, rewrite: bool
) -> None:
    models = table.indexes()
    try:
        if models:
            await collection.create_indexes(models)
    except OperationFailure as error:
        if error.code not in _OTHER_INDEX_OF_THIS_NAME:
            raise
        for name in await collection.index_information():
            if name in {model.document["name"] for model in models}:
                await collection.drop_index(name)
        await collection.create_indexes(models)
    if rewrite:
        await _rewrite(collection, table)


async def _rewrite(collection: AsyncCollection[Fields], table: Table[Any]) -> None:
    cursor = collection.find(projection={"doc": True}, batch_size=REWRITE_STEP)
    while step := await cursor.to_list(REWRITE_STEP):
        try:
            rows = [table.row(document) for document in table.documents(step)]
        except msgspec.ValidationError as error:
            raise StoreError(f"{_of_another_form(table)} ({error})") from error
        if any(row["_id"] != old["_id"] for row, old in zip(rows, step, strict=True)):
            raise StoreError(f"{_of_another_form(table)} (their key is another)")
        # One that has been replaced meanwhile is left alone.
        await collection.bulk_write(
            [ReplaceOne({"_id": row["_id"], "seq": row["seq"]}, row) for row in rows]
        )


def _of_another_form(table: Table[Any]) -> str:
    return (
        f"the stored documents of {table.name} do not have the declared form;"
        " drop the read store and let the projections fill it again"
    )
