"""Files as people upload them, and as those do who mean harm; made on the spot."""

import io
import struct
import wave
import zlib
from collections.abc import Sequence
from typing import Any

from PIL import Image
from PIL.TiffImagePlugin import IFDRational

SCRIPT = b"<script>alert(document.domain)</script>"
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg">' + SCRIPT + b"</svg>"
HTML = b"<!doctype html><html><body>" + SCRIPT + b"</body></html>"
PLACE = "Right here"


def picture(format: str = "PNG", size: tuple[int, int] = (64, 48), **how: Any) -> bytes:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", size, "red")
    image.paste("blue", (size[0] // 2, 0, *size))
    return saved(image, format, **how)


def saved(image: Image.Image, format: str, **how: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, format, **how)
    return content.getvalue()


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def located(format: str = "JPEG", orientation: int = 1) -> bytes:
    """A picture that tells where it was taken, by whom and how, in every way it can."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x013B] = PLACE
    exif.get_ifd(0x8825).update(
        {1: "N", 2: (IFDRational(52), IFDRational(31), IFDRational(12)), 3: "E"}
    )
    how: dict[str, Any] = {"exif": exif, "xmp": f"<x>{PLACE}</x>".encode()}
    if format == "JPEG":
        how["comment"] = PLACE.encode()
    return picture(format, **how)


def animation(format: str, frames: int = 3, size: tuple[int, int] = (40, 30)) -> bytes:
    colours = ("red", "green", "blue")
    images = [Image.new("RGB", size, colours[n % 3]) for n in range(frames)]
    return saved(images[0], format, save_all=True, append_images=images[1:], duration=70, loop=2)


def bomb(width: int, height: int) -> bytes:
    """A small PNG of very many pixels."""
    row = bytes(width // 8 + 2)
    packer = zlib.compressobj(9)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return _png([(b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")])


def claimed(width: int, height: int) -> bytes:
    """A PNG whose header tells of many more pixels than it has."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return _png([(b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")])


def text_bomb() -> bytes:
    """A PNG with a short comment that unpacks to 100 MB."""
    packed = zlib.compress(bytes(100_000_000), 9)
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return _png(
        [
            (b"IHDR", header),
            (b"zTXt", b"Comment\0\0" + packed),
            (b"IDAT", zlib.compress(bytes(4))),
            (b"IEND", b""),
        ]
    )


def sound(seconds: float = 1.5) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(int(seconds * 16000)))
    return content.getvalue()


def mp4(seconds: float = 2.5, brand: bytes = b"isom") -> bytes:
    """An MP4 with one track of sound, as recorders of voice notes make it."""
    mdhd = _atom(b"mdhd", struct.pack(">5I2H", 0, 0, 0, 1000, int(seconds * 1000), 0, 0))
    hdlr = _atom(b"hdlr", bytes(8) + b"soun" + bytes(13))
    return _mp4(brand, _atom(b"trak", _atom(b"mdia", mdhd + hdlr)))


def film(seconds: float = 3.5) -> bytes:
    """An MP4 without sound."""
    times = struct.pack(">5I", 0, 0, 0, 1000, int(seconds * 1000))
    return _mp4(b"isom", _atom(b"mvhd", times + bytes(80)))


def webm() -> bytes:
    return bytes.fromhex(
        "1a45dfa39f4286810142f7810142f2810442f381084282847765626d42878104428581021853806780"
    )


def _png(chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def _mp4(brand: bytes, moov: bytes) -> bytes:
    return _atom(b"ftyp", brand + bytes(4) + brand) + _atom(b"moov", moov)


def _atom(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", 8 + len(data)) + name + data
