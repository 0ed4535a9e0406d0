"""Sent, delivered, read: for each message, and for whom and when."""

from typing import Any

import pytest

from domain.ids import chat_stream
from projections.views import conversation, receipts
from projections.views.reading import NotFound
from projections.views.shapes import ChatReceipt
from tests.contract.views.world import World, instant, plain


async def status(world: World, chat: str, seq: int, user: str = "ann") -> str:
    return (await conversation.one(await world.reading(), user, chat, seq)).status


async def of_message(world: World, chat: str, seq: int) -> dict[str, tuple[Any, Any]]:
    listing = await receipts.of_message(await world.reading(), "ann", chat, seq)
    return {one.user: (one.delivered_at, one.read_at) for one in listing.items}


@pytest.fixture
async def group(world: World) -> str:
    await world.register("ann", "bob", "cat")
    await world.group("g", "ann", "bob", "cat")
    return "g"


async def test_a_message_is_delivered_and_read_once_all_others_have_it(
    world: World, group: str
) -> None:
    seq = await world.say("ann", group, "hello")
    assert await status(world, group, seq) == "sent"
    await world.receive("bob", group, seq)
    assert await status(world, group, seq) == "sent"
    await world.receive("cat", group, seq)
    assert await status(world, group, seq) == "delivered"
    await world.read("bob", group, seq)
    assert await status(world, group, seq) == "delivered"
    await world.read("cat", group, seq)
    assert await status(world, group, seq) == "read"


async def test_a_read_mark_and_sending_by_hand_deliver(world: World, group: str) -> None:
    seq = await world.say("ann", group, "hello")
    await world.read("bob", group, seq)
    await world.say("cat", group, "by the clock", schedule="s1")
    assert await status(world, group, seq) == "sent"
    await world.say("cat", group, "by hand")
    assert await status(world, group, seq) == "delivered"


async def test_the_sender_does_not_count_and_joining_is_no_receipt(
    world: World, group: str
) -> None:
    first = await world.say("ann", group, "hello")
    await world.read("bob", group, first)
    await world.add("ann", group, "eve")
    second = await world.say("ann", group, "hello all")
    await world.read("cat", group, first)
    assert await status(world, group, first) == "read"
    for user in ("bob", "cat"):
        await world.read(user, group, second)
    assert await status(world, group, second) == "sent"
    assert await status(world, group, second, "eve") == "sent"


async def test_the_slowest_of_the_others_counts(world: World) -> None:
    users = [f"u{n}" for n in range(6)]
    await world.register(*users)
    await world.group("g", *users)
    # At 2 to 7, each by the next user, who so has what came before.
    seqs = [await world.say(user, "g", "hello") for user in users]
    for user, up_to in zip(users, (5, 3, 7, 4, 7, 6), strict=True):
        await world.read(user, "g", up_to)
    await world.receive("u1", "g", 7)
    statuses = [await status(world, "g", seq, "u0") for seq in seqs]
    # u1, who has read the least, is the sender of the second.
    assert statuses == ["read", "read", "delivered", "delivered", "sent", "sent"]
    late = await world.say("u1", "g", "again")
    for user in users:
        await world.receive(user, "g", late)
    await world.read("u5", "g", late)
    assert await status(world, "g", late, "u0") == "delivered"


async def test_who_left_or_came_back_later_does_not_count(world: World, group: str) -> None:
    seq = await world.say("ann", group, "hello")
    await world.read("bob", group, seq)
    await world.leave("cat", group)
    assert await status(world, group, seq) == "read"
    await world.add("ann", group, "cat")
    assert await status(world, group, seq) == "read"


async def test_with_nobody_else_a_message_stays_sent(world: World) -> None:
    await world.register("bob")
    await world.group("g", "ann")
    seq = await world.say("ann", "g", "to myself")
    await world.add("ann", "g", "bob")
    await world.read("bob", "g", seq)
    assert await status(world, "g", seq) == "sent"


async def test_a_message_of_who_left_is_read_by_the_others(world: World, group: str) -> None:
    seq = await world.say("cat", group, "bye")
    await world.leave("cat", group)
    await world.read("bob", group, seq)
    assert await status(world, group, seq) == "sent"
    await world.read("ann", group, seq)
    assert await status(world, group, seq) == "read"


async def test_who_had_it_when_first(world: World, group: str) -> None:
    one = await world.say("ann", group, "one")
    two = await world.say("ann", group, "two")
    three = await world.say("ann", group, "three")
    world.seconds = 1
    await world.receive("bob", group, two)
    world.seconds = 2
    await world.read("bob", group, one)
    world.seconds = 3
    await world.read("bob", group, three)
    world.seconds = 4
    for n in range(3):
        await world.say("cat", group, "by the clock", schedule=f"s{n}")
    world.seconds = 5
    await world.say("cat", group, "by hand")
    world.seconds = 6
    await world.say("cat", group, "by hand again")
    assert await of_message(world, group, one) == {
        "bob": (instant(1), instant(2)),
        "cat": (instant(5), None),
    }
    assert await of_message(world, group, two) == {
        "bob": (instant(1), instant(3)),
        "cat": (instant(5), None),
    }
    assert (await of_message(world, group, three))["bob"] == (instant(3), instant(3))


async def test_receipts_name_those_who_have_not_got_it(world: World, group: str) -> None:
    seq = await world.say("ann", group, "hello")
    await world.add("ann", group, "eve")
    assert await of_message(world, group, seq) == {"bob": (None, None), "cat": (None, None)}


async def test_marks_of_every_member(world: World, group: str) -> None:
    one = await world.say("ann", group, "one")
    two = await world.say("ann", group, "two")
    await world.receive("bob", group, two)
    await world.read("bob", group, one)
    listing = await receipts.of_chat(await world.reading(), "cat", group)
    assert plain(listing) == {
        "items": [
            {"user": "ann", "delivered_up_to": two, "read_up_to": 0},
            {"user": "bob", "delivered_up_to": two, "read_up_to": one},
            {"user": "cat", "delivered_up_to": 0, "read_up_to": 0},
        ],
        "next": None,
    }


async def test_marks_never_go_back_by_leaving_and_coming_back(world: World, group: str) -> None:
    seq = await world.say("bob", group, "by hand")
    await world.leave("bob", group)
    await world.add("ann", group, "bob")
    listing = await receipts.of_chat(await world.reading(), "ann", group)
    assert listing.items[-1] == ChatReceipt(user="bob", delivered_up_to=seq, read_up_to=0)


async def test_receipts_are_for_members_and_of_messages(world: World, group: str) -> None:
    seq = await world.say("ann", group, "hello")
    await world.hide("bob", group, seq)
    reading = await world.reading()
    for user, place, code in (
        ("eve", seq, "chat_not_found"),
        ("bob", seq, "message_not_found"),
        ("ann", 1, "message_not_found"),
        ("ann", world.head(chat_stream(group)) + 1, "message_not_found"),
    ):
        with pytest.raises(NotFound, match=code):
            await receipts.of_message(reading, user, group, place)
    with pytest.raises(NotFound, match="chat_not_found"):
        await receipts.of_chat(reading, "eve", group)
