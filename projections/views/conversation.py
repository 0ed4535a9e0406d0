"""The messages of a chat: pages of them, one, and what one said before it was edited."""

import msgspec

from domain.events import Sealable
from domain.ids import chat_stream
from projections.feed import FEED
from projections.fold import Held
from projections.store.port import Scan
from projections.views import shapes
from projections.views.access import Access, access_to
from projections.views.reading import NotFound, Reading
from projections.views.rendering import rendered
from projections.views.visibility import Run, one_visible, visible


class _Said(msgspec.Struct):
    """What a sending and an edit have in common."""

    content: Sealable
    mentions: list[str]


_said = msgspec.json.Decoder(_Said)


async def page(
    reading: Reading,
    user: str,
    chat: str,
    *,
    before: int | None = None,
    after: int | None = None,
    around: int | None = None,
    limit: int = 50,
) -> shapes.MessagePage:
    """A page of up to `limit` messages, ascending: the newest, or those at one of the places.

    It is short only where the messages end. At most one place is given.

    Raises:
        NotFound: `chat_not_found`.
    """
    access = await access_to(reading, user, chat)
    if around is not None:
        return await _around(reading, access, around, limit)
    run = _newer(access, after) if after is not None else _older(access, before)
    # One more than is shown tells whether the list goes on.
    [messages] = await visible(reading, [run], limit + 1)
    goes_on = len(messages) > limit
    del messages[limit:]
    place = messages[-1].message if goes_on else None
    messages.sort(key=lambda message: message.message)
    return shapes.MessagePage(items=await rendered(reading, access, messages), next=place)


async def _around(reading: Reading, access: Access, around: int, limit: int) -> shapes.MessagePage:
    runs = [_older(access, around), _newer(access, around - 1)]
    older, newer = await visible(reading, runs, limit + 1)
    # Half on each side; what one side has not, the other fills.
    share = max(limit // 2, limit - len(newer))
    more_older = len(older) > share
    del older[share:]
    rest = limit - len(older)
    more_newer = len(newer) > rest
    del newer[rest:]
    messages = [*reversed(older), *newer]
    return shapes.MessagePage(
        items=await rendered(reading, access, messages),
        next=messages[0].message if more_older else None,
        newer=messages[-1].message if more_newer else None,
    )


def _older(access: Access, before: int | None) -> Run:
    scan = Scan((access.id,), above=access.floor - 1, below=before, newest=True)
    return Run(access, scan)


def _newer(access: Access, after: int) -> Run:
    return Run(access, Scan((access.id,), above=max(after, access.floor - 1)))


async def one(reading: Reading, user: str, chat: str, seq: int) -> shapes.Message:
    """One message, with all its reactions.

    Raises:
        NotFound: `chat_not_found`, `message_not_found`.
    """
    access = await access_to(reading, user, chat)
    message = await one_visible(reading, access, seq)
    [shown] = await rendered(reading, access, [message], all_reactions=True)
    return shown


async def history(
    reading: Reading, user: str, chat: str, seq: int, *, after: int = 0, limit: int = 50
) -> shapes.Listing[shapes.Version]:
    """What a message said before, first version first, without the present one; nothing of a gone
    one. `after` is the `next` of the page before.

    Raises:
        NotFound: `chat_not_found`, `message_not_found`.
    """
    access = await access_to(reading, user, chat)
    message = await one_visible(reading, access, seq)
    if message.ordinal is None:
        raise NotFound("message_not_found")
    if reading.gone(message):
        return shapes.Listing(items=[], next=None)
    stream = chat_stream(chat)
    places = [at for at in (message.message, *message.edits)[:-1] if at > after]
    items = await reading.get(FEED, [(stream, at) for at in places[:limit]])
    versions = []
    for item in sorted(items.values(), key=lambda item: item.at):
        if not item.redacted:
            said = _said.decode(item.data)
            versions.append((Held(said.content, item.command), said.mentions, item.time))
    await reading.unlock(held for held, _, _ in versions)
    shown = []
    for held, mentions, at in versions:
        content = reading.open(stream, "content", held)
        shown.append(
            shapes.Version(content=content.value, mentions=mentions, at=at, erased=content.erased)
        )
    return shapes.Listing(items=shown, next=places[limit - 1] if len(places) > limit else None)
