"""Types of files, found from their bytes alone: neither name nor declared type is believed."""

from typing import BinaryIO

import filetype  # type: ignore[import-untyped]  # it has no types

UNKNOWN = "application/octet-stream"

#: What the library calls by an older name than the registered one, or the one browsers know.
_REGISTERED = {
    "audio/x-wav": "audio/wav",
    "audio/x-flac": "audio/flac",
    "audio/x-aiff": "audio/aiff",
}
_HEAD_BYTES = 8192

#: Types that a browser shows or plays without running anything in them.
SAFE = frozenset(
    (
        "image/jpeg",
        "image/png",
        "image/webp",
        "audio/aac",
        "audio/flac",
        "audio/mp4",
        "audio/mpeg",
        "audio/ogg",
        "audio/wav",
        "video/mp4",
        "video/webm",
    )
)

#: Containers that recorders use for sound alone; their first bytes don't tell.
_MAY_BE_SOUND = frozenset(("video/mp4", "video/webm"))


def find_type(file: BinaryIO) -> str:
    """The media type by the first bytes; `application/octet-stream` for what they don't tell."""
    file.seek(0)
    found = filetype.guess_mime(file.read(_HEAD_BYTES))
    return _REGISTERED.get(found, found) if found else UNKNOWN


def fits(kind: str, mime: str) -> bool:
    """Whether a message of this kind may carry a file of this type. A `file` is anything."""
    match kind:
        case "image" | "video":
            return mime.startswith(f"{kind}/")
        case "audio" | "voice_note":
            return mime.startswith("audio/") or mime in _MAY_BE_SOUND
    return True
