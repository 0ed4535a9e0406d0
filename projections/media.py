"""Media items: what was uploaded, by whom."""

from domain import events as e
from projections.fold import Held, Made, ReadModel, Seen, WorkingSet, held, nothing_more
from projections.store.port import Collection, Document


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


MEDIA = Collection("media", MediaItem, ("media",))


def _fold(seen: Seen, _: WorkingSet) -> Made:
    data = seen.data
    if isinstance(data, e.MediaUploaded):
        yield (
            MEDIA,
            MediaItem(
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
            ),
        )


MODEL = ReadModel((MEDIA,), nothing_more, _fold)
