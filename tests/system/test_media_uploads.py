"""What is taken as an upload, what is not, and what is made of it."""

import asyncio
import hashlib
import socket
import zipfile
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import httpx
import pytest

from tests import files
from tests.servers.hansard import UNLIMITED, HansardServer
from tests.system.media_support import MIB, multipart, part, post, uploaded
from tests.system.rest_support import fields, people, refused, shown, strangers


async def content_of(item: object) -> httpx.Response:
    """By the link, as a page's `<img>` asks for it."""
    assert isinstance(item, dict)
    async with httpx.AsyncClient(verify=False) as browser:
        return (await browser.get(item["url"])).raise_for_status()


async def test_a_picture(media_server: HansardServer) -> None:
    async with people(media_server, "ann") as (ann,):
        answer = await post(ann, files.located(orientation=6), "holiday.png")
        item = shown(answer, 201)
        assert answer.headers["location"] == f"/v1/media/{item['id']}"
        assert shown(await ann.get(answer.headers["location"])).keys() == item.keys()
        assert (item["owner"], item["name"], item["mime"]) == (
            ann.user,
            "holiday.png",
            "image/jpeg",
        )
        assert (item["width"], item["height"], item["duration"]) == (48, 64, None)
        content = await content_of(item)
        assert content.headers["content-type"] == "image/jpeg"
        assert len(content.content) == item["size"]
        assert hashlib.sha256(content.content).hexdigest() == item["sha256"]
        image = files.opened(content.content)
        assert image.size == (48, 64)
        assert not image.getexif()
        assert not image.getexif().get_ifd(0x8825)
        assert files.PLACE.encode() not in content.content
        async with httpx.AsyncClient(verify=False) as browser:
            thumbnail = await browser.get(item["thumbnail_url"])
        assert thumbnail.headers["content-type"] == "image/webp"
        assert files.opened(thumbnail.content).size == (48, 64)


async def test_sound_and_film(media_server: HansardServer) -> None:
    async with people(media_server, "ann") as (ann,):
        for content, mime, duration in (
            (files.sound(1.5), "audio/wav", 1.5),
            (files.mp4(2.5), "video/mp4", 2.5),
            (files.film(3.5), "video/mp4", 3.5),
            (files.webm(), "video/webm", None),
        ):
            item = await uploaded(ann, content)
            assert (item["mime"], item["duration"]) == (mime, duration)
            assert (item["thumbnail_url"], item["thumbnail"], item["width"]) == (None, None, None)
            refused(await ann.get(f"/v1/media/{item['id']}/thumbnail"), "media_not_found")
            answer = await content_of(item)
            assert answer.content == content
            assert answer.headers["content-disposition"].startswith("inline")


@pytest.mark.parametrize(
    "content",
    [files.SVG, files.HTML, b"%PDF-1.4 " + files.SCRIPT, b"MZ" + bytes(80), b"\0" * 20],
    ids=["svg", "html", "pdf", "exe", "zeros"],
)
async def test_what_could_run_is_inert(media_server: HansardServer, content: bytes) -> None:
    async with people(media_server, "ann") as (ann,):
        for name in ("a.svg", "a.html", "a.png"):
            item = await uploaded(ann, content, name)
            answer = await content_of(item)
            assert answer.content == content
            assert answer.headers["content-type"] == item["mime"]
            assert item["mime"].startswith("application/")
            assert answer.headers["content-disposition"].startswith("attachment")
            assert answer.headers["content-security-policy"] == "sandbox"
            assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("payload", [files.HTML, files.SVG, b"PK\x03\x04" + files.SCRIPT])
async def test_a_picture_that_is_something_else_too(
    media_server: HansardServer, payload: bytes
) -> None:
    async with people(media_server, "ann") as (ann,):
        for format in ("JPEG", "PNG", "GIF", "WEBP"):
            answer = await content_of(await uploaded(ann, files.picture(format) + payload))
            assert payload not in answer.content
            assert answer.headers["x-content-type-options"] == "nosniff"


async def test_an_archive_of_very_much_is_not_opened(media_server: HansardServer) -> None:
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        file.writestr("zeros", bytes(100 * MIB))
    async with people(media_server, "ann") as (ann,):
        item = await uploaded(ann, archive.getvalue())
        assert (item["mime"], item["size"]) == ("application/zip", len(archive.getvalue()))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (files.bomb(30_000, 30_000), "invalid_request"),
        (files.claimed(2**31 - 1, 2**31 - 1), "invalid_request"),
        (files.text_bomb(), "invalid_request"),
        (files.picture("JPEG", (500, 500))[:1000], "invalid_request"),
        (files.picture("PNG", (500, 500))[:200], "invalid_request"),
        (b"\x89PNG\r\n\x1a\n" + files.HTML, "invalid_request"),
        (b"GIF89a/*" + files.SCRIPT, "invalid_request"),
        (files.picture("TIFF"), "unsupported_media_type"),
        (files.picture("BMP"), "unsupported_media_type"),
        (b"", "invalid_request"),
    ],
    ids=["bomb", "claim", "text", "jpeg", "png", "html", "script", "tiff", "bmp", "empty"],
)
async def test_what_is_not_taken(media_server: HansardServer, content: bytes, code: str) -> None:
    async with people(media_server, "ann") as (ann,):
        refused(await post(ann, content, "a.png"), code)


async def test_ten_mebibytes_and_no_more(media_server: HansardServer) -> None:
    async with people(media_server, "ann") as (ann,):
        most = b"%PDF" + bytes(10 * MIB - 4)
        item = await uploaded(ann, most)
        assert item["size"] == 10 * MIB
        assert (await content_of(item)).content == most
        refused(await post(ann, most + b"x"), "too_large")

        async def endless() -> AsyncIterator[bytes]:
            yield b"--limit\r\n" + part(b"%PDF")
            for _ in range(40):
                yield bytes(MIB)

        headers = {"Content-Type": "multipart/form-data; boundary=limit"}
        try:
            answer = await ann.post("/v1/media", content=endless(), headers=headers)
        except httpx.WriteError:
            pass  # The server stops reading, and a client that goes on finds nobody.
        else:
            refused(answer, "too_large")


@pytest.mark.parametrize(
    "body",
    [
        multipart(),
        multipart(part(b"x", b'name="other"; filename="a"')),
        multipart(part(b"x", b'name="file"')),
        multipart(part(b"x"), part(b"y")),
        multipart(part(b"x"), part(b"y", b'name="more"')),
        multipart(part(b"x", b'filename="a"')),
        multipart(part(b"x", b'name="file"; filename="a\0b"')),
        multipart(part(b"x"), end=b""),
        multipart(part(b""), end=b"--limit--\r\n"),
        {"content": b"", "headers": {"Content-Type": "multipart/form-data; boundary=limit"}},
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=limit"}},
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
        {"content": b"\xff" * 99, "headers": {"Content-Type": 'multipart/form-data; boundary=""'}},
    ],
    ids=range(13),
)
async def test_other_bodies_are_422(media_server: HansardServer, body: dict[str, object]) -> None:
    async with people(media_server, "ann") as (ann,):
        answer = await ann.post("/v1/media", **body)  # type: ignore[arg-type]
        assert fields(answer) == ["file"]


async def test_other_types_of_bodies_are_415(media_server: HansardServer) -> None:
    async with people(media_server, "ann") as (ann,):
        refused(await ann.post("/v1/media", json={"file": "x"}), "unsupported_media_type")
        refused(await ann.post("/v1/media"), "unsupported_media_type")
        body = multipart(part(b"x"))
        body["headers"]["Content-Encoding"] = "gzip"
        refused(await ann.post("/v1/media", **body), "unsupported_media_type")


async def test_a_length_that_is_not_true(media_server: HansardServer) -> None:
    """A body that ends before its declared length makes no item, and no trouble."""
    async with people(media_server, "ann") as (ann,):
        body = multipart(part(b"%PDF short"))["content"]
        head = (
            "POST /v1/media HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Authorization: {ann.headers['Authorization']}\r\n"
            "Content-Type: multipart/form-data; boundary=limit\r\nContent-Length: "
        )
        for length in (len(body) + 100, 11 * MIB, len(body) - 5):
            reader, writer = await asyncio.open_connection("127.0.0.1", media_server.port)
            writer.write(f"{head}{length}\r\n\r\n".encode() + body)
            writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
            answer = await reader.read()
            assert b" 201 " not in answer
            assert b" 500 " not in answer
            writer.close()
        assert (await ann.get("/v1/me")).status_code == 200


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("Grüße 猫 🐈.pdf", "Grüße 猫 🐈.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\a.pdf", "a.pdf"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("", "file"),
    ],
)
async def test_names(media_server: HansardServer, sent: str, kept: str) -> None:
    async with people(media_server, "ann") as (ann,):
        disposition = b'name="file"; filename="' + sent.encode().replace(b"\\", b"\\\\") + b'"'
        body = multipart(part(b"%PDF", disposition))
        item = shown(await ann.post("/v1/media", **body), 201)
        assert item["name"] == kept
        header = (await content_of(item)).headers["content-disposition"]
        assert header.isascii()


async def test_a_name_with_quotes_and_newlines_breaks_no_header(
    media_server: HansardServer,
) -> None:
    async with people(media_server, "ann") as (ann,):
        item = await uploaded(ann, b"%PDF", 'a"; filename="b.html\r\nX-Evil: 1')
        answer = await content_of(item)
        assert "x-evil" not in answer.headers
        assert answer.headers["content-disposition"].count('filename="') == 1


async def test_the_same_again_under_one_key(media_server: HansardServer) -> None:
    async with people(media_server, "ann", "bob") as (ann, bob):
        first = shown(await post(ann, files.picture(), "a.png", "key"), 201)
        again = await post(ann, files.picture(), "another name.png", "key")
        assert again.headers["idempotent-replayed"] == "true"
        repeated = shown(again, 201)
        assert (repeated["id"], repeated["name"]) == (first["id"], "a.png")
        refused(await post(ann, files.picture("JPEG"), "a.png", "key"), "idempotency_key_reused")
        assert (await content_of(first)).content == (await content_of(repeated)).content
        other = shown(await post(bob, files.picture(), "a.png", "key"), 201)
        fresh = await uploaded(ann)
        assert len({first["id"], other["id"], fresh["id"]}) == 3


async def test_one_key_used_by_many_at_once(media_server: HansardServer) -> None:
    async with people(media_server, "ann") as (ann,):
        same = await asyncio.gather(*(post(ann, files.picture(), key="same") for _ in range(20)))
        assert len({shown(answer, 201)["id"] for answer in same}) == 1
        contents = [b"%PDF" + bytes([n]) for n in range(8)]
        answers = await asyncio.gather(*(post(ann, c, key="mixed") for c in contents * 2))
        made = [(c, a) for c, a in zip(contents * 2, answers, strict=True) if a.is_success]
        assert len({content for content, _ in made}) == 1
        assert len(made) == 2
        for answer in answers:
            if not answer.is_success:
                refused(answer, "idempotency_key_reused")
        content, answer = made[0]
        assert (await content_of(answer.json())).content == content
        feed = shown(await ann.get("/v1/me/events"))["items"]
        assert [event["type"] for event in feed].count("media.uploaded") == 2


async def test_the_same_key_after_a_restart(tmp_path: Path) -> None:
    server = HansardServer(tmp_path / "data").start()
    try:
        async with people(server, "ann") as (ann,):
            first = shown(await post(ann, files.picture(), key="key"), 201)
            server.kill()
            server.start()
            again = await post(ann, files.picture(), key="key")
            assert again.headers["idempotent-replayed"] == "true"
            assert shown(again, 201)["id"] == first["id"]
            assert (await content_of(first)).content == (await content_of(again.json())).content
    finally:
        server.stop()


async def test_quota_and_rate(tmp_path: Path) -> None:
    limits = {"HANSARD_MEDIA_QUOTA": "50KB", "HANSARD_RATE_UPLOADS": "4/hour"}
    server = HansardServer(tmp_path / "data", {**UNLIMITED, **limits}).start()
    try:
        async with people(server, "ann", "bob") as (ann, bob):
            first = b"%PDF" + bytes(40_000)
            shown(await post(ann, first, key="first"), 201)
            refused(await post(ann, b"%PDF" + bytes(20_000)), "quota_exceeded")
            assert shown(await post(ann, first, key="first"), 201)["size"] == 40_004
            await uploaded(ann, b"%PDF")
            limited = await post(ann, b"%PDF")
            refused(limited, "rate_limited")
            assert int(limited.headers["retry-after"]) > 0
            await uploaded(bob, b"%PDF")
            shown(await ann.put("/v1/me", json={"name": "Other rates are others"}))
    finally:
        server.stop()


async def test_who_may_upload(media_server: HansardServer) -> None:
    async with strangers(media_server, "eve") as (eve,):
        refused(await post(eve, files.picture()), "not_registered")
        del eve.headers["Authorization"]
        refused(await post(eve, files.picture()), "unauthenticated")


async def test_the_event_holds_no_name_in_the_clear(media_server: HansardServer) -> None:
    async with people(media_server, "ann") as (ann,):
        item = await uploaded(ann, name="secret plans.png")
        feed = shown(await ann.get("/v1/me/events"))["items"]
        [event] = [one for one in feed if one["type"] == "media.uploaded"]
        expected = {
            f: item[f] for f in ("name", "mime", "size", "sha256", "width", "height", "thumbnail")
        }
        assert event["data"] == {"media": item["id"], **expected}
        log = b"".join(file.read_bytes() for file in media_server.folder.glob("log.db*"))
        assert item["id"].encode() in log
        assert b"secret plans" not in log
        assert item["sha256"].encode() not in log
