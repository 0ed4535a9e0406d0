"""Profiles, and finding people."""

import pytest

from domain import commands as c
from projections.views import people
from projections.views.reading import NotFound
from tests.contract.views.world import World, instant, plain


async def register(world: World, **names: str) -> None:
    for user, name in names.items():
        world.seconds += 1
        email = f"{user}@example.org"
        await world.to_self(user, c.PutProfile(name=name, email=email, avatar="m1"))


async def found(
    world: World, query: str, directory: people.Directory = "all", asker: str = "ann"
) -> list[str]:
    listing = await people.search(await world.reading(), asker, query, directory)
    assert all("email" not in row for row in plain(listing)["items"])
    return [profile.id for profile in listing.items]


async def test_only_oneself_sees_ones_address(world: World) -> None:
    await register(world, ann="Ann Lee")
    reading = await world.reading()
    others = {"id": "ann", "name": "Ann Lee", "avatar": "m1", "registered_at": instant(1)}
    assert plain(await people.profile(reading, "bob", "ann")) == others
    own = plain(await people.profile(reading, "ann", "ann"))
    assert own == {**others, "email": "ann@example.org"}
    await world.to_self("ann", c.PutProfile(email=None, name="Ann"))
    own = plain(await people.profile(await world.reading(), "ann", "ann"))
    assert (own["email"], own["name"], own["avatar"]) == (None, "Ann", "m1")


async def test_profiles_come_in_the_order_asked_for(world: World) -> None:
    await register(world, ann="Ann", bob="Bob")
    reading = await world.reading()
    shown = await people.profiles(reading, "ann", ["bob", "nobody", "ann", "bob"])
    assert [profile.id for profile in shown] == ["bob", "ann"]
    with pytest.raises(NotFound, match="user_not_found"):
        await people.profile(reading, "ann", "nobody")


async def test_an_erased_user_has_no_name_and_is_not_found(world: World) -> None:
    await register(world, ann="Ann", bob="Bob")
    await world.destroy("users/bob")
    shown = plain(await people.profile(await world.reading(), "ann", "bob"))
    assert (shown["name"], shown["avatar"], shown["erased"]) == (None, None, True)
    assert await found(world, "bob") == []


async def test_people_are_found_by_the_beginning_of_any_word(world: World) -> None:
    await register(world, ann="Ann Lee", bob="Bob Leeds", cat="Anna Karina", dan="Dan")
    assert await found(world, "an") == ["cat", "ann"]
    assert await found(world, "LEE") == ["bob", "ann"]
    assert await found(world, "le an") == ["ann"]
    assert await found(world, "ee") == []
    assert await found(world, "a") == []
    assert await found(world, "?!") == []


async def test_a_new_name_replaces_the_old_one(world: World) -> None:
    await register(world, ann="Ann")
    await world.to_self("ann", c.PutProfile(name="Zoe"))
    assert (await found(world, "zo"), await found(world, "ann")) == (["ann"], [])


async def test_people_are_found_by_their_whole_address(world: World) -> None:
    await register(world, ann="Ann", bob="Bob")
    await world.to_self("bob", c.PutProfile(email="Bob.Lee@example.org"))
    for directory in ("all", "shared"):
        await world.group(f"with-{directory}", "ann", "bob")
        assert await found(world, " bob.lee@EXAMPLE.org ", directory) == ["bob"]
        for other in ("bob.lee@example", "bob_lee@example.org", "bob.lee", "bob@example.org"):
            assert await found(world, other, directory) == []


async def test_the_directory_may_hold_those_who_share_a_chat_or_nobody(world: World) -> None:
    await register(world, ann="Ann", bob="Robert", cat="Robin", dan="Rob Roy")
    await world.group("g", "ann", "bob", "dan")
    await world.direct("d", "bob", "cat")
    assert await found(world, "rob") == ["dan", "cat", "bob"]
    assert await found(world, "rob", "shared") == ["dan", "bob"]
    assert await found(world, "rob r", "shared") == []
    assert await found(world, "rob roy", "shared") == ["dan"]
    await world.leave("dan", "g")
    assert await found(world, "rob", "shared") == ["bob"]
    assert await found(world, "rob", "shared", "dan") == []
    assert await found(world, "rob", "off") == []


async def test_at_most_twenty_are_found_the_newest(world: World) -> None:
    await register(world, **{f"u{n}": f"Robert {n}" for n in range(25)})
    newest = [f"u{n}" for n in range(24, 4, -1)]
    assert await found(world, "rob") == newest
    await world.group("g", *(f"u{n}" for n in range(25)))
    assert await found(world, "rob", "shared", "u0") == newest
