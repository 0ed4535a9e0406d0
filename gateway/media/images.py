"""Images made anew from their pixels: nothing else of an uploaded file gets into what is stored."""

import io
import warnings
from tempfile import SpooledTemporaryFile
from typing import IO, Any, BinaryIO, NamedTuple

from PIL import Image, ImageCms, ImageOps, ImageSequence

from gateway.problems import Problem, invalid_request

#: Of all frames together: a picture of 50 megapixels, as phones take them, and no more.
MAX_PIXELS = 8192 * 6144
MAX_FRAMES = 1000
THUMBNAIL_SIDE = 320
SPOOL_BYTES = 1024 * 1024

#: The types of images that are taken.
TAKEN = frozenset(
    ("image/jpeg", "image/png", "image/apng", "image/gif", "image/webp", "image/avif")
)

#: What an image of each format is stored as. An MPO is found as a JPEG, with more behind it.
_STORED_AS = {
    "JPEG": "JPEG",
    "MPO": "JPEG",
    "PNG": "PNG",
    "GIF": "PNG",
    "WEBP": "WEBP",
    "AVIF": "WEBP",
}
_FORMATS = tuple(format for format in _STORED_AS if format != "MPO")
_MAY_MOVE = frozenset(("GIF", "PNG", "WEBP", "AVIF"))
_WEBP_SIDE = 16383
#: How long a frame stays that does not say it.
_FRAME_MILLIS = 100
_SAVE: dict[str, dict[str, Any]] = {
    # Not progressive: that takes the memory of the whole picture once more.
    "JPEG": {"quality": 85},
    "PNG": {},
    "WEBP": {"quality": 85, "method": 3},
}

# The library checks the size that a file's header tells before it decodes anything, for images
# within images too. A warning is too little.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.simplefilter("error", Image.DecompressionBombWarning)


class Picture(NamedTuple):
    """An image made anew, upright, with nothing in it but pixels; its thumbnail is a WebP."""

    content: IO[bytes]
    mime: str
    width: int
    height: int
    thumbnail: bytes


class _Decoded(NamedTuple):
    """The pixels of a file; several frames are an animation, `durations` in milliseconds."""

    format: str
    frames: list[Image.Image]
    durations: list[int]
    loop: int


def remake(file: BinaryIO) -> Picture:
    """The picture in a file; an animation stays one, as WebP. It may take seconds.

    Raises:
        Problem: `invalid_request` for what can't be decoded or is too large.
    """
    try:
        decoded = _decode(file)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise _too_many_pixels() from error
    except Problem:
        raise
    except Exception as error:
        # Decoders of many formats raise whatever a broken file leads them to.
        raise invalid_request("file", "The image can't be read: it is broken.") from error
    return _encode(decoded)


def _decode(file: BinaryIO) -> _Decoded:
    file.seek(0)
    with Image.open(file, formats=_FORMATS) as image:
        if image.format in _MAY_MOVE and getattr(image, "is_animated", False):
            return _animation(image)
        profile = image.info.get("icc_profile")
        format = _STORED_AS[str(image.format)]
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return _Decoded(format, [_plain(image, profile)], [0], 0)


def _animation(image: Image.Image) -> _Decoded:
    frames: list[Image.Image] = []
    durations: list[int] = []
    for frame in ImageSequence.Iterator(image):
        if len(frames) == MAX_FRAMES or (len(frames) + 1) * image.width * image.height > MAX_PIXELS:
            raise _too_many_pixels()
        if frames and frame.size != frames[0].size:
            raise invalid_request("file", "The image can't be read: its frames differ in size.")
        frames.append(_plain(frame.copy(), None))
        durations.append(int(frame.info.get("duration") or _FRAME_MILLIS))
    return _Decoded("WEBP", frames, durations, int(image.info.get("loop") or 0))


def _encode(decoded: _Decoded) -> Picture:
    format, (first, *others), durations, loop = decoded
    if format == "WEBP" and max(first.size) > _WEBP_SIDE:
        raise _too_many_pixels()
    how: dict[str, Any] = dict(_SAVE[format])
    if others:
        how |= {"save_all": True, "append_images": others, "duration": durations, "loop": loop}
    content: IO[bytes] = SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115 (the caller closes it)
    opaque = first.convert("RGB") if format == "JPEG" and first.mode == "RGBA" else first
    opaque.save(content, format, **how)
    return Picture(content, f"image/{format.lower()}", *first.size, _thumbnail(first))


def _plain(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The pixels alone, in sRGB where the file says what colours they are."""
    mode = "RGBA" if image.has_transparency_data else "RGB"
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, source, target, outputMode=mode)
            image = converted or image
        except (ImageCms.PyCMSError, OSError):
            # A profile that is broken, or for another kind of image: the pixels are all there is.
            pass
    plain = image if image.mode in (mode, "L") else image.convert(mode)
    # Savers take comments, profiles and the like from here.
    plain.info = {}
    return plain


def _thumbnail(image: Image.Image) -> bytes:
    """A small WebP; the image is made small for it."""
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    small = io.BytesIO()
    image.save(small, "WEBP", quality=75)
    return small.getvalue()


def _too_many_pixels() -> Problem:
    return invalid_request(
        "file",
        f"An image has at most {MAX_PIXELS} pixels and {MAX_FRAMES} frames, all frames counted.",
    )
