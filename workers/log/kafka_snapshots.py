"""Copies of the deciders' caches in the object store, for those who have none of their own."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import structlog

from projections.objects import NoSuchObject, Objects, ObjectsError
from workers.log import kafka_cache
from workers.log.kafka_cache import CacheError

log = structlog.get_logger()

#: A snapshot is made each time so many more events are in the cache.
EVERY = 100_000
#: Seconds after which an object store that hands on nothing is given up.
PATIENCE = 10.0
CHUNK_BYTES = 1024 * 1024


class Snapshots:
    """One for each partition of a log, replaced as a whole."""

    def __init__(self, objects: Objects, identity: str) -> None:
        """`identity` is the log's."""
        self._objects = objects
        self._identity = identity
        # They use the disk and a core: one at a time in a process.
        self._turn = asyncio.Lock()

    async def keep(self, partition: int, cache: Path) -> None:
        """Copy a cache that others go on writing. Without the store there is no snapshot."""
        copy = Path(f"{cache}.copy")
        async with self._turn:
            try:
                await _copy(cache, copy)
                await self._objects.put(self._name(partition), _chunks(copy))
                log.info("snapshot_kept", partition=partition)
            except (CacheError, ObjectsError, OSError) as error:
                log.warning("snapshot_not_kept", partition=partition, error=str(error))
            finally:
                await asyncio.to_thread(copy.unlink, missing_ok=True)

    async def fetch(self, partition: int, cache: Path) -> bool:
        """Put the snapshot where a cache has to be, if there is one."""
        fetched = Path(f"{cache}.fetched")
        try:
            await asyncio.to_thread(cache.parent.mkdir, parents=True, exist_ok=True)
            async with asyncio.timeout(PATIENCE) as patience:
                chunks = await self._objects.get(self._name(partition))
                file = await asyncio.to_thread(fetched.open, "wb")
                with file:
                    async for chunk in chunks:
                        await asyncio.to_thread(file.write, chunk)
                        patience.reschedule(asyncio.get_running_loop().time() + PATIENCE)
            await asyncio.to_thread(fetched.replace, cache)
        except NoSuchObject:
            return False
        except (ObjectsError, OSError) as error:
            log.warning("snapshot_not_fetched", partition=partition, error=type(error).__name__)
            return False
        finally:
            await asyncio.to_thread(fetched.unlink, missing_ok=True)
        return True

    def _name(self, partition: int) -> str:
        return f"deciders/{self._identity}/{partition}.db"


async def _copy(cache: Path, copy: Path) -> None:
    db = kafka_cache.connect_for_copy(cache)
    copying = asyncio.ensure_future(asyncio.to_thread(kafka_cache.copy, db, copy))
    try:
        await asyncio.shield(copying)
    except asyncio.CancelledError:
        # The thread has the file open until it ends.
        db.interrupt()
        await asyncio.wait([copying])
        raise


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
