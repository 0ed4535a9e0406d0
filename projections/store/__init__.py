"""The read store: documents of the read models, found by declared indexes."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from projections.store.port import Collection, ReadStore
from projections.store.sqlite import SqliteStore


async def open_store(url: str, collections: Sequence[Collection[Any]]) -> ReadStore:
    """Open the store that a URL names: `sqlite:///relative/path` or `sqlite:////absolute/path`.

    Raises:
        ValueError: no store has such a URL.
        StoreError: it cannot be opened, or its documents do not fit the collections.
    """
    scheme, _, path = url.partition(":///")
    if scheme != "sqlite" or not path:
        # The URL itself stays out of the message: it may hold a password.
        raise ValueError(
            "a read store is named sqlite:///relative/path or sqlite:////absolute/path"
        )
    return await asyncio.to_thread(_open_sqlite, path, collections)


def _open_sqlite(path: str, collections: Sequence[Collection[Any]]) -> ReadStore:
    file = Path(path).absolute()
    file.parent.mkdir(parents=True, exist_ok=True)
    return SqliteStore(str(file), collections)
