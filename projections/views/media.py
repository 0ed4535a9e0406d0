"""Media items: who may read one now, and which are still kept."""

from collections.abc import Sequence

from domain import instants
from domain.ids import chat_stream, split_stream, user_stream
from projections.media import MEDIA, MEDIA_HOLDERS, MediaItem
from projections.messages import MESSAGES
from projections.store.port import Scan
from projections.views import shapes
from projections.views.access import access_to_all, accesses
from projections.views.reading import NotFound, Reading
from projections.views.visibility import Run, visible

#: What was uploaded and not used within this time is forgotten, in seconds.
UNUSED_SECONDS = 24 * 60 * 60
#: An item used more often than this is looked for in each of the reader's chats instead.
LOOKED_AT = 100


async def readable(reading: Reading, user: str, media: str) -> MediaItem:
    """The item, which the user may read now.

    Its owner may, while it is kept; so may who can see a message that carries it, who is a member
    of a chat whose avatar it is, and everyone if it is a user's avatar.

    Raises:
        NotFound: `media_not_found`, whether or not there is such an item.
    """
    item = (await reading.get(MEDIA, [(media,)])).get((media,))
    if item is None or not (await _owns(reading, user, item) or await _sees(reading, user, media)):
        raise NotFound("media_not_found")
    return item


async def kept(reading: Reading, items: Sequence[MediaItem]) -> set[str]:
    """The ids of those items that are not forgotten: those uploaded lately, and those that a
    message was sent with, or that something holds."""
    since = instants.later(reading.now, -UNUSED_SECONDS)
    ids = [item.media for item in items if item.uploaded_at <= since]
    scans = [Scan((media,), along="by_media", limit=1) for media in ids]
    carried = await reading.scan(MESSAGES, scans)
    held = await reading.scan(MEDIA_HOLDERS, scans)
    unused = {m for m, *uses in zip(ids, carried, held, strict=True) if not any(uses)}
    return {item.media for item in items} - unused


async def one(reading: Reading, user: str, media: str) -> shapes.Media:
    """What is known of an item.

    Raises:
        NotFound: `media_not_found`.
    """
    item = await readable(reading, user, media)
    await reading.unlock((item.name, item.sha256))
    stream = user_stream(item.owner)
    name = reading.open(stream, "name", item.name)
    sha256 = reading.open(stream, "sha256", item.sha256)
    return shapes.Media(
        id=media,
        owner=item.owner,
        name=name.value,
        mime=item.mime,
        size=item.size,
        sha256=sha256.value,
        width=item.width,
        height=item.height,
        duration=item.duration,
        thumbnail=item.thumbnail,
        uploaded_at=item.uploaded_at,
        erased=name.erased or sha256.erased,
    )


async def _owns(reading: Reading, user: str, item: MediaItem) -> bool:
    return item.owner == user and item.media in await kept(reading, [item])


async def _sees(reading: Reading, user: str, media: str) -> bool:
    scan = Scan((media,), along="by_media", limit=LOOKED_AT)
    [carriers] = await reading.scan(MESSAGES, [scan])
    [holders] = await reading.scan(MEDIA_HOLDERS, [scan])
    held_by = [split_stream(holder.holder) for holder in holders]
    if any(category == "users" for category, _ in held_by):
        return True
    if len(carriers) < LOOKED_AT and len(holders) < LOOKED_AT:
        with_avatar = [chat for category, chat in held_by if category == "chats"]
        carrying = dict.fromkeys(message.chat for message in carriers)
        chats = dict.fromkeys([*carrying, *with_avatar])
        found = [*(await accesses(reading, [(user, chat) for chat in chats])).values()]
    else:
        # An item may be in more chats than anyone is in.
        found = await access_to_all(reading, user)
        keys = [(chat_stream(access.id),) for access in found]
        held = await reading.get(MEDIA_HOLDERS, keys)
        with_avatar = [split_stream(h.holder)[1] for h in held.values() if h.media == media]
    if any(access.id in with_avatar for access in found):
        return True
    runs = [
        Run(access, Scan((media, access.id), along="by_media", above=access.floor - 1, newest=True))
        for access in found
    ]
    shown = await visible(reading, runs, 1, keep=lambda message: not reading.gone(message))
    return any(shown)
