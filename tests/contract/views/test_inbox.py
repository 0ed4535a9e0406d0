"""The inbox: which chats, in which order, with what in each row."""

from typing import Any

import pytest

from domain import commands as c
from projections.views import inbox
from tests.contract.views.world import World, instant, plain


async def rows(world: World, user: str, **asked: Any) -> Any:
    return plain(await inbox.page(await world.reading(), user, **asked))["items"]


async def ids(world: World, user: str, **asked: Any) -> list[str]:
    return [row["chat"]["id"] for row in await rows(world, user, **asked)]


async def last(world: World, user: str) -> Any:
    [row] = await rows(world, user)
    return row["last_message"]


@pytest.fixture(autouse=True)
async def users(world: World) -> None:
    await world.register("ann", "bob", "cat")


async def test_a_row_has_the_published_form(world: World) -> None:
    await world.direct("d", "ann", "bob")
    world.seconds = 2
    seq = await world.say("ann", "d", "hello")
    [row] = await rows(world, "bob")
    message = row.pop("last_message")
    assert (message["seq"], message["content"], message["status"]) == (seq, "hello", "sent")
    members = [{"user": user, "role": "member", "joined_at": instant(0)} for user in ("ann", "bob")]
    assert row == {
        "chat": {
            "id": "d",
            "kind": "direct",
            "name": None,
            "avatar": None,
            "members_count": 2,
            "members": members,
        },
        "unread": 1,
        "pinned": False,
        "archived": False,
        "muted_until": None,
        "read_up_to": 1,
    }


async def test_groups_show_their_name_but_not_their_members(world: World) -> None:
    await world.group("g", "ann", "bob")
    [row] = await rows(world, "bob")
    assert row["chat"] == {
        "id": "g",
        "kind": "group",
        "name": "The g",
        "avatar": None,
        "members_count": 2,
    }
    assert row["last_message"] is None
    await world.destroy("chats/g")
    [row] = await rows(world, "bob")
    assert (row["chat"]["name"], row["chat"]["erased"]) == (None, True)


async def test_pinned_chats_come_first_then_the_newest_activity(world: World) -> None:
    for chat in ("a", "b", "c", "d"):
        await world.group(chat, "ann", "bob")
        world.seconds += 1
    assert await ids(world, "bob") == ["d", "c", "b", "a"]
    message = await world.say("ann", "a", "hello")
    await world.file("bob", "c", pinned=True)
    assert await ids(world, "bob") == ["c", "a", "d", "b"]
    # Neither deleting nor a system message is activity.
    world.seconds += 1
    await world.delete("ann", "a", message)
    await world.add("ann", "b", "cat")
    assert await ids(world, "bob") == ["c", "a", "d", "b"]
    await world.file("bob", "c", pinned=False)
    assert await ids(world, "bob") == ["a", "d", "c", "b"]


async def test_pages_go_on_at_a_place(world: World) -> None:
    for n in range(5):
        await world.group(f"g{n}", "ann", "bob")
    await world.file("bob", "g2", pinned=True)
    reading = await world.reading()
    first = await inbox.page(reading, "bob", limit=2)
    assert first.next == (False, instant(0), "g4")
    assert isinstance(first.next, tuple)
    rest = await inbox.page(reading, "bob", after=first.next, limit=3)
    assert [row.chat.id for row in (*first.items, *rest.items)] == ["g2", "g4", "g3", "g1", "g0"]
    assert rest.next is None


async def test_archived_chats_can_be_asked_for_or_left_out(world: World) -> None:
    for chat in ("a", "b"):
        await world.group(chat, "ann", "bob")
    await world.file("bob", "a", archived=True)
    assert await ids(world, "bob") == ["b", "a"]
    assert await ids(world, "bob", archived=True) == ["a"]
    assert await ids(world, "bob", archived=False) == ["b"]
    assert await ids(world, "ann", archived=False) == ["b", "a"]


async def test_muting_ends_by_the_clock(world: World) -> None:
    await world.group("g", "ann", "bob")
    await world.file("bob", "g", muted_until=instant(10))
    world.seconds = 9.999
    assert (await rows(world, "bob"))[0]["muted_until"] == instant(10)
    world.seconds = 10
    assert (await rows(world, "bob"))[0]["muted_until"] is None


async def test_leaving_takes_the_chat_and_its_filing_away(world: World) -> None:
    await world.group("g", "ann", "bob")
    await world.file("bob", "g", pinned=True, archived=True, muted_until=instant(99))
    await world.leave("bob", "g")
    assert await ids(world, "bob") == []
    await world.add("ann", "g", "bob")
    [row] = await rows(world, "bob")
    assert (row["pinned"], row["archived"], row["muted_until"]) == (False, False, None)
    await world.file("bob", "g", archived=True)
    [row] = await rows(world, "bob")
    assert (row["pinned"], row["archived"]) == (False, True)


async def test_the_effective_mark_is_the_highest_of_all(world: World) -> None:
    await world.group("g", "ann")
    await world.say("ann", "g", "old")
    joined = await world.add("ann", "g", "bob")
    assert (await rows(world, "bob"))[0]["read_up_to"] == joined
    seq = await world.say("ann", "g", "new")
    await world.read("bob", "g", seq)
    assert (await rows(world, "bob"))[0]["read_up_to"] == seq
    own = await world.say("bob", "g", "by hand")
    await world.say("bob", "g", "by the clock", schedule="s1")
    assert (await rows(world, "bob"))[0]["read_up_to"] == own


async def test_the_last_message_is_the_newest_that_is_visible(world: World) -> None:
    await world.group("g", "ann", "bob")
    first = await world.say("ann", "g", "first")
    hidden = [await world.say("ann", "g", f"hidden {n}") for n in range(7)]
    for seq in hidden:
        await world.hide("bob", "g", seq)
    await world.add("ann", "g", "cat")
    await world.say("ann", "g", "for a while", expires_in=5)
    assert (await last(world, "bob"))["content"] == "for a while"
    world.seconds = 5
    assert (await last(world, "bob"))["seq"] == first
    assert (await last(world, "ann"))["seq"] == hidden[-1]


async def test_a_hidden_last_message_is_passed_over(world: World) -> None:
    await world.group("g", "ann", "bob")
    first = await world.say("ann", "g", "first")
    second = await world.say("ann", "g", "second")
    await world.hide("bob", "g", second)
    assert (await last(world, "bob"))["seq"] == first
    await world.hide("bob", "g", first)
    assert await last(world, "bob") is None
    assert (await last(world, "ann"))["seq"] == second


async def test_a_deleted_last_message_shows_as_deleted(world: World) -> None:
    await world.group("g", "ann", "bob")
    await world.say("ann", "g", "first")
    seq = await world.say("ann", "g", "second", expires_in=5)
    await world.delete("ann", "g", seq)
    for _ in range(2):
        message = await last(world, "bob")
        assert (message["seq"], message["content"]) == (seq, None)
        assert message["deleted_at"] is not None
        world.seconds = 5


async def test_no_last_message_is_older_than_the_joining(world: World) -> None:
    await world.group("g", "ann", history="since_joined")
    await world.say("ann", "g", "before")
    await world.add("ann", "g", "bob")
    assert await last(world, "bob") is None
    seq = await world.say("ann", "g", "after", expires_in=5)
    assert (await last(world, "bob"))["seq"] == seq
    world.seconds = 5
    assert await last(world, "bob") is None


async def test_an_expired_last_message_is_passed_over_once_the_event_has_come(
    world: World,
) -> None:
    await world.group("g", "ann", "bob")
    first = await world.say("ann", "g", "first")
    second = await world.say("ann", "g", "second", expires_in=5)
    world.seconds = 5
    await world.to_chat("system", "g", c.ExpireMessage(message=second), rights="system")
    assert (await last(world, "bob"))["seq"] == first
