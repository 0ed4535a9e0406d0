"""Takes away stored files that no one can have any more: broken off, forgotten, or erased."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from domain import instants
from domain.ids import user_stream
from projections.keyring.port import KeyringError
from projections.media import MEDIA, MEDIA_OBJECTS, MediaItem, MediaObject
from projections.objects import Objects, ObjectsError
from projections.profiles import PROFILES
from projections.progress import Progress
from projections.store.port import ReadStore, StoreError
from projections.vault import Vault
from projections.views.media import UNUSED_SECONDS, kept
from projections.views.reading import Reading
from workers.log.port import LogError

log = structlog.get_logger()

#: Seconds from one sweep to the next.
EVERY = 60 * 60
#: What readers no longer see is taken this many seconds later: by then all that was decided while
#: they still saw it is in the log.
GRACE = 60 * 60
BATCH = 200


class Sweeper:
    """Decides by what the read models hold of what the log held after the object was listed, so
    that two of them, or one that died on the way, take nothing else."""

    def __init__(
        self,
        objects: Objects,
        store: ReadStore,
        vault: Vault,
        progress: Progress,
        settle: Callable[[], Awaitable[None]],
        clock: Callable[[], str],
    ) -> None:
        """`settle` waits until the read models hold all that the log holds now."""
        self._objects = objects
        self._store = store
        self._vault = vault
        self._progress = progress
        self._settle = settle
        self._clock = clock

    async def run(self) -> None:
        """Sweep now and then until cancelled."""
        while True:
            try:
                await self.sweep()
            except (ObjectsError, StoreError, KeyringError, LogError) as error:
                log.warning("sweep_broken_off", error=str(error))
            await asyncio.sleep(EVERY)

    async def sweep(self) -> int:
        """Look at every object once; how many were taken away."""
        before = instants.later(self._clock(), -UNUSED_SECONDS - GRACE)
        old: list[MediaObject] = []
        taken = 0
        async for stored in self._objects.list(MEDIA_OBJECTS):
            place = MediaObject.parse(stored.name)
            if place is not None and stored.modified < before:
                old.append(place)
            if len(old) == BATCH:
                taken += await self._take(old, before)
                old.clear()
        taken += await self._take(old, before)
        if taken:
            log.info("media_swept", objects=taken)
        return taken

    async def _take(self, old: Sequence[MediaObject], before: str) -> int:
        if not old:
            return 0
        await self._settle()
        if self._progress.stale:
            # What a stream that has stopped would say of a file can't be known.
            log.warning("sweep_waits", stale_streams=len(self._progress.stale))
            return 0
        useful = await self._useful(old, before)
        useless = [place.name for place in old if place not in useful]
        await self._objects.delete(useless)
        return len(useless)

    async def _useful(self, old: Sequence[MediaObject], before: str) -> set[MediaObject]:
        """The objects that items consist of which someone may still have."""
        # Forgotten here is what readers have not seen for a while.
        reading = Reading(self._store, self._vault, instants.later(before, UNUSED_SECONDS))
        found = await reading.get(MEDIA, {(place.media,) for place in old})
        profiles = await reading.get(PROFILES, {(item.owner,) for item in found.values()})
        erased = {profile.user for profile in profiles.values() if profile.erased}
        items = [item for item in found.values() if item.owner not in erased]
        ids = await kept(reading, items)
        items = [item for item in items if item.media in ids]
        await reading.unlock(item.sha256 for item in items)
        useful: set[MediaObject] = set()
        for item in items:
            useful |= self._objects_of(reading, item, old)
        return useful

    def _objects_of(
        self, reading: Reading, item: MediaItem, old: Sequence[MediaObject]
    ) -> set[MediaObject]:
        sha256 = reading.open(user_stream(item.owner), "sha256", item.sha256)
        if sha256.erased:
            # The account was not, so the key may come back with a better copy of the keyring.
            return {place for place in old if place.media == item.media}
        content = MediaObject(item.owner, item.media, str(sha256.value))
        return {content, content.thumbnail}
