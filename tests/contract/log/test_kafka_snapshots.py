"""Snapshots of the deciders' caches: who has no file of their own begins with one."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from uuid import uuid4

import pytest
import structlog

from projections.objects import open_objects
from tests.contract.log.random_commands import random_commands
from tests.contract.log.seat import Seat, decide, kept, seated
from tests.servers.process import Server
from workers.log import kafka_snapshots
from workers.log.kafka_snapshots import Snapshots
from workers.log.kafka_tenure import KafkaTenure

SECONDS = 60
EVERY = 20


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_snapshots, "EVERY", EVERY)


@pytest.fixture(params=["file", "s3"])
def objects_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return f"file://{tmp_path}/objects"
    server: Server = request.getfixturevalue("s3_server")
    return server.url_for(uuid4().hex) + "&access_key_id=a&secret_access_key=b"


@pytest.fixture
async def seat(kafka_server: Server, tmp_path: Path, objects_url: str) -> AsyncIterator[Seat]:
    url = f"{kafka_server.url_for(uuid4().hex)}?partitions=1"
    async with seated(url, tmp_path, objects_url) as seat:
        yield seat


async def kept_by(tenure: KafkaTenure) -> None:
    """Wait for the snapshot under way."""
    assert tenure._snapshot is not None
    await tenure._snapshot


async def fill(seat: Seat, seed: int, cache: Path | None = None) -> None:
    """More than one snapshot's worth of events, some of them after the last one."""
    async with asyncio.timeout(SECONDS), seat.taken(cache) as tenure:
        await seat.put(*random_commands(seed, 90))
        await decide(tenure, 90, lambda: 10)
        await kept_by(tenure)


async def restored(seat: Seat, cache: Path) -> int:
    """How many records a tenure with this cache folds."""
    with structlog.testing.capture_logs() as told:
        async with asyncio.timeout(SECONDS), seat.taken(cache):
            pass
    [records] = [one["records"] for one in told if one["event"] == "partition_restored"]
    return int(records)


async def test_a_newcomer_begins_with_the_snapshot(seat: Seat) -> None:
    await fill(seat, 1)
    whole = kept(seat.cache)
    snapshot = seat.folder / "snapshot.db"
    assert await seat.snapshots.fetch(0, snapshot)
    events = {kind: records for table, kind, *_, records in whole if table == "places"}
    assert events["chats"] + events["users"] > EVERY
    shutil.copy(snapshot, seat.folder / "newcomer.db")
    from_snapshot = await restored(seat, seat.folder / "other.db")
    assert from_snapshot == await restored(seat, seat.folder / "newcomer.db")
    assert from_snapshot < sum(events.values()) - EVERY / 2
    assert kept(seat.folder / "other.db") ^ whole == set()
    assert leftovers(seat.folder) == []


def truncated(snapshot: Path) -> None:
    snapshot.write_bytes(snapshot.read_bytes()[:-4096])


def cut_to_pieces(snapshot: Path) -> None:
    snapshot.write_bytes(snapshot.read_bytes()[:1000])


def emptied(snapshot: Path) -> None:
    snapshot.write_bytes(b"")


def of_another_layout(snapshot: Path) -> None:
    with closing(sqlite3.connect(snapshot)) as db:
        db.executescript("PRAGMA user_version=1")


async def put(seat: Seat, snapshot: Path) -> None:
    content = kafka_snapshots._chunks(snapshot)
    await seat.snapshots._objects.put(seat.snapshots._name(0), content)


def leftovers(folder: Path) -> list[Path]:
    return [*folder.glob("*.copy"), *folder.glob("*.fetched")]


@pytest.mark.parametrize("spoil", [truncated, cut_to_pieces, emptied, of_another_layout])
async def test_a_spoilt_snapshot_is_not_used(seat: Seat, spoil: Callable[[Path], None]) -> None:
    await fill(seat, 1)
    whole, snapshot = kept(seat.cache), seat.folder / "snapshot.db"
    assert await seat.snapshots.fetch(0, snapshot)
    spoil(snapshot)
    await put(seat, snapshot)
    records = sum(row[-1] for row in whole if row[0] == "places")
    assert await restored(seat, seat.folder / "other.db") == records
    assert kept(seat.folder / "other.db") ^ whole == set()


async def test_the_snapshot_of_another_log_is_not_used(
    seat: Seat, kafka_server: Server, tmp_path: Path
) -> None:
    await fill(seat, 1)
    url = f"{kafka_server.url_for(uuid4().hex)}?partitions=1"
    async with seated(url, tmp_path / "other") as other:
        await fill(other, 2)
        whole = kept(other.cache)
        snapshot = seat.folder / "snapshot.db"
        assert await seat.snapshots.fetch(0, snapshot)
        await put(other, snapshot)
        await restored(other, other.folder / "newcomer.db")
        assert kept(other.folder / "newcomer.db") ^ whole == set()


async def test_who_has_folded_far_keeps_a_snapshot_at_once(seat: Seat) -> None:
    await fill(seat, 1)
    name = seat.snapshots._name(0)
    await seat.snapshots._objects.delete([name])
    async with asyncio.timeout(SECONDS), seat.taken(seat.folder / "new.db") as tenure:
        await kept_by(tenure)
        assert (await seat.snapshots._objects.head(name)).size > 0
    # With what is due kept already, there is none.
    async with asyncio.timeout(SECONDS), seat.taken(seat.folder / "new.db") as tenure:
        assert tenure._snapshot is None


@asynccontextmanager
async def silent_store() -> AsyncIterator[str]:
    """A store that takes connections and says nothing."""
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield f"s3://bucket?endpoint=http://127.0.0.1:{port}&access_key_id=a&secret_access_key=b"
    for writer in writers:
        writer.close()
    server.close()


async def test_a_store_that_does_not_answer_hinders_nobody(
    kafka_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_snapshots, "PATIENCE", 0.5)
    url = f"{kafka_server.url_for(uuid4().hex)}?partitions=1"
    async with silent_store() as store, seated(url, tmp_path, store) as seat:
        async with asyncio.timeout(SECONDS), seat.taken() as tenure:
            await seat.put(*random_commands(1, 90))
            await decide(tenure, 90, lambda: 10)
            assert tenure._snapshot is not None
            assert not tenure._snapshot.done()
        assert tenure._snapshot.cancelled()
        whole = kept(seat.cache)
        assert await restored(seat, tmp_path / "new.db") > 0
        assert kept(tmp_path / "new.db") ^ whole == set()
        assert leftovers(tmp_path) == []


async def test_a_cache_is_copied_while_it_is_written(seat: Seat) -> None:
    """What is committed meanwhile is not in the copy, or is in it whole."""
    await fill(seat, 1)
    objects = open_objects(f"file://{seat.folder}/copies")
    snapshots = Snapshots(objects, "copies")
    async with asyncio.timeout(SECONDS), seat.taken() as tenure:
        copies = [asyncio.create_task(snapshots.keep(number, seat.cache)) for number in range(5)]
        await seat.put(*random_commands(2, 90))
        await decide(tenure, 90, lambda: 1)
        await asyncio.gather(*copies)
    whole = kept(seat.cache)
    for number in range(5):
        cache = seat.folder / f"copy-{number}.db"
        assert await snapshots.fetch(number, cache)
        await restored(seat, cache)
        assert kept(cache) ^ whole == set()
