"""The read store: documents of the read models, found by declared indexes."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from projections.store.mongo import MongoStore
from projections.store.port import Collection, ReadStore
from projections.store.sqlite import SqliteStore


async def open_store(url: str, collections: Sequence[Collection[Any]]) -> ReadStore:
    """Open the store that a URL names: `sqlite:///relative/path`, `sqlite:////absolute/path` or
    `mongodb://host/database`.

    Raises:
        ValueError: no store has such a URL.
        StoreError: it cannot be opened, or its documents do not fit the collections.
    """
    scheme, _, rest = url.partition("://")
    if scheme in ("mongodb", "mongodb+srv"):
        return await MongoStore.open(url, collections)
    if scheme != "sqlite" or not rest.startswith("/") or rest == "/":
        # The URL itself stays out of the message: it may hold a password.
        raise ValueError(
            "a read store is named sqlite:///relative/path, sqlite:////absolute/path"
            " or mongodb://host/database"
        )
    return await asyncio.to_thread(_open_sqlite, rest[1:], collections)


def _open_sqlite(path: str, collections: Sequence[Collection[Any]]) -> ReadStore:
    file = Path(path).absolute()
    file.parent.mkdir(parents=True, exist_ok=True)
    return SqliteStore(str(file), collections)
