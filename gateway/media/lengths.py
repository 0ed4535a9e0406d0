"""How long sound and film last, as their containers say."""

from typing import BinaryIO

import mutagen

_MOST = 10**8


def find_duration(file: BinaryIO) -> float | None:
    """Seconds, or None where the container does not say, or not so that it can be read."""
    file.seek(0)
    try:
        found = mutagen.File(file)
        length = float(found.info.length)
    except Exception:
        # A stranger's file: a length is welcome, and whatever goes wrong only means there is none.
        return None
    return round(length, 3) if 0 < length < _MOST else None
