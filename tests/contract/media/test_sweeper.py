"""What the sweeper takes away, and what it must not."""

import asyncio
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from domain import commands as c
from domain.instants import from_datetime, later
from gateway.media.uploads import Uploads
from gateway.problems import Problem
from projections.objects import Objects
from projections.progress import Progress
from projections.views.media import UNUSED_SECONDS
from tests import files
from tests.contract.views import world as worlds
from tests.contract.views.world import World
from workers.sweeper import GRACE, Sweeper

QUOTA = 200_000
#: The clock of these worlds is that of the machine, as that of the objects is.
AFTER = UNUSED_SECONDS + GRACE + 60


@pytest.fixture(autouse=True)
async def people(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worlds, "START", datetime.now(UTC))
    await world.register("ann", "bob")
    await world.group("room", "ann", "bob")


def swept_by(world: World, objects: Objects, progress: Progress | None = None) -> Sweeper:
    progress = progress or Progress(world.store)
    return Sweeper(objects, world.store, world.vault, progress, world.fold, lambda: world.now)


async def store(objects: Objects, media: str, content: bytes = b"") -> c.UploadMedia:
    """Keep a file without recording it."""
    uploads = Uploads(objects, QUOTA, lambda: from_datetime(datetime.now(UTC)))
    file = io.BytesIO(content or files.picture())
    try:
        return await uploads.keep("ann", media, "a.png", file)
    finally:
        uploads.close()


async def upload(world: World, objects: Objects, media: str, content: bytes = b"") -> None:
    await world.to_self("ann", await store(objects, media, content))


async def there(objects: Objects) -> set[str]:
    """The items that have objects: the picture and its thumbnail, or neither."""
    found = [stored.name.split("/")[2] async for stored in objects.list("media")]
    assert all(found.count(media) == 2 for media in found)
    return set(found)


async def test_what_is_used_stays(world: World, objects: Objects) -> None:
    for media in ("unused", "sent", "avatar", "chat"):
        await upload(world, objects, media)
    await store(objects, "broken off")
    await world.to_chat("ann", "room", c.SendMessage(kind="image", content="", media="sent"))
    await world.to_self("ann", c.PutProfile(avatar="avatar"))
    await world.to_chat("ann", "room", c.ChangeChat(avatar="chat"), key="chats/room")
    sweeper = swept_by(world, objects)
    world.seconds = UNUSED_SECONDS
    assert await sweeper.sweep() == 0
    assert len(await there(objects)) == 5
    world.seconds = AFTER
    assert await sweeper.sweep() == 4
    assert await there(objects) == {"sent", "avatar", "chat"}
    assert await sweeper.sweep() == 0


async def test_deleted_stays_and_expired_goes(world: World, objects: Objects) -> None:
    for media, more in (("deleted", {}), ("expired", {"expires_in": 60})):
        await upload(world, objects, media)
        action = c.SendMessage(kind="image", content="", media=media, **more)  # type: ignore[arg-type]
        seq = await world.to_chat("ann", "room", action, key=f"messages/{media}" if more else None)
        world.seconds += 61
        if more:
            expire = c.ExpireMessage(message=seq)
            await world.to_chat("system", "room", expire, rights="system")
        else:
            await world.delete("ann", "room", seq)
    world.seconds += AFTER
    assert await swept_by(world, objects).sweep() == 2
    assert await there(objects) == {"deleted"}


async def test_the_bytes_of_an_erased_account_go(world: World, objects: Objects) -> None:
    await upload(world, objects, "sent")
    await world.to_chat("ann", "room", c.SendMessage(kind="image", content="", media="sent"))
    world.seconds = AFTER
    await world.destroy("users/ann")
    assert await swept_by(world, objects).sweep() == 0  # The key may be lost for now only.
    import msgspec

    from projections.profiles import PROFILES
    from projections.store.port import Batch

    known = (await world.store.get(PROFILES, [("ann",)]))[("ann",)]
    erased = msgspec.structs.replace(known, seq=known.seq + 1, erased=True)
    await world.store.write(Batch([(PROFILES, [erased])], {}))
    assert await swept_by(world, objects).sweep() == 2


async def test_other_bytes_under_the_same_item_go(world: World, objects: Objects) -> None:
    """Two requests under one key stored different files; one of them was recorded."""
    await store(objects, "m", files.picture(size=(9, 9)))
    await upload(world, objects, "m", files.picture(size=(8, 8)))
    await world.to_self("ann", c.PutProfile(avatar="m"))
    world.seconds = AFTER
    assert await swept_by(world, objects).sweep() == 2
    assert await there(objects) == {"m"}


async def test_two_at_once_and_one_after_a_crash(world: World, objects: Objects) -> None:
    for n in range(6):
        await upload(world, objects, f"unused {n}")
    await upload(world, objects, "used")
    await world.to_self("ann", c.PutProfile(avatar="used"))
    world.seconds = AFTER
    await world.fold()  # It does not bear two callers at once.
    stopped = asyncio.create_task(swept_by(world, objects).sweep())
    await asyncio.sleep(0)
    stopped.cancel()
    await asyncio.gather(stopped, return_exceptions=True)
    await asyncio.gather(*(swept_by(world, objects).sweep() for _ in range(2)))
    assert await there(objects) == {"used"}


async def test_nothing_is_taken_while_a_stream_stands_still(world: World, objects: Objects) -> None:
    await upload(world, objects, "m")
    world.seconds = AFTER
    progress = Progress(world.store)
    progress.stale = frozenset(("chats/room",))
    assert await swept_by(world, objects, progress).sweep() == 0
    progress.stale = frozenset()
    assert await swept_by(world, objects, progress).sweep() == 2


async def test_what_the_read_models_do_not_know_yet_is_waited_for(
    world: World, objects: Objects
) -> None:
    await upload(world, objects, "m")
    await world.to_self("ann", c.PutProfile(avatar="m"))
    assert world.folded == 0
    world.seconds = AFTER
    assert await swept_by(world, objects).sweep() == 0


async def test_what_is_not_of_a_media_item_is_left_alone(world: World, objects: Objects) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield b"x"

    for name in ("snapshots/1", "media/stray", "media/a/b/c/d"):
        await objects.put(name, content())
    world.seconds = AFTER
    assert await swept_by(world, objects).sweep() == 0
    assert len([stored async for stored in objects.list()]) == 3


async def test_the_quota_counts_what_is_stored(world: World, objects: Objects) -> None:
    noise = [b"%PDF" + bytes([n]) * 90_000 for n in range(4)]
    await upload(world, objects, "1", noise[0])
    await upload(world, objects, "2", noise[1])
    with pytest.raises(Problem) as refused:
        await upload(world, objects, "3", noise[2])
    assert refused.value.code == "quota_exceeded"
    # The same again takes nothing more.
    await store(objects, "2", noise[1])
    world.seconds = AFTER
    await swept_by(world, objects).sweep()
    await upload(world, objects, "4", noise[3])


async def test_what_was_broken_off_long_ago_is_not_taken_up(objects: Objects) -> None:
    """Its object could be swept between being found and being recorded."""
    await store(objects, "m")
    await store(objects, "m")
    late = Uploads(objects, QUOTA, lambda: later(from_datetime(datetime.now(UTC)), 7200))
    with pytest.raises(Problem) as refused:
        await late.keep("ann", "m", "a.png", io.BytesIO(files.picture()))
    late.close()
    assert refused.value.code == "idempotency_key_reused"
