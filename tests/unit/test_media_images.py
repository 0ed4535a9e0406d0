"""Images are made anew: upright, the same to look at, and with nothing else in them."""

import contextlib
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from gateway.media import images
from gateway.media.images import Picture, remake
from gateway.media.uploads import prepare
from gateway.problems import Problem
from tests import files

RED, BLUE = (254, 0, 0), (0, 0, 254)


def remade(content: bytes) -> tuple[Picture, bytes]:
    picture = remake(io.BytesIO(content))
    with picture.content as file:
        file.seek(0)
        return picture, file.read()


def refused(content: bytes) -> str:
    with pytest.raises(Problem) as raised:
        remake(io.BytesIO(content))
    return raised.value.code


def near(one: object, other: tuple[int, int, int]) -> bool:
    assert isinstance(one, tuple)
    return all(abs(a - b) < 12 for a, b in zip(one[:3], other, strict=True))


@pytest.mark.parametrize(
    ("format", "mime"),
    [
        ("JPEG", "image/jpeg"),
        ("PNG", "image/png"),
        ("GIF", "image/png"),
        ("WEBP", "image/webp"),
        ("AVIF", "image/webp"),
    ],
)
def test_a_still_image_looks_as_before(format: str, mime: str) -> None:
    picture, content = remade(files.picture(format))
    image = files.opened(content)
    assert (picture.mime, picture.width, picture.height) == (mime, 64, 48)
    assert (Image.MIME[str(image.format)], image.size) == (mime, (64, 48))
    assert near(image.convert("RGB").getpixel((5, 5)), RED)
    assert near(image.convert("RGB").getpixel((60, 40)), BLUE)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_place_and_all_other_metadata_are_gone(format: str) -> None:
    told = files.located(format)
    assert files.opened(told).getexif().get_ifd(0x8825)
    assert files.PLACE.encode() in told
    picture, content = remade(told)
    for made in (content, picture.thumbnail):
        image = files.opened(made)
        assert not image.getexif()
        assert not image.getexif().get_ifd(0x8825)
        assert files.PLACE.encode() not in made
        assert not {"exif", "xmp", "comment", "icc_profile", "photoshop"} & image.info.keys()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_picture_taken_sideways_stands_upright(format: str) -> None:
    picture, content = remade(files.located(format, orientation=6))
    image = files.opened(content).convert("RGB")
    assert (picture.width, picture.height) == image.size == (48, 64)
    assert near(image.getpixel((24, 5)), RED)
    assert near(image.getpixel((24, 60)), BLUE)
    assert files.opened(picture.thumbnail).size == (48, 64)


def test_transparency_stays() -> None:
    for format in ("PNG", "WEBP", "GIF"):
        _, content = remade(files.saved(Image.new("RGBA", (9, 9), (9, 9, 9, 0)), format))
        pixel = files.opened(content).convert("RGBA").getpixel((4, 4))
        assert isinstance(pixel, tuple)
        assert pixel[3] == 0, format


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "I;16"])
def test_every_mode_of_pixels(mode: str) -> None:
    format = "JPEG" if mode == "CMYK" else "PNG"
    picture, content = remade(files.saved(Image.new(mode, (20, 10)), format))
    assert files.opened(content).size == (picture.width, picture.height) == (20, 10)


def test_colours_of_another_profile_become_those_of_srgb() -> None:
    profiles = [
        ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()
        for space in ("sRGB", "XYZ", "LAB")
    ]
    for profile in (*profiles, b"no profile at all"):
        _, content = remade(files.picture("JPEG", icc_profile=profile))
        image = files.opened(content)
        assert "icc_profile" not in image.info
        assert near(image.getpixel((5, 5)), RED)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "AVIF"])
def test_an_animation_stays_one(format: str) -> None:
    picture, content = remade(files.animation(format))
    image = files.opened(content)
    assert picture.mime == "image/webp"
    assert (getattr(image, "n_frames", 1), image.size) == (3, (40, 30))
    durations = []
    for n in range(3):
        image.seek(n)
        image.load()
        durations.append(image.info["duration"])
    assert durations == [70, 70, 70]
    assert files.opened(picture.thumbnail).size == (40, 30)
    assert getattr(files.opened(picture.thumbnail), "n_frames", 1) == 1


def test_a_comment_of_an_animation_is_gone() -> None:
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    told = files.saved(
        frames[0], "GIF", save_all=True, append_images=frames[1:], comment=files.SCRIPT
    )
    assert files.SCRIPT in told
    assert files.SCRIPT not in remade(told)[1]


def test_thumbnails_are_small_and_never_larger_than_the_image() -> None:
    picture, _ = remade(files.picture("JPEG", (1600, 800)))
    assert files.opened(picture.thumbnail).size == (320, 160)
    assert files.opened(picture.thumbnail).format == "WEBP"
    picture, _ = remade(files.picture("PNG", (1, 1)))
    assert files.opened(picture.thumbnail).size == (1, 1)


@pytest.mark.parametrize(
    "payload", [files.HTML, b"PK\x03\x04" + b"x" * 50, b"\xff\xd8\xff\xe0 another image"]
)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP"])
def test_what_hides_behind_an_image_is_gone(format: str, payload: bytes) -> None:
    _, content = remade(files.picture(format) + payload)
    assert payload not in content


@pytest.mark.parametrize(
    "content",
    [
        files.bomb(20_000, 20_000),
        files.claimed(50_000, 50_000),
        files.claimed(2**31 - 1, 2**31 - 1),
        files.text_bomb(),
        files.animation("GIF", 120, (800, 600)),
        files.claimed(images.MAX_PIXELS + 1, 1),
    ],
    ids=["pixels", "claimed", "claimed most", "text", "frames", "one too many"],
)
def test_bombs_are_refused(content: bytes) -> None:
    assert refused(content) == "invalid_request"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated_images_are_refused(format: str, share: float) -> None:
    noise = Image.effect_noise((200, 200), 90).convert("RGB")
    content = files.saved(noise, format)
    assert refused(content[: int(len(content) * share)]) == "invalid_request"


@pytest.mark.parametrize("format", ["BMP", "TIFF", "ICO"])
def test_other_kinds_of_images_are_not_taken(format: str) -> None:
    content = files.picture(format)
    assert refused(content) == "invalid_request"
    with pytest.raises(Problem) as raised:
        prepare(io.BytesIO(content))
    assert raised.value.code == "unsupported_media_type"


@pytest.mark.parametrize("head", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff\xe0"])
def test_what_only_begins_like_an_image_is_broken(head: bytes) -> None:
    assert refused(head + files.HTML) == "invalid_request"


SEEDS = [
    files.saved(Image.effect_noise((60, 60), 90).convert("RGB"), format)
    for format in ("JPEG", "PNG", "GIF", "WEBP", "AVIF")
] + [files.animation(format) for format in ("GIF", "WEBP", "PNG", "AVIF")]
EDIT = st.tuples(st.integers(0, 2**16), st.integers(0, 12), st.binary(max_size=12))


@given(content=st.sampled_from(SEEDS), edits=st.lists(EDIT, min_size=1, max_size=12))
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_a_damaged_image_is_remade_or_refused(
    content: bytes, edits: list[tuple[int, int, bytes]]
) -> None:
    damaged = bytearray(content)
    for at, length, put in edits:
        at %= len(damaged) or 1
        damaged[at : at + length] = put
    with contextlib.suppress(Problem):
        prepare(io.BytesIO(bytes(damaged))).content.close()
