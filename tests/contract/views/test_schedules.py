"""The list of one's own scheduled messages, and what is left of them once they are sent."""

from typing import Any

import pytest

from domain import commands as c
from domain.ids import user_stream
from projections.feed import FEED
from projections.schedules import SCHEDULES
from projections.store.port import Scan
from projections.views import feeds, schedules
from projections.views.reading import NotFound
from projections.views.schedules import FAILED_FOR
from tests.contract.views.world import World, instant, plain

pytestmark = pytest.mark.usefixtures("group")


@pytest.fixture
async def group(world: World) -> None:
    await world.register("ann", "bob")
    await world.group("g", "ann", "bob")


async def schedule(world: World, id: str, due: float, **fields: Any) -> None:
    given: dict[str, Any] = {"chat": "g", "kind": "text", "content": f"about {id}"}
    action = c.ScheduleMessage(schedule=id, due=instant(due), **(given | fields))
    await world.to_self("ann", action)


async def fire(world: World, id: str, due: float, **outcome: Any) -> None:
    world.seconds = max(world.seconds, due)
    for action in (
        c.ClaimSchedule(schedule=id, due=instant(due)),
        c.FireSchedule(schedule=id, **outcome),
    ):
        done = await world.do("system", user_stream("ann"), action, rights="system")
        assert done.status == "accepted"


async def listed(world: World, user: str = "ann", **more: Any) -> list[Any]:
    page = plain(await schedules.page(await world.reading(), user, **more))
    return [one["id"] for one in page["items"]]


async def test_it_shows_what_will_be_sent(world: World) -> None:
    fields = {"reply_to": 7, "mentions": ("bob",), "expires_in": 60, "metadata": {"a": 1}}
    await schedule(world, "s", 10, **fields)
    shown = plain(await schedules.one(await world.reading(), "ann", "s"))
    assert shown == {
        "id": "s",
        "chat": "g",
        "scheduled_for": instant(10),
        "status": "scheduled",
        "kind": "text",
        "content": "about s",
        **fields,
        "mentions": ["bob"],
        "seq": None,
        "code": None,
    }


async def test_media_are_named(world: World) -> None:
    await schedule(world, "s", 10, kind="image", media="m", content="")
    shown = plain(await schedules.one(await world.reading(), "ann", "s"))
    assert (shown["metadata"], shown["content"]) == ({"media": "m"}, "")


async def test_the_list_goes_by_time_and_is_ones_own(world: World) -> None:
    for id, due in (("d", 30), ("b", 20), ("a", 20), ("c", 20)):
        await schedule(world, id, due)
    assert await listed(world) == ["a", "b", "c", "d"]
    assert await listed(world, "bob") == []
    reading = await world.reading()
    seen: list[str] = []
    after = None
    for _ in range(4):
        page = await schedules.page(reading, "ann", after=after, limit=1)
        seen += [one.id for one in page.items]
        assert page.next is None or isinstance(page.next, tuple)
        after = page.next
    assert (seen, after) == (["a", "b", "c", "d"], None)
    with pytest.raises(NotFound, match="schedule_not_found"):
        await schedules.one(reading, "bob", "a")


async def test_it_moves_when_it_is_put_off(world: World) -> None:
    await schedule(world, "a", 10)
    await schedule(world, "b", 20)
    change = c.ChangeSchedule(schedule="a", due=instant(30), content="later")
    await world.to_self("ann", change)
    assert await listed(world) == ["b", "a"]
    shown = await schedules.one(await world.reading(), "ann", "a")
    assert (shown.scheduled_for, shown.content) == (instant(30), "later")


async def test_what_was_sent_or_cancelled_is_no_longer_listed(world: World) -> None:
    for id in ("a", "b", "c"):
        await schedule(world, id, 10)
    await world.to_self("ann", c.CancelSchedule(schedule="a"))
    await fire(world, "b", 10, seq=2)
    assert await listed(world) == ["c"]
    reading = await world.reading()
    cancelled = await schedules.one(reading, "ann", "a")
    sent = await schedules.one(reading, "ann", "b")
    assert (cancelled.status, cancelled.seq) == ("cancelled", None)
    assert (sent.status, sent.seq) == ("sent", 2)
    assert {cancelled.content, sent.content} == {None}


async def test_what_could_not_be_sent_is_listed_for_a_week(world: World) -> None:
    await schedule(world, "a", 10)
    await schedule(world, "b", 20)
    await fire(world, "a", 10, refusal="chat_not_found")
    shown = await schedules.one(await world.reading(), "ann", "a")
    assert (shown.status, shown.code, shown.content) == ("failed", "chat_not_found", "about a")
    world.seconds = 10 + FAILED_FOR
    assert await listed(world) == ["a", "b"]
    world.seconds = 10.001 + FAILED_FOR
    assert await listed(world) == ["b"]


@pytest.mark.parametrize("cancelled", [False, True])
async def test_no_copy_of_the_text_stays_behind(world: World, cancelled: bool) -> None:
    """What was sent stands in the chat and goes there; its schedule must not keep it."""
    await schedule(world, "s", 10)
    await world.fold()
    await world.to_self("ann", c.ChangeSchedule(schedule="s", content="new"))
    feed = await feeds.of_user(await world.reading(), "ann")
    assert [e.data["content"] for e in feed.items[1:]] == ["about s", "new"]  # type: ignore[call-overload]
    if cancelled:
        await world.to_self("ann", c.CancelSchedule(schedule="s"))
    else:
        await fire(world, "s", 10, seq=2)
    reading = await world.reading()
    [items] = await world.store.scan(FEED, [Scan(("users/ann",))])
    assert [bytes(item.data) for item in items[1:3]] == [b'{"kind":"text"}', b"{}"]
    shown = plain((await feeds.of_user(reading, "ann")).items)
    assert [e.get("redacted") for e in shown[1:4]] == [True, True, None]
    missed = await feeds.missed(reading, "ann", {"users/ann": 1})
    assert plain(missed.events) == shown[1:]
    [[kept]] = await world.store.scan(SCHEDULES, [Scan()])
    assert (kept.content, kept.metadata, kept.waiting) == (None, None, False)


async def test_a_key_that_is_gone_reads_as_erased(world: World) -> None:
    await schedule(world, "s", 10)
    await world.destroy(user_stream("ann"))
    shown = await schedules.one(await world.reading(), "ann", "s")
    assert (shown.content, shown.erased) == (None, True)
