"""Media items: what was uploaded, by whom, and what holds it beside messages.

What a message carries stands in the message (`projections.messages`), which is found by it.
"""

from collections.abc import Iterable
from typing import NamedTuple

from msgspec import UNSET

from domain import events as e
from projections.fold import Held, Made, ReadModel, Seen, WorkingSet, held
from projections.store.port import Collection, Document, Index, Ref


class MediaItem(Document, frozen=True):
    """`size` in bytes, `width` and `height` in pixels, `duration` in seconds."""

    media: str
    owner: str
    mime: str
    size: int
    uploaded_at: str
    name: Held | None = None
    sha256: Held | None = None
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    thumbnail: str | None = None


class MediaHolder(Document, frozen=True):
    """Something that holds one media item for now: `chats/{id}` and `users/{id}` as their avatar,
    `schedules/{id}` as what it will send."""

    holder: str
    media: str | None


MEDIA = Collection("media", MediaItem, ("media",))
MEDIA_HOLDERS = Collection(
    "media_holders",
    MediaHolder,
    ("holder",),
    (Index("by_media", ("media", "holder"), where="media"),),
)


#: Where the objects of all media are.
MEDIA_OBJECTS = "media"
_OWNER = "user-"


class MediaObject(NamedTuple):
    """The name of an object, in its parts. `file` is the SHA-256 of the stored bytes, so that one
    name never has two contents; with a suffix it is that of the thumbnail."""

    owner: str
    media: str
    file: str

    @property
    def name(self) -> str:
        return f"{owned_objects(self.owner)}/{self.media}/{self.file}"

    @property
    def thumbnail(self) -> "MediaObject":
        return self._replace(file=f"{self.file}.thumbnail")

    @staticmethod
    def parse(name: str) -> "MediaObject | None":
        """The parts of a name that `name` gave; None of another."""
        match name.split("/"):
            case [category, owner, media, file] if category == MEDIA_OBJECTS:
                return MediaObject(owner.removeprefix(_OWNER), media, file)
        return None


def owned_objects(owner: str) -> str:
    """What the names of a user's objects begin with."""
    # Some user ids, such as `..`, have a meaning of their own as a part of a path.
    return f"{MEDIA_OBJECTS}/{_OWNER}{owner}"


def _needs(seen: Seen, _: WorkingSet) -> Iterable[Ref]:
    if isinstance(seen.data, e.ScheduleCancelled | e.ScheduleFired):
        yield MEDIA_HOLDERS, (_schedule(seen.data.schedule),)


def _fold(seen: Seen, docs: WorkingSet) -> Made:
    match seen.data:
        case e.MediaUploaded() as data:
            yield MEDIA, _uploaded(seen, data)
        case e.MessageScheduled(media=str(media)) as data:
            yield MEDIA_HOLDERS, _holder(seen, _schedule(data.schedule), media)
        case e.ScheduleCancelled() | e.ScheduleFired() as data:
            if docs.get(MEDIA_HOLDERS, _schedule(data.schedule)) is not None:
                yield MEDIA_HOLDERS, _holder(seen, _schedule(data.schedule), None)
        case e.UserErased():
            yield MEDIA_HOLDERS, _holder(seen, seen.envelope.stream, None)
        case e.ChatCreated(avatar=avatar) | e.UserRegistered(avatar=avatar):
            if avatar is not None:
                yield MEDIA_HOLDERS, _holder(seen, seen.envelope.stream, seen.clear["avatar"])
        case e.ChatChanged(avatar=avatar) | e.UserChanged(avatar=avatar):
            if avatar is not UNSET:
                yield MEDIA_HOLDERS, _holder(seen, seen.envelope.stream, seen.clear["avatar"])


def _uploaded(seen: Seen, data: e.MediaUploaded) -> MediaItem:
    return MediaItem(
        seq=seen.envelope.seq,
        media=data.media,
        owner=seen.id,
        mime=data.mime,
        size=data.size,
        uploaded_at=seen.envelope.time,
        name=held(seen, data.name),
        sha256=held(seen, data.sha256),
        width=data.width,
        height=data.height,
        duration=data.duration,
        thumbnail=data.thumbnail,
    )


def _holder(seen: Seen, holder: str, media: str | None) -> MediaHolder:
    return MediaHolder(seq=seen.envelope.seq, holder=holder, media=media)


def _schedule(schedule: str) -> str:
    return f"schedules/{schedule}"


MODEL = ReadModel((MEDIA, MEDIA_HOLDERS), _needs, _fold)
