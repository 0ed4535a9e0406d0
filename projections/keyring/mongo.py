"""The keyring in a MongoDB database, for any number of processes."""

import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Self

import pymongo
from pymongo import AsyncMongoClient, UpdateOne, WriteConcern
from pymongo.errors import BulkWriteError, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference

from projections.cancellation import BrokenOff, own_cancellation
from projections.keyring.port import KeyringError
from projections.keyring.wrapping import MasterKey, WrongMasterKey

#: Seconds after which a question or a write is given up.
TIMEOUT = 10.0

# The master key wraps a key that is used for nothing, under an id that no key has.
_CHECK_ID = ""


class MongoKeyring:
    """Keys by id; a destroyed one leaves its id with null.

    A write returns when a majority has it in its journals, also one that found what it wanted
    already there. Questions see what a majority has, so a key that was given out is never lost.
    """

    def __init__(self, client: AsyncMongoClient[dict[str, Any]], master_key: MasterKey) -> None:
        self._client = client
        self._master_key = master_key
        database = client.get_default_database(
            read_preference=ReadPreference.PRIMARY,
            read_concern=ReadConcern("majority"),
            write_concern=WriteConcern("majority", j=True),
        )
        self._keys = database["keys"]
        self._master = database["master"]

    @classmethod
    async def open(cls, url: str, master_key: MasterKey) -> Self:
        """The keyring in this database.

        Raises:
            ValueError: the URL names no database.
            WrongMasterKey: the keyring was made with another one.
            KeyringError: it can't be reached.
        """
        try:
            client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
                url, serverSelectionTimeoutMS=int(TIMEOUT * 1000)
            )
            keyring = cls(client, master_key)
        except (PyMongoError, ValueError):
            # Its text quotes the URL, which may hold a password.
            raise ValueError("a keyring is at mongodb://{host}/{database}") from None
        try:
            await keyring._check_master_key()
        except BaseException:
            await keyring.close()
            raise
        return keyring

    async def ensure(self, ids: Sequence[str]) -> dict[str, bytes]:
        async with _errors():
            rows = await self._read(ids)
            if missing := set(ids) - rows.keys():
                made = {key_id: self._master_key.new_key(key_id) for key_id in missing}
                await self._keys.bulk_write(
                    [
                        UpdateOne({"_id": key_id}, {"$setOnInsert": {"wrapped": key}}, upsert=True)
                        for key_id, key in made.items()
                    ],
                    ordered=False,
                )
                # Another process may have been faster: what is stored counts.
                rows |= await self._read(missing)
        return self._unwrapped(rows)

    async def get(self, ids: Sequence[str]) -> dict[str, bytes]:
        async with _errors():
            rows = await self._read(ids)
        return self._unwrapped(rows)

    async def destroy(self, ids: Sequence[str]) -> None:
        destroyed = [
            UpdateOne({"_id": key_id}, {"$set": {"wrapped": None}}, upsert=True)
            for key_id in dict.fromkeys(ids)
        ]
        if destroyed:
            async with _errors():
                await self._keys.bulk_write(destroyed, ordered=False)

    async def close(self) -> None:
        await self._client.close()

    async def _check_master_key(self) -> None:
        async with _errors():
            made = {"$setOnInsert": {"wrapped": self._master_key.new_key(_CHECK_ID)}}
            await self._master.update_one({"_id": "master"}, made, upsert=True)
            row = await self._master.find_one({"_id": "master"})
        if row is None:
            raise KeyringError("the keyring's master key is not to be read")
        try:
            self._master_key.unwrap(_CHECK_ID, row["wrapped"])
        except KeyringError as error:
            raise WrongMasterKey("the keyring was made with another master key") from error

    async def _read(self, ids: Iterable[str]) -> dict[str, str | None]:
        rows = await self._keys.find({"_id": {"$in": list(ids)}}).to_list()
        return {row["_id"]: row["wrapped"] for row in rows}

    def _unwrapped(self, rows: dict[str, str | None]) -> dict[str, bytes]:
        unwrap = self._master_key.unwrap
        return {key_id: unwrap(key_id, wrapped) for key_id, wrapped in rows.items() if wrapped}


@contextlib.asynccontextmanager
async def _errors() -> AsyncIterator[None]:
    try:
        with own_cancellation(), pymongo.timeout(TIMEOUT):
            yield
    except BulkWriteError as error:
        # Its own text quotes the keys.
        [first, *_] = error.details["writeErrors"] or error.details["writeConcernErrors"]
        raise KeyringError(f"the keyring: {first['errmsg']}") from None
    except (PyMongoError, BrokenOff) as error:
        raise KeyringError(f"the keyring: {error}") from error
