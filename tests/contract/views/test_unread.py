"""The number of unread messages is exact, whatever befalls them."""

import dataclasses
from typing import Any, cast

import pytest

from domain import commands as c
from projections.store.port import ReadStore
from projections.views.access import access_to
from projections.views.unread import unread
from tests.contract.views.world import World


async def count(world: World, user: str, chat: str = "g") -> int:
    reading = await world.reading()
    return (await unread(reading, [await access_to(reading, user, chat)]))[chat]


@pytest.fixture
async def group(world: World) -> str:
    await world.register("ann", "bob", "cat")
    await world.group("g", "ann", "bob")
    return "g"


async def test_what_others_said_after_the_mark_is_unread(world: World, group: str) -> None:
    assert await count(world, "bob") == 0
    seqs = [await world.say("ann", group, "hello") for _ in range(4)]
    assert (await count(world, "bob"), await count(world, "ann")) == (4, 0)
    await world.read("bob", group, seqs[1])
    assert await count(world, "bob") == 2
    await world.receive("bob", group, seqs[3])
    assert await count(world, "bob") == 2
    await world.read("bob", group, seqs[3])
    assert await count(world, "bob") == 0


async def test_sending_by_hand_reads_and_a_scheduled_one_does_not(world: World, group: str) -> None:
    await world.say("ann", group, "one")
    await world.say("bob", group, "by the clock", schedule="s1")
    await world.say("ann", group, "two")
    # One's own scheduled message is not unread, whatever it is besides.
    assert await count(world, "bob") == 2
    await world.say("bob", group, "by hand")
    assert await count(world, "bob") == 0
    await world.say("ann", group, "three", schedule="s2")
    assert await count(world, "bob") == 1


async def test_system_messages_and_reactions_are_never_unread(world: World, group: str) -> None:
    seq = await world.say("bob", group, "mine")
    await world.add("ann", group, "cat")
    await world.react("ann", group, seq, "+1")
    assert await count(world, "bob") == 0


async def test_what_was_there_before_joining_is_read(world: World, group: str) -> None:
    for _ in range(3):
        await world.say("ann", group, "before")
    await world.add("ann", group, "cat")
    assert await count(world, "cat") == 0
    await world.say("ann", group, "after")
    assert await count(world, "cat") == 1
    await world.leave("cat", group)
    await world.say("ann", group, "meanwhile")
    await world.add("ann", group, "cat")
    assert await count(world, "cat") == 0


async def test_a_mark_may_stand_between_messages(world: World, group: str) -> None:
    seq = await world.say("ann", group, "one")
    reaction = await world.react("ann", group, seq, "+1")
    await world.say("ann", group, "two")
    await world.read("bob", group, reaction)
    assert await count(world, "bob") == 1


async def test_a_mark_before_all_messages_leaves_them_unread(world: World, group: str) -> None:
    renamed = await world.to_chat("ann", group, c.ChangeChat(name="x"), key="chats/g")
    await world.say("ann", group, "one")
    await world.read("bob", group, renamed)
    assert await count(world, "bob") == 1


async def test_nothing_is_taken_off_twice(world: World, group: str) -> None:
    deleted = await world.say("ann", group, "deleted")
    hidden = await world.say("ann", group, "hidden")
    both = await world.say("ann", group, "hidden, then deleted")
    own = await world.say("bob", group, "own, hidden, deleted", schedule="s1")
    expiring = await world.say("ann", group, "hidden, then expired", expires_in=5)
    await world.say("ann", group, "expired", expires_in=5)
    own_expiring = c.SendMessage(kind="text", content="own", schedule="s2", expires_in=5)
    await world.to_chat("bob", group, own_expiring)
    await world.say("ann", group, "stays")
    assert await count(world, "bob") == 6
    for seq in (hidden, both, own, expiring):
        await world.hide("bob", group, seq)
    assert await count(world, "bob") == 3
    await world.delete("ann", group, deleted)
    await world.delete("ann", group, both)
    await world.delete("bob", group, own)
    assert await count(world, "bob") == 2
    world.seconds = 5
    assert await count(world, "bob") == 1
    await world.to_chat("system", group, c.ExpireMessage(message=expiring), rights="system")
    assert await count(world, "bob") == 1


async def test_exceptions_before_the_mark_do_not_count(world: World, group: str) -> None:
    old = [await world.say("ann", group, "old", expires_in=5) for _ in range(3)]
    await world.hide("bob", group, old[0])
    await world.delete("ann", group, old[1])
    await world.read("bob", group, old[2])
    newer = await world.say("ann", group, "newer", expires_in=5)
    for _ in range(2):
        await world.say("ann", group, "newest")
    world.seconds = 5
    assert await count(world, "bob") == 2
    await world.hide("bob", group, newer + 1)
    await world.delete("ann", group, newer + 1)
    assert await count(world, "bob") == 1


async def test_exceptions_may_come_in_any_order(world: World, group: str) -> None:
    seqs = [await world.say("ann", group, f"number {n}") for n in range(5)]
    await world.read("bob", group, seqs[1])
    await world.delete("ann", group, seqs[3])
    await world.delete("ann", group, seqs[0])
    assert await count(world, "bob") == 2
    await world.hide("bob", group, seqs[4])
    await world.hide("bob", group, seqs[1])
    assert await count(world, "bob") == 1


async def test_a_hidden_system_message_takes_nothing_off(world: World, group: str) -> None:
    await world.say("ann", group, "one")
    added = await world.add("ann", group, "cat")
    await world.say("ann", group, "two")
    await world.hide("bob", group, added)
    assert await count(world, "bob") == 2


async def test_a_message_expires_at_its_instant(world: World, group: str) -> None:
    await world.say("ann", group, "secret", expires_in=5)
    world.seconds = 4.999
    assert await count(world, "bob") == 1
    world.seconds = 5
    assert await count(world, "bob") == 0


async def test_many_chats_are_counted_at_once(world: World, group: str) -> None:
    await world.group("h", "bob", "ann")
    await world.direct("d", "ann", "bob")
    for chat, messages in ((group, 2), ("h", 3), ("d", 1)):
        for _ in range(messages):
            await world.say("ann", chat, "hello")
    reading = await world.reading()
    accesses = [await access_to(reading, "bob", chat) for chat in (group, "h", "d")]
    assert await unread(reading, accesses) == {group: 2, "h": 3, "d": 1}


class Meanwhile:
    """A read store in which something happens just before one of the questions."""

    def __init__(self, world: World, before: int) -> None:
        self._world = world
        self._before = before
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        async def ask(*question: Any) -> Any:
            if self.asked == self._before:
                await self._world.fold()
            self.asked += 1
            return await getattr(self._world.store, name)(*question)

        return ask


async def end(world: World, chat: str, message: int, how: str) -> None:
    """End a message that does not count any more, without folding that yet."""
    if how == "deleted":
        await world.delete("ann", chat, message)
    else:
        await world.to_chat("ann", chat, c.ExpireMessage(message=message), rights="system")


@pytest.mark.parametrize("how", ["deleted", "expired"])
async def test_what_ends_between_two_questions_is_taken_off_once(world: World, how: str) -> None:
    await world.register("ann", "bob")
    before, asked = 0, 1
    while before < asked:
        chat = f"chat-{before}"
        await world.group(chat, "ann", "bob")
        await world.say("ann", chat, "counts")
        expires_in = 5 if how == "expired" else None
        message = await world.say("ann", chat, "does not", expires_in=expires_in)
        if how == "deleted":
            await world.hide("bob", chat, message)
        world.seconds += 10
        reading = await world.reading()
        access = await access_to(reading, "bob", chat)
        await end(world, chat, message, how)
        store = Meanwhile(world, before)
        counts = await unread(dataclasses.replace(reading, store=cast(ReadStore, store)), [access])
        assert counts == {chat: 1}, before
        before, asked = before + 1, store.asked
    assert before > 2
