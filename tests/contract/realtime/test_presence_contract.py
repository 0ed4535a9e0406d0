"""What every presence board does. Its clock is the server's, so what is to end is waited for."""

from collections.abc import AsyncIterator, Sequence

import pytest

from projections.realtime import open_presence
from projections.realtime.presence import Change, PresenceBoard, Status
from tests.waiting import until

SHORT = 0.3
ONLINE: Status = "online"
WISHES: Sequence[Status] = ("busy", "away", "offline")


@pytest.fixture
async def board(url: str) -> AsyncIterator[PresenceBoard]:
    board = open_presence(url)
    yield board
    await board.close()


@pytest.fixture
async def brief(url: str) -> AsyncIterator[PresenceBoard]:
    """One on which nothing holds for long."""
    board = open_presence(url, SHORT)
    yield board
    await board.close()


def seen(changes: Sequence[Change]) -> dict[str, Status]:
    assert len({change.user for change in changes}) == len(changes)
    return {change.user: change.status for change in changes}


async def test_who_never_said_anything_is_offline(board: PresenceBoard) -> None:
    assert await board.read(["ann", "bob"]) == {"ann": "offline", "bob": "offline"}
    assert await board.read([]) == {}
    assert await board.put("g1", {}) == []
    assert await board.lapsed(10) == []
    await board.told(["ann"])


async def test_a_change_is_returned_once(board: PresenceBoard) -> None:
    assert seen(await board.put("g1", {"ann": "online", "bob": "away"})) == {
        "ann": "online",
        "bob": "away",
    }
    assert await board.put("g1", {"ann": "online", "bob": "away"}) == []
    assert seen(await board.put("g1", {"ann": "online", "bob": "busy"})) == {"bob": "busy"}
    assert await board.read(["bob", "ann", "cat"]) == {
        "bob": "busy",
        "ann": "online",
        "cat": "offline",
    }


async def test_changes_of_a_user_have_an_order(board: PresenceBoard) -> None:
    seqs = []
    statuses: Sequence[Status | None] = ("online", "away", None, "busy")
    for status in statuses:
        [change] = await board.put("g1", {"ann": status})
        seqs.append(change.seq)
    [change] = await board.wish("ann", "offline")
    seqs.append(change.seq)
    assert seqs == sorted(set(seqs))


async def test_many_gateways_are_one_person(board: PresenceBoard) -> None:
    assert seen(await board.put("g1", {"ann": "away"})) == {"ann": "away"}
    assert seen(await board.put("g2", {"ann": "online"})) == {"ann": "online"}
    assert await board.put("g3", {"ann": "offline"}) == []
    assert seen(await board.put("g4", {"ann": "busy"})) == {"ann": "busy"}
    assert seen(await board.put("g4", {"ann": None})) == {"ann": "online"}
    assert await board.put("g1", {"ann": None}) == []
    assert seen(await board.put("g2", {"ann": None})) == {"ann": "offline"}
    assert await board.put("g3", {"ann": None}) == []
    assert await board.put("g5", {"ann": None}) == []


async def test_a_wish_stands_above_what_devices_say(board: PresenceBoard) -> None:
    await board.put("g1", {"ann": "online"})
    for status in WISHES:
        assert seen(await board.wish("ann", status)) == {"ann": status}
        assert await board.wish("ann", status) == []
        assert await board.put("g1", {"ann": "away"}) == []
        assert await board.put("g2", {"ann": "online"}) == []
        assert await board.put("g2", {"ann": None}) == []
        assert await board.read(["ann"]) == {"ann": status}


async def test_a_wish_outlasts_a_short_absence(board: PresenceBoard) -> None:
    await board.put("g1", {"ann": "online"})
    await board.wish("ann", "busy")
    assert seen(await board.put("g1", {"ann": None})) == {"ann": "offline"}
    assert seen(await board.put("g2", {"ann": "online"})) == {"ann": "busy"}


async def test_the_wish_online_holds_until_a_device_says_otherwise(board: PresenceBoard) -> None:
    await board.put("g1", {"ann": "away"})
    assert seen(await board.wish("ann", "busy")) == {"ann": "busy"}
    assert seen(await board.wish("ann", "online")) == {"ann": "online"}
    assert await board.put("g1", {"ann": "away"}) == []
    assert await board.put("g1", {"ann": "online"}) == []
    assert seen(await board.put("g1", {"ann": "away"})) == {"ann": "away"}


async def test_a_wish_without_a_device(board: PresenceBoard) -> None:
    assert seen(await board.wish("ann", "away")) == {"ann": "away"}
    assert seen(await board.wish("ann", "online")) == {"ann": "online"}
    assert await board.put("g1", {"ann": "online"}) == []
    # From the first device on it is the devices that make one present.
    assert seen(await board.put("g1", {"ann": None})) == {"ann": "offline"}


async def test_entries_end_unless_they_are_renewed(brief: PresenceBoard) -> None:
    await brief.put("g1", {"ann": "busy", "bob": "online"})
    await brief.put("g2", {"ann": "online"})

    changes: list[Change] = []

    async def bobs_has_ended() -> bool:
        # Whoever still says so stays, and the end of another's entry shows when they next do.
        changes.extend(await brief.put("g2", {"ann": "online"}))
        return (await brief.read(["bob"]))["bob"] == "offline"

    await until(bobs_has_ended)
    changes.extend(await brief.put("g2", {"ann": "online"}))
    assert seen(changes) == {"ann": "online"}


async def test_a_wish_ends_some_time_after_the_last_device(brief: PresenceBoard) -> None:
    await brief.put("g1", {"ann": "online"})
    await brief.wish("ann", "busy")
    await brief.put("g1", {"ann": None, "bob": "online"})

    async def as_long_has_passed() -> bool:
        return (await brief.read(["bob"]))["bob"] == "offline"

    await until(as_long_has_passed)
    assert seen(await brief.put("g1", {"ann": "online"})) == {"ann": "online"}


async def test_who_has_lapsed_is_named_until_it_is_told(brief: PresenceBoard) -> None:
    await brief.put("g1", {"ann": "online", "bob": "online", "eve": "offline"})
    await brief.wish("cat", "away")
    await brief.put("g1", {"bob": None})
    named: list[str] = []

    async def twice() -> bool:
        named.extend(change.user for change in await brief.lapsed(10))
        return named.count("ann") >= 2 and named.count("cat") >= 2

    await until(twice)
    assert set(named) == {"ann", "cat"}
    await brief.told(["ann", "cat"])
    named.clear()
    # By the time a newcomer is named, those before would have been again.
    await brief.put("g1", {"dan": "online"})

    async def newcomer() -> bool:
        named.extend(change.user for change in await brief.lapsed(10))
        return "dan" in named

    await until(newcomer)
    assert set(named) == {"dan"}


async def test_who_comes_back_after_lapsing_is_a_change(brief: PresenceBoard) -> None:
    await brief.put("g1", {"ann": "online"})
    lapsed: list[Change] = []

    async def named() -> bool:
        lapsed.extend(await brief.lapsed(10))
        return bool(lapsed)

    await until(named)
    [change] = await brief.put("g1", {"ann": "online"})
    assert change.status == "online"
    assert change.seq > lapsed[0].seq
    await brief.told(["ann"])
    assert await brief.read(["ann"]) == {"ann": "online"}


async def test_who_lapses_is_told_by_whoever_finds_it_first(brief: PresenceBoard) -> None:
    await brief.put("g1", {"ann": "online"})

    async def has_lapsed() -> bool:
        return (await brief.read(["ann"]))["ann"] == "offline"

    await until(has_lapsed)
    assert seen(await brief.put("g2", {"ann": None})) == {"ann": "offline"}
    assert await brief.put("g2", {"ann": None}) == []
    assert await brief.lapsed(10) == []


async def test_no_more_are_named_than_asked_for(brief: PresenceBoard) -> None:
    users = [f"u{number}" for number in range(25)]
    await brief.put("g1", dict.fromkeys(users, ONLINE))
    named: set[str] = set()

    async def all_named() -> bool:
        changes = await brief.lapsed(10)
        assert len(changes) <= 10
        named.update(change.user for change in changes)
        await brief.told([change.user for change in changes])
        return len(named) == len(users)

    await until(all_named)


async def test_many_at_once(board: PresenceBoard) -> None:
    statuses = {f"u{number}": WISHES[number % 2] for number in range(1000)}
    assert seen(await board.put("g1", statuses)) == statuses
    assert await board.put("g1", statuses) == []
    assert await board.read(list(statuses)) == statuses
    assert len(await board.put("g1", dict.fromkeys(statuses))) == 1000
