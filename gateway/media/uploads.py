"""From an uploaded file to stored bytes and the action that records them."""

import asyncio
import contextlib
import hashlib
import io
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO, BinaryIO, NamedTuple, TypeVar

from domain import commands as c
from domain import instants
from gateway.lookups import Remembered
from gateway.media import images, lengths, types
from gateway.problems import Problem
from projections.media import MediaObject, owned_objects
from projections.objects import NoSuchObject, Objects

#: Images are decoded by so many threads; a decoded image may take 200 MB.
THREADS = 2
#: So many are handed to the store at once: each takes some megabytes of memory then.
STORES = 4
MAX_WAITING = 64
CHUNK_BYTES = 256 * 1024
#: An upload that was broken off before its event may be taken up again within this time, in
#: seconds. It ends long before the sweeper may take its object.
TAKE_UP_SECONDS = 60 * 60
#: How long it is remembered what is stored of a user.
KEEP_STORED_SECONDS = 5.0

T = TypeVar("T")


class Prepared(NamedTuple):
    """A file as it will be stored; `size` in bytes, `duration` in seconds."""

    content: IO[bytes]
    mime: str
    size: int
    sha256: str
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    thumbnail: bytes | None = None


class Uploads:
    def __init__(self, objects: Objects, quota: int, clock: Callable[[], str]) -> None:
        """`quota` is what the objects of one user may take, in bytes."""
        self._objects = objects
        self._quota = quota
        self._clock = clock
        self._pool = ThreadPoolExecutor(THREADS, "media")
        self._storing = asyncio.Semaphore(STORES)
        self._waiting = 0
        # Listing ten thousand objects takes a second.
        self._known: Remembered[str, int] = Remembered(time.monotonic, KEEP_STORED_SECONDS)

    async def digest(self, file: BinaryIO) -> str:
        """The SHA-256 of what was uploaded, in hex."""
        return await self._in_pool(lambda: _sha256(file))

    async def keep(self, owner: str, media: str, name: str, file: BinaryIO) -> c.UploadMedia:
        """Store a file as the owner's media item, and say what there is to record of it.

        Raises:
            Problem: `unsupported_media_type`, `invalid_request`, `quota_exceeded`, `unavailable`,
                or `idempotency_key_reused` for an upload broken off too long ago.
            ObjectsError: it can't be stored now.
        """
        prepared = await self._in_pool(lambda: prepare(file))
        with contextlib.closing(prepared.content), self._place():
            await self._store(MediaObject(owner, media, prepared.sha256), prepared)
        return c.UploadMedia(
            media=media,
            name=name,
            mime=prepared.mime,
            size=prepared.size,
            sha256=prepared.sha256,
            width=prepared.width,
            height=prepared.height,
            duration=prepared.duration,
            thumbnail=f"/v1/media/{media}/thumbnail" if prepared.thumbnail else None,
        )

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    async def _store(self, place: MediaObject, prepared: Prepared) -> None:
        if await self._is_there(place):
            return
        needed = prepared.size + len(prepared.thumbnail or b"")
        used = await self._used(place.owner) + needed
        if used > self._quota:
            raise Problem("quota_exceeded", f"You may store {self._quota} bytes.")
        # Before the bytes are there, so that the next of many at once counts them.
        self._known.keep(place.owner, used)
        async with self._storing:
            if prepared.thumbnail is not None:
                small = io.BytesIO(prepared.thumbnail)
                await self._objects.put(place.thumbnail.name, _chunks(small))
            await self._objects.put(place.name, _chunks(prepared.content))

    async def _is_there(self, place: MediaObject) -> bool:
        """Whether an earlier request under the same key has stored the same bytes."""
        try:
            stored = await self._objects.head(place.name)
        except NoSuchObject:
            return False
        # The sweeper could be about to take what has been waiting for its event for long.
        if stored.modified < instants.later(self._clock(), -TAKE_UP_SECONDS):
            detail = "An upload under this key was broken off too long ago. Use a new key."
            raise Problem("idempotency_key_reused", detail)
        return True

    async def _used(self, owner: str) -> int:
        known = self._known.get(owner)
        if known is not None:
            return known
        return sum([stored.size async for stored in self._objects.list(owned_objects(owner))])

    async def _in_pool(self, work: Callable[[], T]) -> T:
        with self._place():
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        if self._waiting >= MAX_WAITING:
            detail = "Too many uploads at once."
            raise Problem("unavailable", detail, headers={"Retry-After": "1"})
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1


def prepare(file: BinaryIO) -> Prepared:
    """Find the type of a file and make an image anew; takes up to seconds.

    Raises:
        Problem: `unsupported_media_type` for an image that can't be made anew, and could so tell
            where it was taken; `invalid_request` for one that is broken or too large.
    """
    mime = types.find_type(file)
    if mime.startswith("image/") and mime not in images.TAKEN:
        detail = "Images are JPEG, PNG, GIF, WebP or AVIF."
        raise Problem("unsupported_media_type", detail)
    if mime in images.TAKEN:
        picture = images.remake(file)
        return Prepared(
            picture.content,
            picture.mime,
            picture.content.seek(0, io.SEEK_END),
            _sha256(picture.content),
            width=picture.width,
            height=picture.height,
            thumbnail=picture.thumbnail,
        )
    sounds = mime.startswith(("audio/", "video/"))
    return Prepared(
        file,
        mime,
        file.seek(0, io.SEEK_END),
        _sha256(file),
        duration=lengths.find_duration(file) if sounds else None,
    )


def _sha256(file: IO[bytes]) -> str:
    file.seek(0)
    # `hashlib.file_digest` takes no file that is only spooled.
    hashed = hashlib.sha256()
    while chunk := file.read(CHUNK_BYTES):
        hashed.update(chunk)
    return hashed.hexdigest()


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    file.seek(0)
    while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
        yield chunk
