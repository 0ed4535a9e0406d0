"""Who may read a media item, as time passes and things are taken back."""

import contextlib

import msgspec
import pytest

from domain import commands as c
from domain.envelope import Envelope
from projections.views import media
from projections.views.media import LOOKED_AT, UNUSED_SECONDS
from projections.views.reading import NotFound
from tests.contract.views.world import World, plain

DAY = UNUSED_SECONDS


@pytest.fixture(autouse=True)
async def friends(world: World) -> None:
    await world.register("ann", "bob", "cat", "dan")
    await upload(world, "ann", "m1")
    await world.group("room", "ann", "bob", "cat")


async def upload(world: World, user: str, item: str) -> None:
    action = c.UploadMedia(media=item, name="a.png", mime="image/png", size=9, sha256="abc")
    await world.to_self(user, action)


async def send(world: World, user: str, chat: str, item: str = "m1", **more: object) -> int:
    action = c.SendMessage(kind="image", content="", media=item, **more)  # type: ignore[arg-type]
    key = None if action.expires_in is None else f"messages/{len(world.log)}"
    return await world.to_chat(user, chat, action, key=key)


async def readers(world: World, item: str = "m1") -> str:
    """Of the four, by their first letters, those who may read the item."""
    able = ""
    for user in ("ann", "bob", "cat", "dan"):
        with contextlib.suppress(NotFound):
            await media.readable(await world.reading(), user, item)
            able += user[0]
    return able


async def test_what_is_known_of_an_item(world: World) -> None:
    shown = plain(await media.one(await world.reading(), "ann", "m1"))
    assert shown == {
        "id": "m1",
        "owner": "ann",
        "name": "a.png",
        "mime": "image/png",
        "size": 9,
        "sha256": "abc",
        "width": None,
        "height": None,
        "duration": None,
        "thumbnail": None,
        "uploaded_at": world.now,
    }
    await world.destroy("users/ann")
    shown = plain(await media.one(await world.reading(), "ann", "m1"))
    assert (shown["name"], shown["sha256"], shown["erased"]) == (None, None, True)


async def test_an_upload_is_its_owners_alone_and_forgotten_after_a_day(world: World) -> None:
    assert await readers(world) == "a"
    world.seconds = DAY - 1
    assert await readers(world) == "a"
    world.seconds = DAY
    assert await readers(world) == ""
    assert await readers(world, "no such item") == ""


async def test_who_sees_a_message_reads_what_it_carries(world: World) -> None:
    await send(world, "ann", "room")
    assert await readers(world) == "abc"
    world.seconds = 9 * DAY
    assert await readers(world) == "abc"
    await world.leave("cat", "room")
    assert await readers(world) == "ab"
    await world.add("ann", "room", "cat", "dan")
    assert await readers(world) == "abcd"


async def test_deleted_for_everyone(world: World) -> None:
    first, second = await send(world, "ann", "room"), await send(world, "bob", "room")
    await world.delete("ann", "room", first)
    assert await readers(world) == "abc"
    await world.delete("bob", "room", second)
    assert await readers(world) == "a"
    world.seconds = 9 * DAY
    assert await readers(world) == "a"  # The record keeps what was said.


async def test_what_destroys_itself_takes_its_picture_with_it(world: World) -> None:
    seq = await send(world, "ann", "room", expires_in=60)
    assert await readers(world) == "abc"
    world.seconds = 60
    assert await readers(world) == "a"
    await world.to_chat("system", "room", c.ExpireMessage(message=seq), rights="system")
    assert await readers(world) == "a"
    world.seconds = DAY
    assert await readers(world) == ""


async def test_what_would_destroy_itself_and_is_deleted_before(world: World) -> None:
    await world.delete("ann", "room", await send(world, "ann", "room", expires_in=60))
    assert await readers(world) == "a"
    world.seconds = DAY
    assert await readers(world) == ""


async def test_hidden_for_one(world: World) -> None:
    seq = await send(world, "ann", "room")
    await world.hide("bob", "room", seq)
    await world.hide("ann", "room", seq)
    assert await readers(world) == "ac"
    await send(world, "cat", "room")
    assert await readers(world) == "abc"


async def test_from_before_ones_joining(world: World) -> None:
    await world.group("young", "ann", "bob", history="since_joined")
    await send(world, "ann", "young")
    await world.add("ann", "young", "dan")
    assert await readers(world) == "ab"
    await send(world, "bob", "young")
    assert await readers(world) == "abd"
    await world.leave("bob", "young")
    await world.add("ann", "young", "bob")
    assert await readers(world) == "ad"


async def test_the_avatar_of_a_chat_is_its_members(world: World) -> None:
    await world.to_chat("ann", "room", c.ChangeChat(avatar="m1"), key="chats/room")
    world.seconds = 9 * DAY
    assert await readers(world) == "abc"
    await world.to_chat("ann", "room", c.ChangeChat(name="other"), key="chats/room")
    await world.leave("cat", "room")
    assert await readers(world) == "ab"
    await upload(world, "ann", "m2")
    await world.to_chat("ann", "room", c.ChangeChat(avatar="m2"), key="chats/room")
    assert (await readers(world), await readers(world, "m2")) == ("", "ab")
    await world.to_chat("ann", "room", c.ChangeChat(avatar=None), key="chats/room")
    assert await readers(world, "m2") == "a"


async def test_an_avatar_from_the_beginning(world: World) -> None:
    await world.group("new", "ann", "dan", avatar="m1")
    assert await readers(world) == "ad"


async def test_the_avatar_of_a_user_is_everyones(world: World) -> None:
    await world.to_self("ann", c.PutProfile(avatar="m1"))
    assert await readers(world) == "abcd"
    await world.to_self("ann", c.PutProfile(name="Ann again"))
    assert await readers(world) == "abcd"
    await world.to_self("ann", c.PutProfile(avatar=None))
    assert await readers(world) == "a"


async def test_in_more_places_than_are_looked_at(world: World) -> None:
    for n in range(LOOKED_AT // 2 + 1):
        await world.group(f"of bob {n}", "bob")
        await send(world, "bob", f"of bob {n}")
        await send(world, "bob", f"of bob {n}")
    assert await readers(world) == "ab"
    await send(world, "bob", "room")
    assert await readers(world) == "abc"
    await world.group("with dan", "ann", "dan", avatar="m1")
    assert await readers(world) == "abcd"


async def test_what_a_schedule_will_send_is_kept(world: World) -> None:
    stream = "users/ann"
    head = world.head(stream)

    def event(after: int, type: str, data: str) -> None:
        [last] = [envelope for envelope in world.log if envelope.stream == stream][-1:]
        world.log.append(_like(last, head + after, type, data))

    event(
        1,
        "message.scheduled",
        '{"schedule":"s1","chat":"room","due":"2024-06-01T00:00:00.000Z","kind":"image",'
        '"content":"","media":"m1","mentions":[]}',
    )
    world.seconds = 9 * DAY
    assert await readers(world) == "a"
    event(2, "schedule.cancelled", '{"schedule":"s1"}')
    assert await readers(world) == ""


def _like(envelope: Envelope, seq: int, type: str, data: str) -> Envelope:
    return msgspec.structs.replace(
        envelope,
        id=f"{envelope.stream}/{seq}",
        seq=seq,
        type=type,
        dataschema=f"urn:hansard:event:{type}:1",
        data=msgspec.Raw(data.encode()),
    )
