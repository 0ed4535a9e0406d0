"""Objects by obstore, the bindings of Apache's `object_store`: a folder, or a bucket of S3."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from pathlib import Path

from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from domain.instants import from_datetime
from projections.objects.port import NoSuchObject, ObjectsError, Stored

CHUNK_BYTES = 1024 * 1024
#: A part of a multipart upload; S3 takes none below this but the last.
PART_BYTES = 5 * 1024 * 1024
PARTS_UNDER_WAY = 1
LISTED_AT_ONCE = 1000


class ObstoreObjects:
    def __init__(self, store: LocalStore | S3Store, folder: Path | None = None) -> None:
        """`folder` is where a local store keeps its files."""
        self._store = store
        self._folder = folder

    async def put(self, name: str, content: AsyncIterable[bytes]) -> None:
        source = _Source(content)
        first = await source.part()
        whole = len(first) < PART_BYTES
        try:
            with _translated(name):
                await self._store.put_async(
                    name,
                    first if whole else source.parts(first),
                    use_multipart=not whole,
                    chunk_size=PART_BYTES,
                    max_concurrency=PARTS_UNDER_WAY,
                )
                if self._folder is not None:
                    await asyncio.to_thread(_flush, self._folder, name)
        except Exception:
            # What the bindings tell of a source that failed is not how it failed.
            if source.failure is not None:
                raise source.failure from None
            raise

    async def get(self, name: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        with _translated(name):
            meta = await self._store.head_async(name)
        end = meta["size"] if end is None else min(end, meta["size"])
        return self._chunks(name, meta["e_tag"], start, end)

    async def _chunks(
        self, name: str, e_tag: str | None, start: int, end: int
    ) -> AsyncIterator[bytes]:
        # A request a chunk: a slow reader holds no connection that would time out.
        for at in range(start, end, CHUNK_BYTES):
            with _translated(name):
                result = await self._store.get_async(
                    name,
                    options={"range": (at, min(at + CHUNK_BYTES, end)), "if_match": e_tag},
                )
                chunk = bytes(await result.bytes_async())
            yield chunk

    async def head(self, name: str) -> Stored:
        with _translated(name):
            meta = await self._store.head_async(name)
        return Stored(name, meta["size"], from_datetime(meta["last_modified"]))

    async def delete(self, names: Iterable[str]) -> None:
        for name in names:
            with contextlib.suppress(NoSuchObject), _translated(name):
                await self._store.delete_async(name)

    async def list(self, prefix: str = "") -> AsyncIterator[Stored]:
        with _translated(prefix):
            async for batch in self._store.list(prefix or None, chunk_size=LISTED_AT_ONCE):
                for meta in batch:
                    yield Stored(meta["path"], meta["size"], from_datetime(meta["last_modified"]))


class _Source:
    """Content in parts of `PART_BYTES`, the last one shorter, and how it failed if it did."""

    def __init__(self, content: AsyncIterable[bytes]) -> None:
        self._chunks = aiter(content)
        self._rest = bytearray()
        self.failure: Exception | None = None

    async def part(self) -> bytes:
        while len(self._rest) < PART_BYTES:
            chunk = await anext(self._chunks, None)
            if chunk is None:
                break
            self._rest += chunk
        part = bytes(self._rest[:PART_BYTES])
        del self._rest[:PART_BYTES]
        return part

    async def parts(self, first: bytes) -> AsyncIterator[bytes]:
        try:
            part = first
            while part:
                yield part
                part = await self.part()
        except Exception as error:
            self.failure = error
            raise


@contextlib.contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NoSuchObject(name) from error
    except (BaseError, OSError, ValueError) as error:
        # The class alone: a text may quote URLs and answers of the server.
        raise ObjectsError(f"object {name}: {type(error).__name__}") from error


def _flush(folder: Path, name: str) -> None:
    """Have the file and the entries that lead to it outlast a loss of power."""
    file = folder / name
    places = [file, *(parent for parent in file.parents if parent.is_relative_to(folder))]
    for place in places:
        handle = os.open(place, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
