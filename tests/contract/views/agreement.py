"""Every answer to one user, compared with the brute-force reader's."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from domain.ids import chat_stream, user_stream
from projections.search_query import parse_query
from projections.views import (
    chats,
    conversation,
    feeds,
    inbox,
    media,
    notifications,
    people,
    receipts,
    schedules,
    searching,
)
from projections.views.reading import NotFound, Reading
from projections.views.shapes import Listing, Place
from tests.contract.views.brute_force import BruteForce, Query
from tests.contract.views.world import plain


async def all_agrees(reading: Reading, brute: BruteForce, user: str, limit: int) -> None:
    """Lists are read whole and in pages of `limit`.

    Raises:
        AssertionError: an answer differs.
    """
    await _inbox_agrees(reading, brute, user, limit)
    for chat in brute.chats:
        if brute.member(user, chat) is None:
            await _nothing_is_seen(reading, user, chat)
        else:
            await _chat_agrees(reading, brute, user, chat, limit)
    await _media_agrees(reading, brute, user)
    await _notifications_agree(reading, brute, user, limit)
    await _search_agrees(reading, brute, user, limit)
    await _feeds_agree(reading, brute, user, limit)
    await _schedules_agree(reading, brute, user, limit)
    everyone = [event.id for event in brute.log if event.type == "user.registered"]
    profiles = plain(await people.profiles(reading, user, everyone))
    assert profiles == [brute.profile(user, one) for one in everyone]


async def _walk(ask: Callable[[Any], Awaitable[Listing[Any]]]) -> list[Any]:
    """All pages of a list, one after another."""
    found: list[Any] = []
    place: int | Place | None = None
    while True:
        page = await ask(place)
        found += plain(page.items)
        if page.next is None:
            return found
        place = page.next


async def _inbox_agrees(reading: Reading, brute: BruteForce, user: str, limit: int) -> None:
    expected = brute.inbox(user)
    assert plain((await inbox.page(reading, user)).items) == expected
    paged = await _walk(lambda after: inbox.page(reading, user, after=after, limit=limit))
    assert paged == expected
    for archived in (True, False):
        rows = plain((await inbox.page(reading, user, archived=archived)).items)
        assert rows == [row for row in expected if row["archived"] == archived]


async def _notifications_agree(reading: Reading, brute: BruteForce, user: str, limit: int) -> None:
    expected = brute.notifications(user)
    assert plain((await notifications.page(reading, user, limit=10_000)).items) == expected
    paged = await _walk(lambda after: notifications.page(reading, user, after=after, limit=limit))
    assert paged == expected
    for row in expected:
        assert await notifications.is_row(reading, user, row["id"])
        other = row["id"].replace("-000", "-100")
        assert not await notifications.is_row(reading, user, other)


async def _nothing_is_seen(reading: Reading, user: str, chat: str) -> None:
    query = parse_query("red")
    for ask in (
        chats.one(reading, user, chat),
        chats.members(reading, user, chat),
        conversation.page(reading, user, chat),
        conversation.one(reading, user, chat, 2),
        conversation.history(reading, user, chat, 2),
        receipts.of_chat(reading, user, chat),
        receipts.of_message(reading, user, chat, 2),
        feeds.of_chat(reading, user, chat),
        searching.messages(reading, user, query, chat=chat),
    ):
        with pytest.raises(NotFound, match="chat_not_found"):
            await ask


async def _chat_agrees(
    reading: Reading, brute: BruteForce, user: str, chat: str, limit: int
) -> None:
    assert plain(await chats.one(reading, user, chat)) == brute.chat(chat)
    members = await _walk(lambda after: chats.members(reading, user, chat, after=after, limit=2))
    assert members == brute.member_forms(chat)
    assert plain((await receipts.of_chat(reading, user, chat)).items) == brute.chat_receipts(chat)
    expected = brute.messages(user, chat)
    await _pages_agree(reading, user, chat, expected, limit)
    for sent in brute.sent(chat)[-6:]:
        asks = (
            conversation.one(reading, user, chat, sent.seq),
            conversation.history(reading, user, chat, sent.seq, limit=1),
            receipts.of_message(reading, user, chat, sent.seq),
        )
        if all(message["seq"] != sent.seq for message in expected):
            for ask in asks:
                with pytest.raises(NotFound, match="message_not_found"):
                    await ask
            continue
        one, history, received = [await ask for ask in asks]
        assert plain(one) == brute.message(user, sent, everyone=True)
        assert plain(history)["items"] == brute.history(sent)[:1]
        assert plain(received)["items"] == brute.receipts(sent)


async def _pages_agree(
    reading: Reading, user: str, chat: str, expected: Sequence[Any], limit: int
) -> None:
    """Newest first, oldest first, and around every message: each page full but the last."""
    seqs = [message["seq"] for message in expected]
    rest = list(expected)
    before = None
    while True:
        page = plain(await conversation.page(reading, user, chat, before=before, limit=limit))
        assert page["items"] == rest[-limit:]
        del rest[-limit:]
        before = page["next"]
        assert before == (page["items"][0]["seq"] if rest else None)
        if before is None:
            break
    after = 0
    rest = list(expected)
    while after is not None:
        page = plain(await conversation.page(reading, user, chat, after=after, limit=limit))
        assert page["items"] == rest[:limit]
        del rest[:limit]
        after = page["next"]
        assert after == (page["items"][-1]["seq"] if rest else None)
    for around in seqs[-3:]:
        page = plain(await conversation.page(reading, user, chat, around=around, limit=limit))
        shown = [message["seq"] for message in page["items"]]
        start = seqs.index(shown[0])
        assert page["items"] == expected[start : start + len(shown)]
        assert around in shown
        assert len(shown) == min(limit, len(seqs))
        assert page["next"] == (shown[0] if start else None)
        assert page["newer"] == (shown[-1] if start + len(shown) < len(seqs) else None)


async def _search_agrees(reading: Reading, brute: BruteForce, user: str, limit: int) -> None:
    midway = brute.log[len(brute.log) // 2].time
    for query in (
        Query(("re",)),
        Query(("red", "bl")),
        Query(("reef",), has=("link",)),
        Query(("blue", "reed", "re")),
        Query((), senders=("ann", "bob")),
        Query(("re",), chats=tuple(brute.chats[:1])),
        Query(("cafe", "igne", "str")),
        Query(("strasse", "re")),
        Query((), has=("media",), before=midway),
        Query((), after=midway),
    ):
        parsed = parse_query(_text(query))
        for sort in ("recent", "relevance"):
            expected = brute.search(user, query, sort)
            found = await _walk(
                lambda after, parsed=parsed, sort=sort: searching.messages(  # type: ignore[misc]
                    reading, user, parsed, sort=sort, after=after, limit=limit
                )
            )
            assert found == expected, query


async def _media_agrees(reading: Reading, brute: BruteForce, user: str) -> None:
    for uploaded in brute.log:
        if uploaded.type != "media.uploaded":
            continue
        if brute.reads_media(user, uploaded):
            await media.readable(reading, user, uploaded.data["media"])
        else:
            with pytest.raises(NotFound, match="media_not_found"):
                await media.readable(reading, user, uploaded.data["media"])


def _text(query: Query) -> str:
    filters = [f"from:{user}" for user in query.senders]
    filters += [f"has:{what}" for what in query.has]
    filters += [f"in:{chat}" for chat in query.chats]
    filters += [f"before:{query.before}"] * (query.before is not None)
    filters += [f"after:{query.after}"] * (query.after is not None)
    return " ".join((*filters, *query.words))


async def _schedules_agree(reading: Reading, brute: BruteForce, user: str, limit: int) -> None:
    paged = await _walk(lambda after: schedules.page(reading, user, after=after, limit=limit))
    assert paged == brute.schedules(user)
    for event in brute.log:
        if event.type != "message.scheduled":
            continue
        asked = schedules.one(reading, user, event.data["schedule"])
        if event.actor == user:
            assert plain(await asked) == brute.schedule(event)
        else:
            with pytest.raises(NotFound, match="schedule_not_found"):
                await asked


async def _feeds_agree(reading: Reading, brute: BruteForce, user: str, limit: int) -> None:
    own = user_stream(user)
    feed = await _walk(lambda after: feeds.of_user(reading, user, after=after or 0, limit=limit))
    assert feed == brute.feed(user, own)
    missed = await feeds.missed(reading, user, {own: 0})
    heads = {own: len(brute.of(own))}
    for chat in brute.chats:
        member = brute.member(user, chat)
        if member is None:
            continue
        stream = chat_stream(chat)
        expected = brute.feed(user, stream)
        heads[stream] = len(brute.of(stream))
        found = await _walk(
            lambda after, chat=chat: feeds.of_chat(  # type: ignore[misc]
                reading, user, chat, after=after or 0, limit=limit
            )
        )
        assert found == expected
        since = await feeds.missed(reading, user, {stream: 0, "chats/elsewhere": 3})
        assert since.recovered
        assert plain(since.events) == [e for e in expected if e["seq"] >= member.joined]
    assert plain(missed) == [heads, True, brute.feed(user, own)]
