"""What every store of objects promises."""

import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from domain.instants import from_datetime
from projections.objects import NoSuchObject, Objects, ObjectsError, open_objects
from projections.objects.adapter import CHUNK_BYTES, PART_BYTES
from tests.servers.process import Server

SIZES = [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, PART_BYTES - 1, PART_BYTES, 2 * PART_BYTES + 7]


async def chunked(content: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]


async def whole(objects: Objects, name: str, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in await objects.get(name, start, end)])


async def names(objects: Objects, prefix: str = "") -> list[str]:
    return sorted([stored.name async for stored in objects.list(prefix)])


@pytest.mark.parametrize("size", SIZES)
async def test_what_was_put_comes_back(objects: Objects, size: int) -> None:
    content = secrets.token_bytes(size)
    await objects.put("a/b", chunked(content))
    chunks = [chunk async for chunk in await objects.get("a/b")]
    assert b"".join(chunks) == content
    assert all(0 < len(chunk) <= CHUNK_BYTES for chunk in chunks)
    assert (await objects.head("a/b")).size == size


async def test_a_range(objects: Objects) -> None:
    content = secrets.token_bytes(3 * CHUNK_BYTES)
    await objects.put("a", chunked(content))
    for start, end in [(0, 1), (5, 2 * CHUNK_BYTES + 1), (CHUNK_BYTES, None), (10, 10**9)]:
        assert await whole(objects, "a", start, end) == content[start:end]
    assert await whole(objects, "a", 7, 7) == b""
    assert await whole(objects, "a", len(content)) == b""


async def test_put_replaces(objects: Objects) -> None:
    await objects.put("a", chunked(b"long before"))
    await objects.put("a", chunked(b"now"))
    assert await whole(objects, "a") == b"now"


async def test_a_reader_never_gets_two_contents_mixed(objects: Objects) -> None:
    await objects.put("a", chunked(b"1" * (CHUNK_BYTES + 1)))
    chunks = await objects.get("a")
    assert await anext(chunks) == b"1" * CHUNK_BYTES
    await objects.put("a", chunked(b"2" * (CHUNK_BYTES + 2)))
    with pytest.raises(ObjectsError):
        await anext(chunks)


@pytest.mark.parametrize("before", [10, 2 * PART_BYTES])
async def test_a_source_that_fails_leaves_nothing(objects: Objects, before: int) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"x" * before
        raise ValueError("gone")

    with pytest.raises(ValueError, match="gone"):
        await objects.put("a", failing())
    assert await names(objects) == []


async def test_what_is_not_there(objects: Objects) -> None:
    with pytest.raises(NoSuchObject):
        await objects.get("nothing/here")
    with pytest.raises(NoSuchObject):
        await objects.head("nothing/here")
    await objects.delete(["nothing/here"])
    assert await names(objects, "nothing") == []


async def test_delete(objects: Objects) -> None:
    for name in ("a/1", "a/2", "b"):
        await objects.put(name, chunked(b"x"))
    await objects.delete(["a/1", "b", "c"])
    assert await names(objects) == ["a/2"]


async def test_list_goes_by_parts_of_the_name(objects: Objects) -> None:
    for name in ("al/1", "alice/1", "alice/2/3", "bob"):
        await objects.put(name, chunked(b"xy"))
    assert await names(objects) == ["al/1", "alice/1", "alice/2/3", "bob"]
    assert await names(objects, "al") == ["al/1"]
    assert await names(objects, "alice") == ["alice/1", "alice/2/3"]
    [stored] = [stored async for stored in objects.list("al")]
    assert stored == await objects.head("al/1")
    assert stored.size == 2


async def test_modified_is_the_time_of_the_put(objects: Objects) -> None:
    before = datetime.now(UTC)
    await objects.put("a", chunked(b"x"))
    modified = (await objects.head("a")).modified
    assert modified >= from_datetime(before - timedelta(seconds=2))
    assert modified <= from_datetime(datetime.now(UTC) + timedelta(seconds=2))


@pytest.mark.parametrize("name", ["u-../x", "u-a:b@c.d/é", "u-..../ü x"])
async def test_names_come_back_as_they_were(objects: Objects, name: str) -> None:
    await objects.put(name, chunked(b"x"))
    assert await names(objects) == [name]
    assert await whole(objects, name) == b"x"


def test_memory_is_bounded(url: str, tmp_path: Path) -> None:
    script = tmp_path / "large.py"
    script.write_text(
        "import asyncio, os, resource, sys\n"
        "from projections.objects import open_objects\n"
        "MIB = 1024 * 1024\n"
        "async def zeros(count):\n"
        "    for _ in range(count):\n"
        "        yield bytes(MIB)\n"
        "async def main():\n"
        "    objects = open_objects(sys.argv[1])\n"
        "    await objects.put('small', zeros(6))\n"
        "    [c async for c in await objects.get('small')]\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "    await objects.put('large', zeros(100))\n"
        "    size = 0\n"
        "    async for chunk in await objects.get('large'):\n"
        "        size += len(chunk)\n"
        "    assert size == 100 * MIB\n"
        "    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "    print(used, flush=True)\n"
        # A thread of obstore that has just answered may still take the interpreter's lock, and
        # aborts where that has begun to end (PyO3/pyo3-async-runtimes#40).
        "    os._exit(0)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, script, url],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
        env={"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    kibibytes = int(done.stdout)
    assert kibibytes < 48 * 1024


async def test_errors_are_of_one_kind(s3_server: Server, tmp_path: Path) -> None:
    missing = urlsplit(s3_server.url)._replace(netloc="no-such-bucket").geturl()
    objects = open_objects(f"{missing}&access_key_id=a&secret_access_key=b")
    with pytest.raises(ObjectsError):
        await objects.put("a", chunked(b"x"))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ObjectsError):
        open_objects(f"file://{tmp_path}/file")


@pytest.mark.parametrize(
    "url", ["memory://", "file://host/folder", "s3://", "s3://b?secret=x", "sqlite:///x", ""]
)
def test_another_kind_of_url_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(ValueError, match="objects are at") as refused:
        open_objects(url)
    assert "secret=x" not in str(refused.value)
