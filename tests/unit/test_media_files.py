"""Types, lengths, names, ranges and links of uploaded files."""

import io

import pytest

from domain.instants import later
from gateway.auth import Unauthenticated
from gateway.media import types
from gateway.media.lengths import find_duration
from gateway.media.links import LinkCodec
from gateway.media.names import clean_name, content_disposition
from gateway.media.ranges import Span, Unsatisfiable, find_span
from gateway.problems import Problem
from tests import files

NOW = "2024-05-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("content", "mime"),
    [
        (files.picture("JPEG"), "image/jpeg"),
        (files.picture("PNG"), "image/png"),
        (files.picture("GIF"), "image/gif"),
        (files.picture("WEBP"), "image/webp"),
        (files.picture("AVIF"), "image/avif"),
        (files.sound(), "audio/wav"),
        (files.mp4(), "video/mp4"),
        (files.mp4(brand=b"M4A "), "audio/mp4"),
        (files.webm(), "video/webm"),
        (b"fLaC" + bytes(60), "audio/flac"),
        (b"OggS\0\2" + bytes(60), "audio/ogg"),
        (b"%PDF-1.7\n", "application/pdf"),
        (files.SVG, types.UNKNOWN),
        (files.HTML, types.UNKNOWN),
        (b"plain text", types.UNKNOWN),
        (b"\0", types.UNKNOWN),
        (b"", types.UNKNOWN),
    ],
)
def test_the_type_is_that_of_the_bytes(content: bytes, mime: str) -> None:
    assert types.find_type(io.BytesIO(content)) == mime


def test_nothing_safe_can_run() -> None:
    assert not any("svg" in mime or "xml" in mime for mime in types.SAFE)
    assert {mime.partition("/")[0] for mime in types.SAFE} == {"image", "audio", "video"}


@pytest.mark.parametrize(
    ("kind", "mime", "fits"),
    [
        ("image", "image/png", True),
        ("image", "video/mp4", False),
        ("video", "video/webm", True),
        ("video", "image/webp", False),
        ("audio", "audio/mpeg", True),
        ("audio", "video/mp4", True),
        ("voice_note", "video/webm", True),
        ("voice_note", "audio/ogg", True),
        ("voice_note", "video/x-matroska", False),
        ("audio", types.UNKNOWN, False),
        ("file", types.UNKNOWN, True),
        ("file", "image/png", True),
    ],
)
def test_what_a_message_of_each_kind_may_carry(kind: str, mime: str, fits: bool) -> None:
    assert types.fits(kind, mime) is fits


@pytest.mark.parametrize(
    ("content", "seconds"),
    [
        (files.sound(1.5), 1.5),
        (files.mp4(2.5), 2.5),
        (files.film(3.5), 3.5),
        (files.webm(), None),
        (files.sound()[:30], None),
        (files.mp4()[:60], None),
        (b"OggS" + b"\xff" * 200, None),
        (b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + b"\xff" * 300, None),
        (b"", None),
    ],
)
def test_lengths_are_those_of_the_container(content: bytes, seconds: float | None) -> None:
    assert find_duration(io.BytesIO(content)) == seconds


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("cat.png", "cat.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ann\\cat.png", "cat.png"),
        ('a"b\r\nSet-Cookie: x=1.png', 'a"bSet-Cookie: x=1.png'),
        ("Grüße 猫 🐈\u200d⬛.png", "Grüße 猫 🐈\u200d⬛.png"),
        ("invoice\u202egpj.exe", "invoicegpj.exe"),
        ("\ud800x", "x"),
        ("..", "file"),
        (" . ", "file"),
        ("", "file"),
        ("/", "file"),
        ("x" * 300 + ".png", "x" * 251 + ".png"),
    ],
)
def test_names_are_cleaned(given: str, kept: str) -> None:
    assert clean_name(given) == kept


def test_a_name_with_nul_is_refused() -> None:
    with pytest.raises(Problem, match="NUL"):
        clean_name("a\0.png")


def test_a_name_can_break_no_header() -> None:
    header = content_disposition('a"b\\c;d%\r\né猫.html', inline=False)
    assert header == (
        'attachment; filename="a_b_c;d_____.html"; '
        "filename*=UTF-8''a%22b%5Cc%3Bd%25%0D%0A%C3%A9%E7%8C%AB.html"
    )
    assert content_disposition(None, inline=True).startswith('inline; filename="file"')


@pytest.mark.parametrize(
    ("header", "span"),
    [
        (None, None),
        ("", None),
        ("bytes=0-0", Span(0, 1)),
        ("bytes=2-4", Span(2, 5)),
        ("Bytes=2-", Span(2, 10)),
        ("bytes=2-99", Span(2, 10)),
        ("bytes=-3", Span(7, 10)),
        ("bytes=-99", Span(0, 10)),
        ("bytes=4-2", None),
        ("bytes=0-1,4-5", None),
        ("lines=0-1", None),
        ("bytes=a-b", None),
        ("bytes=-", None),
        ("bytes=0-" + "9" * 30, None),
    ],
)
def test_ranges(header: str | None, span: Span | None) -> None:
    assert find_span(header, 10) == span


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=99-100"])
def test_ranges_beyond_the_end(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        find_span(header, 10)


def test_a_link_lets_in_to_one_path_for_five_minutes() -> None:
    links = LinkCodec(bytes(32))
    link = links.sign("ann", "/v1/media/1/content", NOW)
    assert links.user(link, "/v1/media/1/content", later(NOW, 299)) == "ann"
    for path, now in (("/v1/media/1/content", later(NOW, 300)), ("/v1/media/2/content", NOW)):
        with pytest.raises(Unauthenticated):
            links.user(link, path, now)
    for altered in (link + "x", link[:-1], "x" + link[1:], "", "é", links.sign("ann", "", NOW)):
        with pytest.raises(Unauthenticated):
            links.user(altered, "/v1/media/1/content", NOW)
    with pytest.raises(Unauthenticated):
        LinkCodec(b"1" * 32).user(link, "/v1/media/1/content", NOW)
