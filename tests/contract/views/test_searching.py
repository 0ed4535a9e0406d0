"""Message search: what is found, by whom, in which order."""

from typing import Any

import pytest

from domain import commands as c
from domain.ids import direct_chat_id, group_id
from projections.search_query import parse_query
from projections.views import searching
from projections.views.reading import NotFound
from tests.contract.views.world import World, instant, plain

GROUP = group_id("a group")
DIRECT = direct_chat_id("ann", "bob")


async def search(world: World, user: str, query: str, **asked: Any) -> list[str | None]:
    """The contents of what is found."""
    found = await searching.messages(await world.reading(), user, parse_query(query), **asked)
    return [one.message.content for one in found.items]


@pytest.fixture(autouse=True)
async def chats(world: World) -> None:
    await world.register("ann", "bob", "cat")
    await world.group(GROUP, "ann", "bob", "cat")
    await world.direct(DIRECT, "ann", "bob")


async def say(world: World, user: str, chat: str, *contents: str) -> list[int]:
    """Say something every second."""
    seqs = []
    for content in contents:
        world.seconds += 1
        seqs.append(await world.say(user, chat, content))
    return seqs


async def test_a_row_has_the_published_form(world: World) -> None:
    [seq] = await say(world, "ann", DIRECT, "Le café est très bon, le CAFÉ")
    found = await searching.messages(await world.reading(), "bob", parse_query("cafe tre"))
    [row] = plain(found)["items"]
    assert (row["message"]["seq"], row["message"]["chat"]) == (seq, DIRECT)
    assert (row["chat"]["id"], row["chat"]["kind"]) == (DIRECT, "direct")
    assert [member["user"] for member in row["chat"]["members"]] == ["ann", "bob"]
    content = row["message"]["content"]
    assert [content[start:end] for start, end in row["highlights"]] == ["café", "très", "CAFÉ"]


async def test_all_words_must_match_the_last_one_as_a_prefix(world: World) -> None:
    await say(world, "ann", GROUP, "red reefs", "red", "reefs", "a reed is red")
    assert await search(world, "bob", "red ree") == ["a reed is red", "red reefs"]
    assert await search(world, "bob", "ree red") == []
    assert await search(world, "bob", "r") == []


async def test_only_chats_one_is_in_now_are_searched(world: World) -> None:
    await say(world, "ann", GROUP, "red group")
    await say(world, "ann", DIRECT, "red pair")
    assert await search(world, "ann", "red") == ["red pair", "red group"]
    assert await search(world, "cat", "red") == ["red group"]
    assert await search(world, "eve", "red") == []
    await world.leave("bob", GROUP)
    assert await search(world, "bob", "red") == ["red pair"]
    assert await search(world, "bob", f"red in:{GROUP}") == []
    with pytest.raises(NotFound, match="chat_not_found"):
        await search(world, "bob", "red", chat=GROUP)


async def test_a_search_can_be_of_one_chat(world: World) -> None:
    await say(world, "ann", GROUP, "red group")
    await say(world, "ann", DIRECT, "red pair")
    assert await search(world, "ann", "red", chat=GROUP) == ["red group"]
    assert await search(world, "ann", f"red in:{DIRECT}") == ["red pair"]
    assert await search(world, "ann", f"red in:{DIRECT}", chat=GROUP) == []


async def test_filters(world: World) -> None:
    await say(world, "ann", GROUP, "red", "see http://red.example")
    await say(world, "bob", GROUP, "red")
    upload = c.UploadMedia(media="m1", name="a.png", mime="image/png", size=1, sha256="0")
    await world.to_self("cat", upload)
    world.seconds += 1
    picture = c.SendMessage(kind="image", content="red picture", media="m1")
    await world.to_chat("cat", GROUP, picture)
    assert await search(world, "ann", "red from:bob") == ["red"]
    assert len(await search(world, "ann", "red from:bob from:cat")) == 2
    assert await search(world, "ann", "red has:link") == ["see http://red.example"]
    assert await search(world, "ann", "has:media") == ["red picture"]
    assert await search(world, "ann", "has:image from:cat") == ["red picture"]
    assert await search(world, "ann", "has:video") == []
    assert await search(world, "ann", f"after:{instant(3)}") == ["red picture", "red"]
    assert await search(world, "ann", f"before:{instant(2)}") == ["red"]
    assert await search(world, "ann", f"after:{instant(2)} before:{instant(3)}") == [
        "see http://red.example"
    ]


async def test_what_one_may_not_see_is_not_found(world: World) -> None:
    hidden, deleted, _ = await say(world, "ann", GROUP, "red one", "red two", "red three")
    await world.hide("bob", GROUP, hidden)
    await world.delete("ann", GROUP, deleted)
    await world.say("ann", GROUP, "red four", expires_in=5)
    for query in ("red", "from:ann"):
        for sort in ("recent", "relevance"):
            found = await search(world, "bob", query, sort=sort)
            assert found == ["red four", "red three"]
    world.seconds += 5
    assert await search(world, "bob", "red") == ["red three"]
    assert await search(world, "cat", "from:ann") == ["red three", "red one"]


async def test_since_joined_nothing_older_is_found(world: World) -> None:
    chat = group_id("since joined")
    await world.group(chat, "ann", history="since_joined")
    await say(world, "ann", chat, "red before")
    await world.add("ann", chat, "bob")
    # At the same instant as the joining, but after it.
    await world.say("ann", chat, "red after")
    for asked in ({}, {"chat": chat}):
        assert await search(world, "bob", "red", **asked) == ["red after"]
    assert await search(world, "ann", "red") == ["red after", "red before"]


async def test_an_edited_message_is_found_by_its_new_words(world: World) -> None:
    [seq] = await say(world, "ann", GROUP, "red")
    await world.to_chat("ann", GROUP, c.EditMessage(message=seq, content="blue"))
    assert (await search(world, "bob", "red"), await search(world, "bob", "blue")) == ([], ["blue"])


async def test_what_is_lost_with_its_key_is_not_found(world: World) -> None:
    await say(world, "ann", GROUP, "red ann")
    await say(world, "bob", GROUP, "red bob")
    assert await search(world, "cat", "red") == ["red bob", "red ann"]
    await world.destroy("users/ann")
    for sort in ("recent", "relevance"):
        assert await search(world, "cat", "red", sort=sort) == ["red bob"]


async def test_pages_are_full_whatever_lies_between(world: World) -> None:
    seqs = await say(world, "ann", GROUP, *(f"red {n}" for n in range(30)))
    for seq in seqs[3:28]:
        await world.hide("bob", GROUP, seq)
    reading = await world.reading()
    query = parse_query("red")
    for sort in ("recent", "relevance"):
        place = None
        found: list[str | None] = []
        for expected in (2, 2, 1):
            page = await searching.messages(reading, "bob", query, sort=sort, after=place, limit=2)
            assert len(page.items) == expected
            found += [one.message.content for one in page.items]
            assert isinstance(page.next, tuple) is (expected == 2)
            place = page.next if isinstance(page.next, tuple) else None
        assert found == ["red 29", "red 28", "red 2", "red 1", "red 0"]


async def test_relevance_is_occurrences_by_length_then_the_newest(world: World) -> None:
    await say(world, "ann", GROUP, "red", "red red blue", "red and blue", "reddish", "blue and red")
    assert await search(world, "bob", "red", sort="relevance") == [
        "reddish",
        "red",
        "red red blue",
        "blue and red",
        "red and blue",
    ]
    assert await search(world, "bob", "red blue", sort="relevance") == [
        "red red blue",
        "blue and red",
        "red and blue",
    ]


async def test_messages_of_one_instant_keep_one_order(world: World) -> None:
    for n in range(4):
        await world.say("ann", GROUP, f"red {n}")
        await world.say("ann", DIRECT, f"red {n}")
    reading = await world.reading()
    whole = await searching.messages(reading, "bob", parse_query("red"))
    places = [(one.message.chat, one.message.seq) for one in whole.items]
    assert places == sorted(places, reverse=True)
    first = await searching.messages(reading, "bob", parse_query("red"), limit=3)
    assert isinstance(first.next, tuple)
    rest = await searching.messages(reading, "bob", parse_query("red"), after=first.next)
    assert [*first.items, *rest.items] == whole.items
