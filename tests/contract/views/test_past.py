"""A past moment shows what was shown then, whatever has happened since."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from domain import commands as c
from domain.envelope import encode
from domain.ids import chat_stream
from projections.audit import past as past_module
from projections.audit.past import TooMuch, chat_as_of, inbox_as_of, past
from projections.views import chats, conversation, inbox
from projections.views.reading import NotFound
from tests.contract.views.test_readers_agree import USERS, Readers
from tests.contract.views.world import World, plain


class Log:
    """The world's log, stream by stream."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def read_stream(self, stream: str, after: int, limit: int) -> list[bytes]:
        return [encode(e) for e in self._world.events_of(stream)[after : after + limit]]


class Shown(NamedTuple):
    """What a user was shown at an instant."""

    user: str
    at: str
    inbox: Any
    chats: dict[str, Any]


async def shown_now(world: World, user: str) -> Shown:
    reading = await world.reading()
    made = [stream.split("/")[1] for stream in world.states if stream.startswith("chats/")]
    seen = {}
    for chat in made:
        try:
            seen[chat] = plain(
                [
                    await chats.one(reading, user, chat),
                    await conversation.page(reading, user, chat, limit=7),
                ]
            )
        except NotFound:
            seen[chat] = None
    return Shown(user, world.now, plain(await inbox.page(reading, user, limit=7)), seen)


async def shown_as_of(world: World, then: Shown) -> Shown:
    await world.fold()
    seen: dict[str, Any] = {}
    async with past(Log(world), world.store, world.vault, then.at) as moment:
        for chat in then.chats:
            try:
                found = await chat_as_of(moment, then.user, chat, limit=7)
                seen[chat] = plain([found.chat, found.messages])
            except NotFound:
                seen[chat] = None
        rows = plain((await inbox_as_of(moment, then.user, limit=7)).inbox)
    return Shown(then.user, then.at, rows, seen)


class Rememberers(Readers):
    """Views are kept now and then, and asked for again at the end."""

    def __init__(self, store_url: str) -> None:
        super().__init__(store_url)
        self.kept: list[Shown] = []

    @rule(user=st.sampled_from(USERS))
    def keep(self, user: str) -> None:
        self.kept.append(self.wait(shown_now(self.world, user)))
        # What happens in the same millisecond belongs to the same moment.
        self.world.seconds += 0.001

    async def erase(self, *_: object) -> None:
        """What is erased can't be shown as it was."""

    def teardown(self) -> None:
        for shown in self.kept[:3]:
            assert self.wait(shown_as_of(self.world, shown)) == shown
        super().teardown()


def test_the_past(new_store_url: Callable[[], str]) -> None:
    # Questions to a server take some ten times as long.
    examples = 10 if new_store_url().startswith("sqlite:") else 2
    run_state_machine_as_test(
        cast(Any, lambda: Rememberers(new_store_url())),
        settings=settings(
            max_examples=examples,
            stateful_step_count=10,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


async def test_what_was_deleted_edited_and_left_since_is_there(world: World) -> None:
    await world.register("ann", "bob")
    await world.group("g", "ann", "bob")
    first = await world.say("ann", "g", "first")
    second = await world.say("ann", "g", "second", expires_in=100)
    await world.read("bob", "g", first)
    then = await shown_now(world, "bob")
    world.seconds += 50
    await world.react("ann", "g", second, "+1")
    await world.delete("ann", "g", first)
    world.seconds += 100
    await world.leave("bob", "g")
    await world.to_self("ann", c.PutProfile(name="Anna"))
    assert (await shown_now(world, "bob")).chats == {"g": None}
    again = await shown_as_of(world, then)
    assert again == then
    assert [m["content"] for m in again.chats["g"][1]["items"][1:]] == ["first", "second"]
    assert (again.inbox["items"][0]["unread"], again.inbox["items"][0]["read_up_to"]) == (1, first)


async def test_before_there_was_a_user_or_chat_there_is_none(world: World) -> None:
    before = world.now
    world.seconds += 1
    await world.register("ann")
    await world.group("g", "ann")
    await world.fold()
    async with past(Log(world), world.store, world.vault, before) as moment:
        with pytest.raises(NotFound, match="user_not_found"):
            await inbox_as_of(moment, "ann")
        with pytest.raises(NotFound, match="chat_not_found"):
            await chat_as_of(moment, "ann", "g")


async def test_it_costs_so_much_and_no_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.register("ann")
    await world.group("g", "ann")
    for _ in range(4):
        await world.say("ann", "g", "x")
    await world.fold()
    events = len(world.events_of(chat_stream("g"))) + 1
    for most, enough in ((events, True), (events - 1, False)):
        monkeypatch.setattr(past_module, "MOST", most)
        async with past(Log(world), world.store, world.vault, world.now) as moment:
            if enough:
                await chat_as_of(moment, "ann", "g")
            else:
                with pytest.raises(TooMuch):
                    await chat_as_of(moment, "ann", "g")
