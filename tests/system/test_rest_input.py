"""Bodies that are wrong in themselves, on every path that takes one."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.servers.hansard import HansardServer
from tests.system.rest_support import Person, done, fields, people, refused, shown

MIB = 1024 * 1024

WITH_BODY = [
    ("PUT", "/v1/me"),
    ("POST", "/v1/chats"),
    ("PATCH", "/v1/chats/{chat}"),
    ("POST", "/v1/chats/{chat}/members"),
    ("PUT", "/v1/chats/{chat}/members/{user}"),
    ("PUT", "/v1/chats/{chat}/filing"),
    ("PUT", "/v1/chats/{chat}/read"),
    ("PUT", "/v1/chats/{chat}/delivered"),
    ("POST", "/v1/chats/{chat}/messages"),
    ("PATCH", "/v1/chats/{chat}/messages/{seq}"),
    ("PUT", "/v1/chats/{chat}/messages/{seq}/reaction"),
]


@pytest.fixture(params=WITH_BODY, ids=lambda one: " ".join(one))
async def target(server: HansardServer, request: pytest.FixtureRequest) -> AsyncIterator["Target"]:
    method, path = request.param
    async with people(server, "ann") as (ann,):
        chat = await ann.chat()
        message = await ann.say(chat, "Hi")
        yield Target(ann, method, path.format(chat=chat, user=ann.user, seq=message["seq"]))


class Target:
    """An operation that takes a body, on what there is."""

    def __init__(self, person: Person, method: str, path: str) -> None:
        self.person = person
        self.method = method
        self.path = path

    async def take(
        self, body: bytes | AsyncIterator[bytes], media_type: str | None = "application/json"
    ) -> httpx.Response:
        headers = {"Content-Type": media_type} if media_type else {}
        return await self.person.request(self.method, self.path, content=body, headers=headers)


async def test_what_is_no_json_is_400(target: Target) -> None:
    for body in (b"{", b"{'a': 1}", b'{"a" 1}', b"nonsense", b"\xef\xbb\xbf{}", b"{]", b"\xff"):
        refused(await target.take(body), "bad_json")


@pytest.mark.parametrize(
    "value",
    [
        b"NaN",
        b"'x'",
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\\ud800"',
        b'"\\udc00 \\ud800"',
        b'"a\x00b"',
        b'"x" "y"',
        b'"x"}{',
        b'"x',
    ],
)
async def test_text_that_is_none_is_400(server: HansardServer, value: bytes) -> None:
    async with people(server, "ann") as (ann,):
        refused(await Target(ann, "PUT", "/v1/me").take(b'{"name": %s}' % value), "bad_json")


async def test_too_deep_a_body_is_400(server: HansardServer) -> None:
    async with people(server, "ann") as (ann,):
        target = Target(ann, "POST", f"/v1/chats/{await ann.chat()}/messages")
        body = b'{"metadata": {"x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}}"
        refused(await target.take(body), "bad_json")


async def test_what_is_no_object_is_422(target: Target) -> None:
    for body in (b"", b"  ", b"[]", b"null", b"1", b'"x"', b"[{}]"):
        assert fields(await target.take(body)) == ["body"]


async def test_unknown_fields_are_refused(target: Target) -> None:
    assert fields(await target.take(b'{"surprise": 1}')) == ["surprise"]


async def test_other_media_types_are_415(target: Target) -> None:
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/mixed", "x"):
        refused(await target.take(b"{}", media_type), "unsupported_media_type")


async def test_encoded_bodies_are_415(target: Target) -> None:
    answer = await target.person.request(
        target.method, target.path, json={}, headers={"Content-Encoding": "gzip"}
    )
    refused(answer, "unsupported_media_type")


async def test_the_media_type_may_have_parameters_or_be_left_out(server: HansardServer) -> None:
    async with people(server, "ann") as (ann,):
        target = Target(ann, "PUT", "/v1/me")
        for media_type in ("application/json; charset=utf-8", "Application/JSON", None):
            shown(await target.take(b'{"name": "Ann"}', media_type))


async def test_large_bodies_are_413(target: Target) -> None:
    refused(await target.take(b" " * (10 * MIB)), "too_large")
    # The server and the connection are as before.
    shown(await target.person.get("/v1/me"))


async def test_large_bodies_in_chunks_are_413_before_they_end(target: Target) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(40):
            sent += 1
            yield b" " * (MIB // 4)

    refused(await target.take(chunks()), "too_large")


async def test_a_body_of_exactly_the_limit_is_read(server: HansardServer) -> None:
    async with people(server, "ann") as (ann,):
        target = Target(ann, "PUT", "/v1/me")
        body = b'{"name": "Ann"}'
        shown(await target.take(body.ljust(MIB)))
        refused(await target.take(body.ljust(MIB + 1)), "too_large")


async def test_a_body_where_none_belongs_is_passed_over(server: HansardServer) -> None:
    async with people(server, "ann") as (ann,):
        chat = await ann.chat()
        shown(await ann.request("GET", "/v1/me", content=b"x" * MIB))
        at = f"/v1/chats/{chat}/messages/{(await ann.say(chat, 'Hi'))['seq']}"
        done(await ann.request("DELETE", at, params={"for": "me"}, content=b"nonsense"))


@pytest.mark.parametrize("text", ["😀", "\u202e", "\ufffe", "\x01", "a" * 8192, "🏳️‍🌈", "\\u0000"])
async def test_text_comes_back_as_it_was(server: HansardServer, text: str) -> None:
    async with people(server, "ann") as (ann,):
        chat = await ann.chat()
        assert (await ann.say(chat, text))["content"] == text
        assert await ann.contents(chat) == [text]
