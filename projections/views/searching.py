"""Message search: access is checked here, when answering, never by the index."""

from collections.abc import AsyncIterator, Mapping, Sequence, Set
from operator import itemgetter
from typing import Literal, NamedTuple

from domain import instants
from projections.chats import MEMBERSHIPS
from projections.messages import MESSAGES
from projections.search import MESSAGE_WORDS, MessageWords, from_term, has_term
from projections.search_query import SearchQuery
from projections.store.port import Begun, Match, Scan
from projections.views import shapes
from projections.views.access import Access, access_to, accesses
from projections.views.chats import brief, sealed
from projections.views.reading import Reading
from projections.views.rendering import Rendering
from projections.views.visibility import hidden
from projections.words import highlights

MAX_EXPANSIONS = 200
#: Relevance ranks among this many of the newest matches.
MAX_RANKED = 1000
#: Matches asked for at once when some had to be left out.
MIN_MATCHES = 50

Sort = Literal["recent", "relevance"]
_Rank = tuple[float, str, str, int]


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
    known = None if chat is None else await access_to(reading, user, chat)
    scopes = await _chats(reading, user) if known is None else [known.id]
    match = await _match(reading, [s for s in scopes if not query.chats or s in query.chats], query)
    if match is None:
        return shapes.Listing(items=[], next=None)
    if sort == "recent":
        matches = _Matches(reading, user, match._replace(after=after), known)
        hits = _recent(matches, limit)
    else:
        matches = _Matches(reading, user, match, known)
        begun = frozenset(term for one in match.begun for term in one.terms)
        hits = _relevant(matches, query.words, begun, after, limit)
    return await _page(reading, matches.accesses, hits, query, limit)


async def _chats(reading: Reading, user: str) -> Sequence[str]:
    """The chats to search in. What is found there has its access checked."""
    [memberships] = await reading.scan(MEMBERSHIPS, [Scan((user,), along="by_user")])
    return [membership.chat for membership in memberships]


async def _match(reading: Reading, scopes: Sequence[str], query: SearchQuery) -> Match | None:
    """What to ask the index; None when nothing can be found."""
    if not scopes:
        return None
    groups: list[tuple[str, ...]] = [(word,) for word in query.words]
    begun: tuple[Begun, ...] = ()
    if query.prefix is not None:
        begun = (await reading.store.expand(MESSAGE_WORDS, scopes, query.prefix, MAX_EXPANSIONS),)
        if not begun[0].terms:
            return None
    if query.senders:
        groups.append(tuple(map(from_term, query.senders)))
    groups += [(has_term(what),) for what in query.has]
    since = None if query.after is None else instants.from_datetime(query.after)
    until = None if query.before is None else instants.from_datetime(query.before)
    return Match(tuple(scopes), tuple(groups), 0, since=since, until=until, begun=begun)


class _Matches:
    """What the index holds, newest first, as far as the reader can see it."""

    def __init__(self, reading: Reading, user: str, match: Match, known: Access | None) -> None:
        #: To the chats in which something was found.
        self.accesses = {} if known is None else {known.id: known}
        self.ended = False
        self._reading = reading
        self._user = user
        self._match = match
        self._asked = set(self.accesses)

    async def next(self, count: int) -> list[MessageWords]:
        """Of the next so many matches those that the reader can see."""
        match = self._match._replace(limit=count)
        found = await self._reading.store.match(MESSAGE_WORDS, match)
        await self._ask({words.chat for words in found})
        self.ended = len(found) < count
        if not self.ended:
            self._go_on_from(found[-1])
        return await self._seen(found)

    async def _ask(self, chats: Set[str]) -> None:
        pairs = [(self._user, chat) for chat in chats - self._asked]
        self._asked |= chats
        if pairs:
            self.accesses |= {a.id: a for a in (await accesses(self._reading, pairs)).values()}

    def _go_on_from(self, last: MessageWords) -> None:
        """Leave out the chats that have nothing older to see: one that was joined late may have any
        number of matches before."""
        ended = {
            access.id
            for access in self.accesses.values()
            if access.floor and access.membership.joined_at > last.time
        }
        scopes = tuple(scope for scope in self._match.scopes if scope not in ended)
        self._match = self._match._replace(
            scopes=scopes, after=(last.time, last.chat, last.message)
        )
        self.ended = not scopes

    async def _seen(self, found: Sequence[MessageWords]) -> list[MessageWords]:
        in_sight = [
            words
            for words in found
            if words.chat in self.accesses
            and words.message >= self.accesses[words.chat].floor
            and (words.expires_at is None or words.expires_at > self._reading.now)
        ]
        places = ((words.chat, words.message) for words in in_sight)
        unseen = await hidden(self._reading, self.accesses, places)
        return [words for words in in_sight if (words.chat, words.message) not in unseen]


async def _recent(matches: _Matches, limit: int) -> AsyncIterator[list[_Hit]]:
    count = limit + 1
    while not matches.ended:
        yield [
            _Hit((words.time, words.chat, words.message), words)
            for words in await matches.next(count)
        ]
        count = min(4 * count, MAX_RANKED)


async def _relevant(
    matches: _Matches,
    words: Sequence[str],
    begun: frozenset[str],
    after: shapes.Place | None,
    limit: int,
) -> AsyncIterator[list[_Hit]]:
    """By what share of a message the words make up that were asked for, then newest first."""
    ranked: list[tuple[_Rank, int, MessageWords]] = []
    while len(ranked) < MAX_RANKED and not matches.ended:
        for found in await matches.next(max(MAX_RANKED - len(ranked), MIN_MATCHES)):
            count = _occurrences(found.terms, words, begun)
            place = (found.time, found.chat, found.message)
            ranked.append(((_share(count, found.length), *place), count, found))
    del ranked[MAX_RANKED:]
    if after is not None:
        of_words, of_all, *place_after = after
        last = (_share(int(of_words), int(of_all)), *place_after)
        ranked = [one for one in ranked if one[0] < last]
    ranked.sort(reverse=True, key=itemgetter(0))
    for start in range(0, len(ranked), limit + 1):
        yield [
            _Hit((count, found.length, found.time, found.chat, found.message), found)
            for _, count, found in ranked[start : start + limit + 1]
        ]


def _occurrences(terms: Mapping[str, int], words: Sequence[str], begun: frozenset[str]) -> int:
    """How often the words that were asked for stand in a message, and those they begin."""
    # Lists are the fastest here, and there may be a thousand messages.
    count = sum([terms.get(word, 0) for word in words])
    return count + sum([terms[word] for word in begun.intersection(terms)])


def _share(count: int, length: int) -> float:
    return count / length if length else 0.0


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
