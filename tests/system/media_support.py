"""Uploads over REST, as apps make them and as no app would."""

from typing import Any

import httpx

from tests import files
from tests.system.rest_support import Person, shown

MIB = 1024 * 1024


async def post(
    person: Person, content: bytes, name: str = "a.bin", key: str | None = None
) -> httpx.Response:
    """Upload, with a declared type that is never true."""
    headers = {"Idempotency-Key": key} if key else {}
    parts = {"file": (name, content, "text/html")}
    return await person.post("/v1/media", files=parts, headers=headers)


async def uploaded(person: Person, content: bytes | None = None, name: str = "a.png") -> Any:
    """The media item of an upload; of a picture unless told otherwise."""
    return shown(await post(person, files.picture() if content is None else content, name), 201)


async def send(person: Person, chat: str, media: str, kind: str = "image", **more: Any) -> Any:
    body = {"kind": kind, "metadata": {"media": media}, **more}
    return shown(await person.post(f"/v1/chats/{chat}/messages", json=body), 201)


async def readers(media: str, *people: Person) -> list[str]:
    """The names of those who can read an item: all of it, or nothing at all."""
    able = []
    for person in people:
        answers = [
            await person.get(f"/v1/media/{media}{part}") for part in ("", "/content", "/thumbnail")
        ]
        statuses = {answer.status_code for answer in answers}
        assert statuses in ({200}, {404}), statuses
        if statuses == {200}:
            able.append(person.name)
        else:
            assert {answer.json()["code"] for answer in answers} == {"media_not_found"}
    return able


def multipart(*parts: bytes, end: bytes = b"--limit--\r\n") -> dict[str, Any]:
    """A body put together by hand, for httpx."""
    body = b"".join(b"--limit\r\n" + part + b"\r\n" for part in parts) + end
    return {"content": body, "headers": {"Content-Type": "multipart/form-data; boundary=limit"}}


def part(content: bytes, disposition: bytes = b'name="file"; filename="a.txt"') -> bytes:
    return b"Content-Disposition: form-data; " + disposition + b"\r\n\r\n" + content
