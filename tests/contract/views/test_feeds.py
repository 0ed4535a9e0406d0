"""The feed and what a returning client missed."""

from typing import Any

import pytest

from domain import commands as c
from projections.feed import FEED
from projections.store.port import Scan
from projections.views import feeds
from projections.views.reading import NotFound
from tests.contract.views.world import World, instant, plain


async def feed(world: World, user: str, chat: str, **asked: Any) -> Any:
    return plain(await feeds.of_chat(await world.reading(), user, chat, **asked))["items"]


async def event(world: World, user: str, chat: str, seq: int) -> Any:
    [shown] = await feed(world, user, chat, after=seq - 1, limit=1)
    return shown


async def missed(world: World, user: str, places: Any, **asked: Any) -> feeds.Missed:
    return await feeds.missed(await world.reading(), user, places, **asked)


def seen(missed: feeds.Missed) -> list[tuple[str, int]]:
    return [(event.stream, event.seq) for event in missed.events]


@pytest.fixture
async def group(world: World) -> str:
    await world.register("ann", "bob")
    await world.group("g", "ann", "bob")
    return "g"


async def test_an_event_has_the_form_of_its_frame(world: World, group: str) -> None:
    world.seconds = 4
    seq = await world.say("ann", group, "hello", metadata={"a": 1})
    assert await event(world, "bob", group, seq) == {
        "stream": "chats/g",
        "seq": seq,
        "type": "message.sent",
        "time": instant(4),
        "actor": "ann",
        "command": "command-4",
        "data": {
            "ordinal": 1,
            "kind": "text",
            "content": "hello",
            "metadata": {"a": 1},
            "mentions": [],
        },
    }


async def test_the_feed_comes_in_pages_until_it_has_caught_up(world: World, group: str) -> None:
    for n in range(4):
        await world.say("ann", group, f"number {n}")
    reading = await world.reading()
    first = await feeds.of_chat(reading, "bob", group, limit=3)
    assert ([e.seq for e in first.items], first.next) == ([1, 2, 3], 3)
    last = await feeds.of_chat(reading, "bob", group, after=3, limit=2)
    assert ([e.seq for e in last.items], last.next) == ([4, 5], None)
    with pytest.raises(NotFound, match="chat_not_found"):
        await feeds.of_chat(reading, "eve", group)


async def test_what_was_deleted_is_redacted_everywhere(world: World, group: str) -> None:
    seq = await world.say("ann", group, "hello", mentions=("bob",))
    edit = await world.to_chat("ann", group, c.EditMessage(message=seq, content="bye"))
    reaction = await world.react("bob", group, seq, "+1")
    assert (await event(world, "bob", group, edit))["data"]["content"] == "bye"
    deletion = await world.delete("ann", group, seq)
    shown = [await event(world, "bob", group, at) for at in (seq, edit, reaction, deletion)]
    assert [one["data"] for one in shown] == [
        {"ordinal": 1, "kind": "text"},
        {"message": seq},
        {"message": seq},
        {"message": seq},
    ]
    assert [one.get("redacted") for one in shown] == [True, True, True, None]


async def test_no_copy_of_what_was_deleted_stays(world: World, group: str) -> None:
    seq = await world.say("ann", group, "hello")
    await world.fold()
    await world.to_chat("ann", group, c.EditMessage(message=seq, content="bye"))
    await world.fold()
    await world.to_chat("ann", group, c.EditMessage(message=seq, content="again"))
    await world.delete("ann", group, seq)
    await world.fold()
    [items] = await world.store.scan(FEED, [Scan(("chats/g",))])
    assert [bytes(item.data) for item in items[1:]] == [
        b'{"ordinal":1,"kind":"text"}',
        *[b'{"message":2}'] * 3,
    ]


@pytest.mark.parametrize("event_has_come", [False, True])
async def test_what_has_expired_is_redacted(world: World, group: str, event_has_come: bool) -> None:
    seq = await world.say("ann", group, "secret", expires_in=5)
    world.seconds = 5
    if event_has_come:
        await world.to_chat("system", group, c.ExpireMessage(message=seq), rights="system")
        assert "redacted" not in await event(world, "bob", group, seq + 1)
    shown = await event(world, "bob", group, seq)
    assert (shown["data"], shown["redacted"]) == ({"ordinal": 1, "kind": "text"}, True)


async def test_what_a_user_hid_is_redacted_for_them(world: World, group: str) -> None:
    seq = await world.say("ann", group, "hello")
    reaction = await world.react("ann", group, seq, "+1")
    await world.hide("bob", group, seq)
    assert (await event(world, "bob", group, seq))["redacted"]
    assert (await event(world, "bob", group, reaction))["data"] == {"message": seq}
    assert (await event(world, "ann", group, seq))["data"]["content"] == "hello"
    # The deletion tells nothing, so it needs no redaction.
    deletion = await world.delete("ann", group, seq)
    assert "redacted" not in await event(world, "bob", group, deletion)


async def test_since_joined_the_feed_begins_with_ones_joining(world: World) -> None:
    await world.group("g", "ann", history="since_joined")
    old = await world.say("ann", "g", "old")
    joined = await world.add("ann", "g", "bob")
    edit = await world.to_chat("ann", "g", c.EditMessage(message=old, content="older"))
    reaction = await world.react("ann", "g", old, "+1")
    new = await world.say("ann", "g", "new")
    assert [one.get("redacted") for one in await feed(world, "bob", "g")][1:3] == [True, True]
    deletion = await world.delete("ann", "g", old)
    shown = await feed(world, "bob", "g")
    assert [one["seq"] for one in shown] == [joined, edit, reaction, new, deletion]
    assert [one.get("redacted") for one in shown] == [None, True, True, None, None]
    assert shown[1]["data"] == {"message": old}
    assert [one["seq"] for one in await feed(world, "ann", "g")] == list(range(1, deletion + 1))
    assert (await feed(world, "bob", "g", after=joined, limit=1))[0]["seq"] == edit


async def test_fields_lost_with_their_key_are_null(world: World, group: str) -> None:
    seq = await world.say("ann", group, "hello")
    await world.destroy("users/ann", "chats/g")
    data = (await event(world, "bob", group, seq))["data"]
    assert data == {"ordinal": 1, "kind": "text", "content": None, "mentions": [], "erased": True}
    created = (await event(world, "bob", group, 1))["data"]
    assert (created["name"], created["erased"], created["members"]) == (None, True, ["ann", "bob"])


async def test_ones_own_feed_is_private_and_opened(world: World, group: str) -> None:
    await world.file("bob", group, pinned=True)
    own = await feeds.of_user(await world.reading(), "bob")
    assert [e.type for e in own.items] == ["user.registered", "chat.filed"]
    assert plain(own.items[0])["data"] == {"name": "Bob", "email": "bob@example.org"}
    after = await feeds.of_user(await world.reading(), "bob", after=1)
    assert [e.type for e in after.items] == ["chat.filed"]


async def test_a_client_gets_all_it_missed(world: World, group: str) -> None:
    await world.direct("d", "ann", "bob")
    world.seconds = 1
    one = await world.say("ann", group, "one")
    world.seconds = 2
    two = await world.say("ann", "d", "two")
    world.seconds = 3
    await world.hide("bob", group, one)
    three = await world.say("ann", group, "three")
    answer = await missed(world, "bob", {"chats/g": 1, "chats/d": 1, "users/bob": 1})
    assert (answer.recovered, answer.heads) == (
        True,
        {"users/bob": 2, "chats/g": three, "chats/d": two},
    )
    assert seen(answer) == [
        ("chats/g", one),
        ("chats/d", two),
        ("chats/g", three),
        ("users/bob", 2),
    ] or seen(answer) == [
        ("chats/g", one),
        ("chats/d", two),
        ("users/bob", 2),
        ("chats/g", three),
    ]
    redacted = {(e.stream, e.seq): e.redacted for e in answer.events}
    assert (redacted["chats/g", one], redacted["chats/g", three]) == (True, False)


async def test_streams_that_are_not_named_or_not_there_are_passed_over(
    world: World, group: str
) -> None:
    seq = await world.say("ann", group, "hello")
    answer = await missed(world, "bob", {"chats/left": 99, "users/bob": 1})
    assert (answer.recovered, seen(answer)) == (True, [])
    assert answer.heads == {"users/bob": 1, "chats/g": seq}
    assert await missed(world, "bob", None) == feeds.Missed(answer.heads, False, ())


async def test_a_place_before_the_latest_joining_counts_as_the_one_before_it(
    world: World, group: str
) -> None:
    await world.say("ann", group, "one")
    await world.leave("bob", group)
    await world.say("ann", group, "two")
    joined = await world.add("ann", group, "bob")
    answer = await missed(world, "bob", {"chats/g": 1})
    assert (answer.recovered, seen(answer)) == (True, [("chats/g", joined)])


async def test_a_place_beyond_the_head_or_too_far_back_recovers_nothing(
    world: World, group: str
) -> None:
    head = await world.say("ann", group, "one")
    for _ in range(4):
        head = await world.say("ann", group, "more")
    assert not (await missed(world, "bob", {"chats/g": head + 1})).recovered
    assert (await missed(world, "bob", {"chats/g": head})).recovered
    short = await missed(world, "bob", {"chats/g": head - 3, "users/bob": 0}, most=3)
    assert (short.recovered, seen(short)) == (False, [])
    enough = await missed(world, "bob", {"chats/g": head - 3, "users/bob": 0}, most=4)
    assert (enough.recovered, len(enough.events)) == (True, 4)
