"""Who gets an uploaded file, and in which form."""

from urllib.parse import urlsplit

import httpx
import pytest

from tests import files
from tests.servers.clients import connected
from tests.servers.hansard import HansardServer
from tests.system.media_support import readers, send, uploaded
from tests.system.rest_support import done, fields, people, refused, shown


async def test_those_who_see_a_message_read_what_it_carries(media_server: HansardServer) -> None:
    async with people(media_server, "ann", "bob", "cat", "eve") as (ann, bob, cat, eve):
        everyone = (ann, bob, cat, eve)
        media = (await uploaded(ann, name="a.png"))["id"]
        assert await readers(media, *everyone) == ["ann"]
        chat = await ann.chat(bob, cat)
        message = await send(ann, chat, media, content="look")
        assert message["metadata"] == {
            "media": media,
            "file_name": "a.png",
            "file_size": len((await ann.get(f"/v1/media/{media}/content")).content),
            "mime_type": "image/png",
            "width": 64,
            "height": 48,
            "duration": None,
            "thumbnail": f"/v1/media/{media}/thumbnail",
        }
        assert await readers(media, *everyone) == ["ann", "bob", "cat"]
        path = f"/v1/chats/{chat}/messages/{message['seq']}"
        done(await bob.delete(path, params={"for": "me"}))
        assert await readers(media, *everyone) == ["ann", "cat"]
        done(await ann.delete(f"/v1/chats/{chat}/members/{cat.user}"))
        assert await readers(media, *everyone) == ["ann"]
        shown(await ann.post(f"/v1/chats/{chat}/members", json={"users": [cat.user]}))
        assert await readers(media, *everyone) == ["ann", "cat"]
        done(await ann.delete(path, params={"for": "everyone"}))
        assert await readers(media, *everyone) == ["ann"]


async def test_from_before_ones_joining(media_server: HansardServer) -> None:
    async with people(media_server, "ann", "bob", "cat") as (ann, bob, cat):
        chat = await ann.chat(bob, history="since_joined")
        media = (await uploaded(ann))["id"]
        await send(ann, chat, media)
        shown(await ann.post(f"/v1/chats/{chat}/members", json={"users": [cat.user]}))
        assert await readers(media, bob, cat) == ["bob"]
        await send(bob, chat, media)
        assert await readers(media, bob, cat) == ["bob", "cat"]


async def test_one_may_send_on_what_one_may_read(media_server: HansardServer) -> None:
    async with people(media_server, "ann", "bob", "cat") as (ann, bob, cat):
        media = (await uploaded(ann))["id"]
        between = await ann.chat(bob, kind="direct")
        body = {"kind": "image", "metadata": {"media": media}}
        for chat in (between, await bob.chat(cat)):
            problem = refused(
                await bob.post(f"/v1/chats/{chat}/messages", json=body), "media_not_found", 422
            )
            assert [error["field"] for error in problem["errors"]] == ["metadata.media"]
        await send(ann, between, media)
        await send(bob, await bob.chat(cat), media)
        assert await readers(media, ann, bob, cat) == ["ann", "bob", "cat"]
        refused(await cat.put("/v1/me", json={"avatar": media}), "media_not_found", 422)


async def test_the_kind_of_a_message_fits_the_file(media_server: HansardServer) -> None:
    async with people(media_server, "ann", "bob") as (ann, bob):
        chat = await ann.chat(bob)
        takes = {
            "image": (files.picture(), "image file"),
            "sound": (files.sound(), "audio voice_note file"),
            "film": (files.mp4(), "audio voice_note video file"),
            "text": (b"some text", "file"),
        }
        for content, kinds in takes.values():
            media = (await uploaded(ann, content))["id"]
            for kind in ("image", "file", "audio", "video", "voice_note"):
                if kind in kinds.split():
                    await send(ann, chat, media, kind)
                    continue
                body = {"kind": kind, "metadata": {"media": media}}
                answer = await ann.post(f"/v1/chats/{chat}/messages", json=body)
                assert fields(answer) == ["kind"]


async def test_what_the_server_fills_in_can_not_be_sent(media_server: HansardServer) -> None:
    async with people(media_server, "ann", "bob") as (ann, bob):
        chat, media = await ann.chat(bob), (await uploaded(ann))["id"]
        for name in ("file_name", "file_size", "mime_type", "width", "duration", "thumbnail"):
            body = {"kind": "image", "metadata": {"media": media, name: None}}
            answer = await ann.post(f"/v1/chats/{chat}/messages", json=body)
            assert fields(answer) == [f"metadata.{name}"]


async def test_by_websocket(media_server: HansardServer) -> None:
    async with people(media_server, "ann", "bob") as (ann, bob):
        chat, media = await ann.chat(bob), (await uploaded(ann))["id"]
        async with connected(media_server, bob.user) as socket:
            stolen = await socket.ask("send", chat=chat, kind="image", metadata={"media": media})
            assert (stolen["op"], stolen["code"]) == ("error", "media_not_found")
            await send(ann, chat, media)
            event = await socket.event("message.sent", stream=f"chats/{chat}")
            assert event["data"]["media"] == media
            sent_on = await socket.ask("send", chat=chat, kind="file", metadata={"media": media})
            assert sent_on["op"] == "ack"


async def test_avatars(media_server: HansardServer) -> None:
    async with people(media_server, "ann", "bob", "cat") as (ann, bob, cat):
        everyone = (ann, bob, cat)
        own, groups = (await uploaded(ann))["id"], (await uploaded(ann))["id"]
        sound = (await uploaded(ann, files.sound()))["id"]
        refused(await ann.put("/v1/me", json={"avatar": sound}), "media_not_found", 422)
        refused(await bob.put("/v1/me", json={"avatar": own}), "media_not_found", 422)
        shown(await ann.put("/v1/me", json={"avatar": own}))
        assert await readers(own, *everyone) == ["ann", "bob", "cat"]
        chat = await ann.chat(bob, avatar=groups)
        assert await readers(groups, *everyone) == ["ann", "bob"]
        shown(await ann.put("/v1/me", json={"avatar": None}))
        shown(await ann.patch(f"/v1/chats/{chat}", json={"avatar": None}))
        assert await readers(own, *everyone) == await readers(groups, *everyone) == ["ann"]


async def test_nobody_learns_of_an_item_that_is_not_theirs(media_server: HansardServer) -> None:
    async with people(media_server, "ann", "eve") as (ann, eve):
        media = (await uploaded(ann))["id"]
        for part in ("", "/content", "/thumbnail"):
            known = await eve.get(f"/v1/media/{media}{part}")
            unknown = await eve.get(f"/v1/media/00000000-0000-5000-8000-000000000000{part}")
            strange = await eve.get(f"/v1/media/{'x' * 200}{part}")
            assert known.content == unknown.content == strange.content
            refused(known, "media_not_found")


async def test_links_let_in_without_a_header_and_to_nothing_else(
    media_server: HansardServer,
) -> None:
    async with people(media_server, "ann", "bob") as (ann, bob):
        chat = await ann.chat(bob)
        media = (await uploaded(ann))["id"]
        await send(ann, chat, media)
        item = shown(await bob.get(f"/v1/media/{media}"))
        link = urlsplit(item["url"]).query
        other = (await uploaded(ann))["id"]
        async with httpx.AsyncClient(base_url=media_server.url, verify=False) as browser:
            assert (await browser.get(item["url"])).status_code == 200
            assert (await browser.head(item["url"])).status_code == 200
            assert (await browser.get(item["thumbnail_url"])).status_code == 200
            for path in (
                f"/v1/media/{media}?{link}",
                f"/v1/media/{media}/content",
                f"/v1/media/{media}/thumbnail?{link}",
                f"/v1/media/{other}/content?{link}",
                f"/v1/media/{media}/content?{link}x",
                f"/v1/media/{media}/content?{link[:-1]}",
                f"/v1/media/{media}/content?link=",
                f"/v1/media/{media}/content?link={'x' * 3000}",
                f"/v1/media/{media}/content?link=%C3%A9",
            ):
                refused(await browser.get(path), "unauthenticated")
            # It lets in as the one it was made for, who must see the file still.
            done(await ann.delete(f"/v1/chats/{chat}/members/{bob.user}"))
            refused(await browser.get(item["url"]), "media_not_found")


async def test_links_begin_as_the_client_names_the_server(media_server: HansardServer) -> None:
    async with people(media_server, "ann") as (ann,):
        path = f"/v1/media/{(await uploaded(ann))['id']}"
        for host in ("chat.example.org", "[", "%", '"'):
            item = shown(await ann.get(path, headers={"Host": host}))
            assert item["url"].startswith(f"http://{host}{path}/content?link=")
            link = item["url"].removeprefix(f"http://{host}")
            assert (await ann.get(link, headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    ("asked", "status", "span"),
    [
        ("bytes=0-9", 206, (0, 10)),
        ("bytes=1000000-2000009", 206, (1_000_000, 2_000_010)),
        ("bytes=2999990-", 206, (2_999_990, 3_000_000)),
        ("bytes=-5", 206, (2_999_995, 3_000_000)),
        ("bytes=2999999-9999999", 206, (2_999_999, 3_000_000)),
        ("bytes=3000000-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=5-1", 200, (0, 3_000_000)),
        ("bytes=0-1,5-6", 200, (0, 3_000_000)),
        ("nonsense", 200, (0, 3_000_000)),
    ],
)
async def test_ranges(
    media_server: HansardServer, asked: str, status: int, span: tuple[int, int] | None
) -> None:
    content = b"%PDF" + bytes(range(256)) * 11718 + bytes(2_999_996 - 256 * 11718)
    async with people(media_server, "ann") as (ann,):
        path = f"/v1/media/{(await uploaded(ann, content))['id']}/content"
        whole = await ann.get(path)
        assert whole.content == content
        assert whole.headers["accept-ranges"] == "bytes"
        answer = await ann.get(path, headers={"Range": asked})
        head = await ann.head(path, headers={"Range": asked})
        assert (answer.status_code, head.status_code, head.content) == (status, status, b"")
        if span is None:
            refused(answer, "invalid_request", 416)
            assert answer.headers["content-range"] == f"bytes */{len(content)}"
            return
        start, end = span
        assert answer.content == content[start:end]
        assert answer.headers["content-length"] == head.headers["content-length"]
        assert int(answer.headers["content-length"]) == end - start
        if status == 206:
            assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(content)}"


async def test_what_is_known_already_is_not_sent_again(media_server: HansardServer) -> None:
    async with people(media_server, "ann") as (ann,):
        path = f"/v1/media/{(await uploaded(ann))['id']}/content"
        e_tag = (await ann.get(path)).headers["etag"]
        answer = await ann.get(path, headers={"If-None-Match": e_tag})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == e_tag
        assert (await ann.get(path, headers={"If-None-Match": '"x"'})).status_code == 200
        for if_range, status in ((e_tag, 206), ('"x"', 200)):
            headers = {"Range": "bytes=0-1", "If-Range": if_range}
            assert (await ann.get(path, headers=headers)).status_code == status
