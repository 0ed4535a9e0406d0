"""The messages of a chat, as each of its members sees them."""

from typing import Any

import pytest

from domain import commands as c
from projections.views import conversation
from projections.views.reading import NotFound
from tests.contract.views.world import World, instant, plain


async def page(world: World, user: str, chat: str, **place: Any) -> Any:
    return plain(await conversation.page(await world.reading(), user, chat, **place))


async def one(world: World, user: str, chat: str, seq: int) -> Any:
    return plain(await conversation.one(await world.reading(), user, chat, seq))


def seqs(page: Any) -> list[int]:
    return [message["seq"] for message in page["items"]]


@pytest.fixture
async def group(world: World) -> str:
    """A group of three, and a world in which each of them is registered."""
    await world.register("ann", "bob", "cat")
    await world.group("g", "ann", "bob", "cat")
    return "g"


async def test_a_message_has_the_published_form(world: World, group: str) -> None:
    world.seconds = 3
    seq = await world.say("ann", group, "hello", mentions=("bob",))
    assert await one(world, "bob", group, seq) == {
        "chat": group,
        "seq": seq,
        "ordinal": 1,
        "sender": "ann",
        "kind": "text",
        "content": "hello",
        "metadata": None,
        "reply_to": None,
        "mentions": ["bob"],
        "reactions": [],
        "reaction_counts": {},
        "status": "sent",
        "sent_at": instant(3),
        "edited_at": None,
        "deleted_at": None,
        "expires_at": None,
    }


async def test_who_is_no_member_learns_nothing(world: World, group: str) -> None:
    for chat in (group, "nowhere"):
        with pytest.raises(NotFound, match="chat_not_found"):
            await page(world, "eve", chat)


async def test_pages_go_back_from_the_newest(world: World, group: str) -> None:
    for n in range(5):
        await world.say("ann", group, f"number {n}")
    newest = await page(world, "bob", group, limit=3)
    assert (seqs(newest), newest["next"]) == ([4, 5, 6], 4)
    assert "newer" not in newest
    older = await page(world, "bob", group, before=newest["next"], limit=3)
    # The creation of the chat shows as a system message at its own place.
    assert (seqs(older), older["next"]) == ([1, 2, 3], None)
    assert (older["items"][0]["kind"], older["items"][0]["ordinal"]) == ("system", None)


async def test_pages_go_forward_after_a_place(world: World, group: str) -> None:
    for n in range(4):
        await world.say("ann", group, f"number {n}")
    first = await page(world, "bob", group, after=1, limit=2)
    assert (seqs(first), first["next"]) == ([2, 3], 3)
    last = await page(world, "bob", group, after=3, limit=2)
    assert (seqs(last), last["next"]) == ([4, 5], None)


async def test_a_page_around_a_place_gives_both_directions(world: World, group: str) -> None:
    for n in range(8):
        await world.say("ann", group, f"number {n}")
    middle = await page(world, "bob", group, around=5, limit=4)
    assert (seqs(middle), middle["next"], middle["newer"]) == ([3, 4, 5, 6], 3, 6)
    at_the_end = await page(world, "bob", group, around=9, limit=4)
    assert (seqs(at_the_end), at_the_end["next"], at_the_end["newer"]) == ([6, 7, 8, 9], 6, None)
    at_the_start = await page(world, "bob", group, around=1, limit=4)
    assert (seqs(at_the_start), at_the_start["next"]) == ([1, 2, 3, 4], None)
    assert at_the_start["newer"] == 4


async def test_a_page_is_full_although_messages_are_hidden(world: World, group: str) -> None:
    for n in range(12):
        await world.say("ann", group, f"number {n}")
    for seq in range(4, 13):
        await world.hide("bob", group, seq)
    shown = await page(world, "bob", group, limit=3)
    assert (seqs(shown), shown["next"]) == ([2, 3, 13], 2)
    assert len(seqs(await page(world, "cat", group))) == 13


async def test_hidden_messages_are_gone_for_that_user_alone(world: World, group: str) -> None:
    seq = await world.say("ann", group, "hello")
    await world.hide("bob", group, seq)
    with pytest.raises(NotFound, match="message_not_found"):
        await one(world, "bob", group, seq)
    assert (await one(world, "cat", group, seq))["content"] == "hello"


async def test_a_deleted_message_keeps_place_and_time_alone(world: World, group: str) -> None:
    first = await world.say("ann", group, "first")
    location = c.SendMessage(kind="location", content="here", metadata={"location": {"lat": 1}})
    seq = await world.to_chat("ann", group, location)
    await world.to_chat("ann", group, c.EditMessage(message=seq, content="there"))
    await world.react("bob", group, seq, "+1")
    world.seconds = 7
    await world.delete("ann", group, seq)
    shown = await one(world, "bob", group, seq)
    assert (shown["seq"], shown["sender"], shown["sent_at"]) == (seq, "ann", instant(0))
    assert (shown["kind"], shown["ordinal"], shown["deleted_at"]) == ("location", 2, instant(7))
    emptied = ("content", "metadata", "reply_to", "edited_at")
    assert [shown[field] for field in emptied] == [None] * 4
    assert (shown["reactions"], shown["reaction_counts"], shown["mentions"]) == ([], {}, [])
    assert seqs(await page(world, "bob", group)) == [1, first, seq]


@pytest.mark.parametrize("event_has_come", [False, True])
async def test_a_message_expires_by_the_clock(
    world: World, group: str, event_has_come: bool
) -> None:
    seq = await world.say("ann", group, "secret", expires_in=10, key="messages/1")
    world.seconds = 9.999
    assert (await one(world, "bob", group, seq))["content"] == "secret"
    world.seconds = 10
    if event_has_come:
        await world.to_chat("system", group, c.ExpireMessage(message=seq), rights="system")
    shown = await one(world, "bob", group, seq)
    assert (shown["content"], shown["expires_at"]) == (None, instant(10))
    assert (shown["deleted_at"], "erased" in shown) == (None, False)


async def test_system_messages_tell_what_happened(world: World, group: str) -> None:
    await world.add("ann", group, "eve")
    await world.to_chat("ann", group, c.ChangeChat(name="New", avatar=None), key="chats/g")
    await world.leave("eve", group)
    shown = (await page(world, "bob", group))["items"]
    assert [(m["content"], m["metadata"]) for m in shown] == [
        ("chat.created", {"kind": "group", "history": "all"}),
        ("member.added", {"user": "eve"}),
        ("chat.changed", {"changed": ["name", "avatar"]}),
        ("member.removed", {"user": "eve", "removed": "left"}),
    ]
    assert {m["status"] for m in shown} == {"sent"}


async def test_since_joined_nothing_older_is_seen(world: World) -> None:
    await world.register("ann", "bob")
    await world.group("g", "ann", history="since_joined")
    old = await world.say("ann", "g", "before bob")
    joined = await world.add("ann", "g", "bob")
    new = await world.say("ann", "g", "after", reply_to=old)
    for place in ({}, {"after": 0}, {"around": new}, {"around": 1}):
        assert seqs(await page(world, "bob", "g", **place)) == [joined, new]
    assert seqs(await page(world, "bob", "g", before=joined)) == []
    with pytest.raises(NotFound, match="message_not_found"):
        await one(world, "bob", "g", old)
    preview = {"seq": old, "sender": None, "kind": None, "content": None}
    assert (await one(world, "bob", "g", new))["reply_to"] == preview
    assert (await one(world, "ann", "g", new))["reply_to"]["content"] == "before bob"


async def test_history_counts_from_the_latest_joining(world: World) -> None:
    await world.group("g", "ann", "bob", history="since_joined")
    await world.say("ann", "g", "bob was here")
    await world.leave("bob", "g")
    with pytest.raises(NotFound, match="chat_not_found"):
        await page(world, "bob", "g")
    back = await world.add("ann", "g", "bob")
    assert seqs(await page(world, "bob", "g")) == [back]


async def test_who_joins_a_chat_with_all_its_history_sees_it(world: World) -> None:
    await world.group("g", "ann")
    old = await world.say("ann", "g", "old")
    joined = await world.add("ann", "g", "bob")
    assert seqs(await page(world, "bob", "g")) == [1, old, joined]


async def test_a_preview_shows_what_the_answered_message_says_now(world: World, group: str) -> None:
    asked = await world.say("ann", group, "why")
    answer = await world.say("bob", group, "because", reply_to=asked)
    await world.to_chat("ann", group, c.EditMessage(message=asked, content="why?"))
    expected = {"seq": asked, "sender": "ann", "kind": "text", "content": "why?"}
    brief = await world.say("ann", group, "soon gone", expires_in=5)
    late = await world.say("bob", group, "late", reply_to=brief)
    assert (await one(world, "cat", group, late))["reply_to"]["content"] == "soon gone"
    world.seconds = 5
    assert (await one(world, "cat", group, late))["reply_to"]["content"] is None
    assert (await one(world, "cat", group, answer))["reply_to"] == expected
    await world.hide("cat", group, asked)
    assert (await one(world, "cat", group, answer))["reply_to"] == {**expected, "content": None}
    assert (await one(world, "bob", group, answer))["reply_to"] == expected
    await world.delete("ann", group, asked)
    assert (await one(world, "bob", group, answer))["reply_to"] == {**expected, "content": None}


async def test_a_list_shows_the_newest_reactions_and_ones_own(world: World) -> None:
    users = [f"u{n}" for n in range(60)]
    await world.group("g", *users)
    seq = await world.say("u0", "g", "vote")
    for n, user in enumerate(users):
        world.seconds = n
        await world.react(user, "g", seq, "+1" if n % 2 else "-1")
    [shown] = (await page(world, "u5", "g", after=1))["items"]
    assert shown["reaction_counts"] == {"+1": 30, "-1": 30}
    assert [r["user"] for r in shown["reactions"]] == ["u5", *users[11:]]
    assert shown["reactions"][0] == {"emoji": "+1", "user": "u5", "at": instant(5)}
    [other] = (await page(world, "u30", "g", after=1))["items"]
    assert [r["user"] for r in other["reactions"]] == users[10:]
    assert len((await one(world, "u5", "g", seq))["reactions"]) == 60


async def test_a_new_reaction_replaces_the_old_one(world: World, group: str) -> None:
    seq = await world.say("ann", group, "vote")
    for user, emoji in (("bob", "+1"), ("cat", "-1"), ("bob", "heart")):
        await world.react(user, group, seq, emoji)
    shown = await one(world, "ann", group, seq)
    assert [(r["user"], r["emoji"]) for r in shown["reactions"]] == [
        ("cat", "-1"),
        ("bob", "heart"),
    ]
    await world.react("bob", group, seq, None)
    assert (await one(world, "ann", group, seq))["reaction_counts"] == {"-1": 1}


async def test_media_metadata_comes_from_what_was_uploaded(world: World, group: str) -> None:
    upload = c.UploadMedia(
        media="m1", name="cat.png", mime="image/png", size=9, sha256="0", width=4, height=3
    )
    await world.to_self("ann", upload)
    seq = await world.to_chat("bob", group, c.SendMessage(kind="image", content="", media="m1"))
    expected = {
        "media": "m1",
        "file_name": "cat.png",
        "file_size": 9,
        "mime_type": "image/png",
        "width": 4,
        "height": 3,
        "duration": None,
        "thumbnail": None,
    }
    shown = await one(world, "cat", group, seq)
    assert (shown["content"], shown["metadata"]) == ("", expected)
    await world.destroy("users/ann")
    assert (await one(world, "cat", group, seq))["metadata"] == {**expected, "file_name": None}


async def test_what_is_lost_with_its_key_reads_as_erased(world: World, group: str) -> None:
    seq = await world.say("ann", group, "mine", metadata={"colour": "red"})
    answer = await world.say("bob", group, "yours", reply_to=seq)
    assert (await one(world, "bob", group, seq))["metadata"] == {"colour": "red"}
    await world.destroy("users/ann")
    shown = await one(world, "bob", group, seq)
    assert (shown["content"], shown["metadata"], shown["erased"]) == (None, None, True)
    reply = await one(world, "bob", group, answer)
    assert (reply["content"], "erased" in reply) == ("yours", False)
    assert (reply["reply_to"]["content"], reply["reply_to"]["erased"]) == (None, True)


async def test_history_has_the_earlier_versions(world: World, group: str) -> None:
    seq = await world.say("ann", group, "one", mentions=("bob",))
    reading = await world.reading()
    assert plain(await conversation.history(reading, "bob", group, seq))["items"] == []
    for n, content in enumerate(("two", "three", "four"), 1):
        world.seconds = n
        await world.to_chat("ann", group, c.EditMessage(message=seq, content=content))
    reading = await world.reading()
    whole = plain(await conversation.history(reading, "bob", group, seq))
    assert whole == {
        "items": [
            {"content": "one", "mentions": ["bob"], "at": instant(0)},
            {"content": "two", "mentions": [], "at": instant(1)},
            {"content": "three", "mentions": [], "at": instant(2)},
        ],
        "next": None,
    }
    first = await conversation.history(reading, "bob", group, seq, limit=2)
    assert isinstance(first.next, int)
    rest = await conversation.history(reading, "bob", group, seq, after=first.next, limit=2)
    assert plain([*first.items, *rest.items]) == whole["items"]
    assert (await one(world, "bob", group, seq))["edited_at"] == instant(3)
    await world.delete("ann", group, seq)
    assert plain(await conversation.history(await world.reading(), "bob", group, seq)) == {
        "items": [],
        "next": None,
    }


async def test_an_expired_message_has_no_history(world: World, group: str) -> None:
    seq = await world.say("ann", group, "one", expires_in=5)
    await world.to_chat("ann", group, c.EditMessage(message=seq, content="two"))
    assert len((await conversation.history(await world.reading(), "bob", group, seq)).items) == 1
    world.seconds = 5
    assert not (await conversation.history(await world.reading(), "bob", group, seq)).items


async def test_system_messages_have_no_history(world: World, group: str) -> None:
    with pytest.raises(NotFound, match="message_not_found"):
        await conversation.history(await world.reading(), "bob", group, 1)
