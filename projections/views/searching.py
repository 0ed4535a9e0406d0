"""Message search: access is checked here, when answering, never by the index."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Literal, NamedTuple

from domain import instants
from projections.messages import MESSAGES
from projections.search import MESSAGE_WORDS, MessageWords, from_term, has_term
from projections.search_query import SearchQuery
from projections.store.port import Match
from projections.views import shapes
from projections.views.access import Access, access_to, access_to_all
from projections.views.chats import brief, sealed
from projections.views.reading import Reading
from projections.views.rendering import Rendering
from projections.views.visibility import hidden
from projections.words import highlights

MAX_EXPANSIONS = 200
#: Relevance ranks among this many of the newest matches.
MAX_RANKED = 500
#: Matches asked for at once when some had to be left out.
MIN_MATCHES = 50

Sort = Literal["recent", "relevance"]


class _Hit(NamedTuple):
    """A match that its reader can see, and its place in the answer."""

    place: shapes.Place
    words: MessageWords


async def messages(
    reading: Reading,
    user: str,
    query: SearchQuery,
    *,
    chat: str | None = None,
    sort: Sort = "recent",
    after: shapes.Place | None = None,
    limit: int = 50,
) -> shapes.Listing[shapes.Found]:
    """Messages that meet the query, in all of the user's chats or in one.

    `after` is the `next` of the page before, in the same order of the same query.

    Raises:
        NotFound: `chat_not_found` for a `chat` that the user is not in. One that the query itself
            names only has nothing to find.
    """
    inside = (
        await access_to_all(reading, user)
        if chat is None
        else [await access_to(reading, user, chat)]
    )
    accesses = {a.id: a for a in inside if not query.chats or a.id in query.chats}
    match = await _match(reading, accesses, query)
    if match is None:
        return shapes.Listing(items=[], next=None)
    if sort == "recent":
        hits = _recent(reading, accesses, match._replace(limit=limit + 1, after=after))
    else:
        hits = _relevant(reading, accesses, match._replace(limit=MAX_RANKED), query, after)
    return await _page(reading, accesses, hits, query, limit)


async def _match(
    reading: Reading, accesses: Mapping[str, Access], query: SearchQuery
) -> Match | None:
    """What to ask the index; None when nothing can be found."""
    scopes = tuple(accesses)
    if not scopes:
        return None
    groups: list[tuple[str, ...]] = [(word,) for word in query.words]
    if query.prefix is not None:
        begun = await reading.store.expand(MESSAGE_WORDS, scopes, query.prefix, MAX_EXPANSIONS)
        if not begun:
            return None
        groups.append(tuple(begun))
    if query.senders:
        groups.append(tuple(map(from_term, query.senders)))
    groups += [(has_term(what),) for what in query.has]
    since = None if query.after is None else instants.from_datetime(query.after)
    if all(a.floor for a in accesses.values()):
        # Nothing older can be seen, so the index need not go through it.
        since = max(since or "", min(a.membership.joined_at for a in accesses.values()))
    until = None if query.before is None else instants.from_datetime(query.before)
    return Match(scopes, tuple(groups), limit=0, since=since, until=until)


async def _recent(
    reading: Reading, accesses: Mapping[str, Access], match: Match
) -> AsyncIterator[list[_Hit]]:
    while True:
        found = await reading.store.match(MESSAGE_WORDS, match)
        seen = await _seen(reading, accesses, found)
        yield [_Hit((words.time, words.chat, words.message), words) for words in seen]
        if len(found) < match.limit:
            return
        last = found[-1]
        match = match._replace(
            after=(last.time, last.chat, last.message), limit=min(4 * match.limit, MAX_RANKED)
        )


async def _relevant(
    reading: Reading,
    accesses: Mapping[str, Access],
    match: Match,
    query: SearchQuery,
    after: shapes.Place | None,
) -> AsyncIterator[list[_Hit]]:
    ranked: list[_Hit] = []
    begun = frozenset(() if query.prefix is None else match.all_of[len(query.words)])
    while len(ranked) < MAX_RANKED:
        found = await reading.store.match(MESSAGE_WORDS, match)
        for words in await _seen(reading, accesses, found):
            count = _occurrences(words, query.words, begun)
            place = (count, words.length, words.time, words.chat, words.message)
            ranked.append(_Hit(place, words))
        if len(found) < match.limit:
            break
        last = found[-1]
        missing = max(MAX_RANKED - len(ranked), MIN_MATCHES)
        match = match._replace(after=(last.time, last.chat, last.message), limit=missing)
    del ranked[MAX_RANKED:]
    if after is not None:
        ranked = [hit for hit in ranked if _rank(hit.place) < _rank(after)]
    ranked.sort(key=lambda hit: _rank(hit.place), reverse=True)
    yield ranked


def _occurrences(words: MessageWords, whole: Sequence[str], begun: frozenset[str]) -> int:
    """How often the words that were asked for stand in a message, and those they begin."""
    terms = words.terms
    # Lists are the fastest here, and there may be hundreds of messages.
    count = sum([terms.get(word, 0) for word in whole])
    return count + sum([terms[word] for word in begun.intersection(terms)])


def _rank(place: shapes.Place) -> tuple[float | str | int, ...]:
    """The order of relevance: occurrences by length, then newest first."""
    count, length, *newest = place
    return (int(count) / int(length) if length else 0.0, *newest)


async def _seen(
    reading: Reading, accesses: Mapping[str, Access], found: Sequence[MessageWords]
) -> list[MessageWords]:
    """The matches that the reader can see, in their order."""
    in_sight = [
        words
        for words in found
        if words.message >= accesses[words.chat].floor
        and (words.expires_at is None or words.expires_at > reading.now)
    ]
    unseen = await hidden(reading, accesses, ((w.chat, w.message) for w in in_sight))
    return [words for words in in_sight if (words.chat, words.message) not in unseen]


async def _page(
    reading: Reading,
    accesses: Mapping[str, Access],
    hits: AsyncIterator[list[_Hit]],
    query: SearchQuery,
    limit: int,
) -> shapes.Listing[shapes.Found]:
    shown: list[tuple[shapes.Place, shapes.Found]] = []
    async for chunk in hits:
        while chunk and len(shown) <= limit:
            missing = limit + 1 - len(shown)
            shown += await _shown(reading, accesses, chunk[:missing], query)
            chunk = chunk[missing:]
        if len(shown) > limit:
            break
    return shapes.Listing(
        items=[found for _, found in shown[:limit]],
        next=shown[limit - 1][0] if len(shown) > limit else None,
    )


async def _shown(
    reading: Reading, accesses: Mapping[str, Access], hits: Sequence[_Hit], query: SearchQuery
) -> list[tuple[shapes.Place, shapes.Found]]:
    chats = {hit.words.chat: accesses[hit.words.chat].chat for hit in hits}
    known = await reading.get(MESSAGES, [(hit.words.chat, hit.words.message) for hit in hits])
    rendering = await Rendering.of(reading, accesses, list(known.values()))
    await reading.unlock(
        [*rendering.sealed(), *(field for chat in chats.values() for field in sealed(chat))]
    )
    briefs = {id: brief(reading, chats[id], roll.members) for id, roll in rendering.rolls.items()}
    shown = []
    for place, words in hits:
        found = known.get((words.chat, words.message))
        # It may have gone since the index was asked.
        if found is None or reading.gone(found):
            continue
        message = rendering.show(found)
        # What can't be read any more is not found by its words either.
        if not message.erased:
            places = highlights(message.content or "", query.words, query.prefix)
            shown.append(
                (place, shapes.Found(message=message, chat=briefs[words.chat], highlights=places))
            )
    return shown
