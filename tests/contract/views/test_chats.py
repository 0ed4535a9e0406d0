"""A chat and its members."""

import pytest

from domain import commands as c
from projections.views import chats
from projections.views.reading import NotFound
from tests.contract.views.world import World, instant, plain


async def test_a_group_has_the_published_form(world: World) -> None:
    await world.register("ann", "bob", "cat")
    await world.group("g", "ann", "bob", history="since_joined")
    world.seconds = 2
    await world.add("ann", "g", "cat")
    await world.to_chat("ann", "g", c.SetRole(user="cat", role="admin"))
    change = c.ChangeChat(description="about", avatar="m1")
    await world.to_chat("ann", "g", change, key="chats/g")
    assert plain(await chats.one(await world.reading(), "bob", "g")) == {
        "id": "g",
        "kind": "group",
        "name": "The g",
        "description": "about",
        "avatar": "m1",
        "history": "since_joined",
        "created_at": instant(0),
        "members": [
            {"user": "ann", "role": "admin", "joined_at": instant(0)},
            {"user": "bob", "role": "member", "joined_at": instant(0)},
            {"user": "cat", "role": "admin", "joined_at": instant(2)},
        ],
        "members_count": 3,
    }
    await world.destroy("chats/g")
    erased = await chats.one(await world.reading(), "bob", "g")
    assert (erased.name, erased.description, erased.avatar, erased.erased) == (
        None,
        None,
        None,
        True,
    )


async def test_null_clears_a_name(world: World) -> None:
    await world.group("g", "ann")
    await world.to_chat("ann", "g", c.ChangeChat(name=None), key="chats/g")
    shown = await chats.one(await world.reading(), "ann", "g")
    assert (shown.name, shown.erased) == (None, False)


async def test_members_come_in_pages_longest_standing_first(world: World) -> None:
    await world.group("g", "dan", "cat", "bob")
    await world.add("dan", "g", "ann")
    reading = await world.reading()
    first = await chats.members(reading, "ann", "g", limit=2)
    assert isinstance(first.next, tuple)
    rest = await chats.members(reading, "ann", "g", after=first.next, limit=2)
    shown = [member.user for member in (*first.items, *rest.items)]
    assert (shown, rest.next) == (["bob", "cat", "dan", "ann"], None)


async def test_only_members_see_a_chat(world: World) -> None:
    await world.group("g", "ann", "bob")
    await world.leave("bob", "g")
    reading = await world.reading()
    for user, chat in (("bob", "g"), ("eve", "g"), ("ann", "nowhere")):
        with pytest.raises(NotFound, match="chat_not_found"):
            await chats.one(reading, user, chat)
        with pytest.raises(NotFound, match="chat_not_found"):
            await chats.members(reading, user, chat)
