"""A past moment: of every stream the events up to an instant, folded anew, with it as the clock."""

import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import NamedTuple

from domain.commands import Outcome
from domain.envelope import Envelope
from domain.ids import chat_stream, user_stream
from projections import destroyed_keys, feed, search
from projections.audit.record import Record, read
from projections.catalogue import COLLECTIONS, MODELS
from projections.chats import MEMBERSHIPS
from projections.engine import Engine
from projections.media import MEDIA
from projections.profiles import PROFILES
from projections.progress import Progress, Stale
from projections.store import open_store
from projections.store.port import ReadStore, Scan
from projections.vault import Vault
from projections.views import chats, conversation, inbox
from projections.views.reading import NotFound, Reading
from projections.views.shapes import AsOf, InboxRow, Listing, Message, MessagePage, Place

#: Events folded for one answer.
MOST = 200_000

_PAGE = 250
#: What is not asked of the past, and would cost most of the work.
_MODELS = tuple(m for m in MODELS if m not in (feed.MODEL, search.MODEL, destroyed_keys.MODEL))


class TooMuch(Exception):
    """More events would have to be folded than one answer may cost."""


class _Batch(NamedTuple):
    events: Sequence[Envelope]
    partition: str = "past"
    end: int = 0
    outcomes: Sequence[Outcome] = ()


class Past:
    """The read models as they were at an instant, of the streams that were brought back."""

    def __init__(
        self, record: Record, live: ReadStore, store: ReadStore, vault: Vault, at: str
    ) -> None:
        self.reading = Reading(store, vault, at)
        self.live = live
        self._record = record
        self._engine = Engine(store, vault, Progress(store), _MODELS)
        self._left = MOST
        self._brought: set[str] = set()

    async def bring(self, streams: Iterable[str]) -> None:
        """Fold these streams up to the instant.

        Raises:
            TooMuch: there are too many events.
            Stale: one of them can't be folded.
            RecordError: one can't be read.
        """
        for stream in streams:
            if stream not in self._brought:
                self._brought.add(stream)
                await self._fold(stream)

    async def _fold(self, stream: str) -> None:
        after = 0
        while records := await self._record.read_stream(stream, after, _PAGE):
            events = [e for e in map(read, records) if e.time <= self.reading.now]
            self._left -= len(events)
            if self._left < 0:
                raise TooMuch
            await self._engine.apply(_Batch(events))
            if self._engine.stale:
                raise Stale
            if len(events) < _PAGE:
                return
            after += len(records)


@contextlib.asynccontextmanager
async def past(record: Record, live: ReadStore, vault: Vault, at: str) -> AsyncIterator[Past]:
    """A place to bring streams back to. What is written there is sealed as it is in the log, and
    gone afterwards. The live read models tell which streams there are to bring."""
    with tempfile.TemporaryDirectory(prefix="hansard-past-") as folder:
        store = await open_store(f"sqlite:///{folder}/past.db", COLLECTIONS)
        try:
            yield Past(record, live, store, vault, at)
        finally:
            await store.close()


async def chat_as_of(
    past: Past, user: str, chat: str, *, before: int | None = None, limit: int = 50
) -> AsOf:
    """A chat as the user saw it, with a page of its messages.

    Raises:
        NotFound: `chat_not_found` if the user was not in it then.
        TooMuch: there are too many events.
        Stale: a stream can't be folded.
    """

    async def page() -> MessagePage:
        return await conversation.page(past.reading, user, chat, before=before, limit=limit)

    await past.bring([chat_stream(chat), user_stream(user)])
    shown = await chats.one(past.reading, user, chat)
    await _bring_members(past, [chat])
    await _bring_owners(past, (await page()).items)
    return AsOf(user=user, at=past.reading.now, chat=shown, messages=await page())


async def inbox_as_of(
    past: Past, user: str, *, after: Place | None = None, limit: int = 50
) -> AsOf:
    """The inbox as the user saw it.

    Raises:
        NotFound: `user_not_found` if there was no such user then.
        TooMuch: there are too many events.
        Stale: a stream can't be folded.
    """

    async def page() -> Listing[InboxRow]:
        return await inbox.page(past.reading, user, after=after, limit=limit)

    await past.bring([user_stream(user)])
    if not await past.reading.get(PROFILES, [(user,)]):
        raise NotFound("user_not_found")
    [ever_in] = await past.live.scan(MEMBERSHIPS, [Scan((user,))])
    await past.bring(chat_stream(membership.chat) for membership in ever_in)
    # How far others had come shows in the rows of the page alone.
    rows = (await page()).items
    await _bring_members(past, [row.chat.id for row in rows])
    await _bring_owners(past, [row.last_message for row in rows if row.last_message])
    return AsOf(user=user, at=past.reading.now, inbox=await page())


async def _bring_members(past: Past, chats: Sequence[str]) -> None:
    """The streams of who was in these chats: how far they had come."""
    scans = [Scan((chat,), along="by_chat") for chat in chats]
    found = await past.reading.scan(MEMBERSHIPS, scans)
    await past.bring(dict.fromkeys(user_stream(m.user) for members in found for m in members))


async def _bring_owners(past: Past, messages: Iterable[Message]) -> None:
    """The streams of who uploaded what these messages carry."""
    media = {(m.metadata["media"],) for m in messages if m.metadata and "file_name" in m.metadata}
    items = (await past.live.get(MEDIA, media)).values() if media else ()
    await past.bring(dict.fromkeys(user_stream(item.owner) for item in items))
