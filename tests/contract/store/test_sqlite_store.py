"""What only the SQLite store must do: survive other releases, full disks and sudden ends."""

import asyncio
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from projections.store import open_store
from projections.store.port import (
    Batch,
    Collection,
    Document,
    Index,
    Match,
    ReadStore,
    Scan,
    StoreError,
    Terms,
)
from projections.store.sqlite import SqliteStore
from tests.contract.store.endless_writer import NOTES_A_BATCH, numbered
from tests.contract.store.notes import COLLECTIONS, NOTES, TAGS, Note, batch, begun

ROOT = Path(__file__).parents[3]


class Item(Document, frozen=True):
    place: str
    number: int
    at: str
    name: str = ""
    words: list[str] = msgspec.field(default_factory=list)


class Priced(Item, frozen=True):
    """An item as a later release has it."""

    price: int = 7


class Strict(Item, frozen=True, kw_only=True):
    """A form no stored item has."""

    owner: str


ITEMS = Collection("items", Item, ("place", "number"), (Index("by_name", ("name",)),))
MANY = [
    Item(seq=2, place="p", number=n, at=f"t{n:04}", name=f"n{n % 7}", words=[f"w{n % 3}"])
    for n in range(2500)
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "read.db"


async def opened(path: Path, *collections: Collection[Any]) -> SqliteStore:
    store = await open_store(f"sqlite:///{path}", collections or COLLECTIONS)
    assert isinstance(store, SqliteStore)
    return store


async def test_the_folder_is_made(tmp_path: Path) -> None:
    store = await opened(tmp_path / "new" / "folder" / "read.db")
    await store.close()
    assert (tmp_path / "new" / "folder" / "read.db").is_file()


@pytest.mark.parametrize(
    "url", ["", "sqlite", "sqlite://", "sqlite:///", "sqlite://a.db", "x:///a"]
)
async def test_an_unknown_url_is_refused_in_one_line(url: str) -> None:
    with pytest.raises(ValueError, match=r"^a read store is named .*$"):
        await open_store(url, COLLECTIONS)


def test_a_file_of_something_else_is_refused(path: Path) -> None:
    path.write_bytes(b"These are no pages of a database. " * 200)
    with pytest.raises(StoreError, match=r"read\.db: file is not a database"):
        asyncio.run(opened(path))
    assert path.read_bytes() == b"These are no pages of a database. " * 200


@pytest.mark.parametrize("newest", [False, True])
async def test_no_run_needs_sorting(path: Path, newest: bool) -> None:
    store = await opened(path)
    scans = [
        Scan(("a",), newest=newest),
        Scan(("a",), above=3, newest=newest),
        Scan(("a",), along="by_kind", newest=newest),
        Scan(("a", None), along="by_kind", newest=newest),
        Scan(along="by_due", above=1, newest=newest),
        Scan(("a",), along="done", below=9, newest=newest),
    ]
    plans: list[str] = []
    with sqlite3.connect(path) as connection:
        statements: list[str] = []
        connection.set_trace_callback(statements.append)
        store._runs["notes"].scan(connection, scans)
        connection.set_trace_callback(None)
        for statement in statements:
            if statement.startswith("SELECT"):
                plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
                plans += [step[3] for step in plan]
    connection.close()
    await store.close()
    assert any("INDEX notes:by_due" in step for step in plans)
    assert [step for step in plans if "TEMP B-TREE" in step] == []
    assert [step for step in plans if "SCAN notes" in step and "by_due" not in step] == []


async def items(store: ReadStore, collection: Collection[Any], scan: Scan) -> list[Any]:
    [found] = await store.scan(collection, [scan])
    return found


async def test_collections_and_indexes_of_a_later_release_are_made_and_filled(path: Path) -> None:
    store = await opened(path, ITEMS)
    await store.write(Batch([(ITEMS, MANY)], {"p": 1}))
    await store.close()

    later = Collection(
        "items",
        Priced,
        ("place", "number"),
        (Index("by_price", ("price", "at"), where="price"), Index("by_name", ("name", "number"))),
        Terms("words", "place", "at"),
    )
    store = await opened(path, later, NOTES)
    newest = await items(store, later, Scan((7,), along="by_price", newest=True, limit=2))
    assert [(item.number, item.price, item.seq) for item in newest] == [(2499, 7, 2), (2498, 7, 2)]
    assert await store.count(later, [Scan(), Scan(("n1",), along="by_name")]) == [2500, 357]
    [match] = await store.match(later, Match(("p",), (("w1",),), 1))
    assert match.number == 2497
    assert await store.checkpoints() == {"p": 1}
    # The guard goes on from where it was.
    await store.write(Batch([(later, [Priced(seq=2, place="p", number=0, at="t", price=1)])], {}))
    assert await items(store, later, Scan((1,), along="by_price")) == []
    await store.write(Batch([(later, [Priced(seq=3, place="p", number=0, at="t", price=1)])], {}))
    assert [item.seq for item in await items(store, later, Scan((1,), along="by_price"))] == [3]
    await store.close()

    # The earlier release comes back; what it does not know stays.
    store = await opened(path, ITEMS)
    assert len(await items(store, ITEMS, Scan(along="by_name"))) == 2500
    await store.close()


async def test_postings_of_an_earlier_layout_are_made_anew(path: Path) -> None:
    notes = [Note(seq=1, room=room, number=1, terms={"hello": 1}) for room in ("a", "b")]
    store = await opened(path)
    await store.write(batch(*notes, p=1))
    await store.close()
    with sqlite3.connect(path) as file:
        file.executescript(
            """
            DROP TABLE "notes.scopes";
            DROP TABLE "notes.terms";
            CREATE TABLE "notes.terms" (scope, term, time, k0, PRIMARY KEY (scope, term, time, k0))
            WITHOUT ROWID;
            INSERT INTO "notes.terms" VALUES ('a', 'hello', 't0', 7);
            UPDATE _collections SET declaration = json_remove(declaration, '$[4]')
            WHERE name = 'notes';
            """
        )
    file.close()
    store = await opened(path)
    assert await store.match(NOTES, Match(("a", "b"), (("hello",),), 9)) == notes[::-1]
    assert await begun(store, NOTES, ["a"], "h", 9) == ["hello"]
    assert await store.checkpoints() == {"p": 1}
    await store.close()


async def test_another_key_finds_the_same_documents(path: Path) -> None:
    store = await opened(path, ITEMS)
    await store.write(Batch([(ITEMS, MANY[:10])], {}))
    await store.close()
    by_number = Collection("items", Item, ("number",))
    store = await opened(path, by_number)
    assert await store.get(by_number, [(3,), (11,)]) == {(3,): MANY[3]}
    await store.close()


async def test_documents_of_a_form_that_is_not_declared_are_left_alone(path: Path) -> None:
    store = await opened(path, ITEMS)
    await store.write(Batch([(ITEMS, MANY[:10])], {"p": 1}))
    await store.close()
    strict: Collection[Any] = Collection("items", Strict, ("place", "number"))
    with pytest.raises(StoreError, match="documents of items do not have the declared form"):
        await opened(path, NOTES, strict)
    store = await opened(path, ITEMS)
    assert await items(store, ITEMS, Scan()) == MANY[:10]
    await store.close()

    # The same indexes, so that it shows only when a document is read.
    strict = Collection("items", Strict, ("place", "number"), tuple(ITEMS.indexes.values()))
    store = await opened(path, strict)
    with pytest.raises(StoreError, match="form"):
        await store.get(strict, [("p", 1)])
    await store.close()


async def test_readers_beside_a_writer_see_whole_batches(path: Path) -> None:
    store = await opened(path)
    rooms = [f"r{n}" for n in range(20)]

    def notes(seq: int) -> list[Note]:
        return [
            Note(seq=seq, room=r, number=n, time="t", kind=f"{seq:03}", terms={f"v{seq}": 1})
            for r in rooms
            for n in (1, 2)
        ]

    await store.write(batch(*notes(1)))
    done = asyncio.Event()

    async def write() -> None:
        for seq in range(2, 60):
            await store.write(batch(*notes(seq)))
        done.set()

    async def read() -> int:
        reads = 0
        while not done.is_set():
            got = await store.get(NOTES, [(r, n) for r in rooms for n in (1, 2)])
            assert len({note.seq for note in got.values()}) == 1
            # Scans of several forms, still one state.
            scans = [Scan((r,), newest=n % 2 == 0) for n, r in enumerate(rooms)]
            runs = await store.scan(NOTES, scans)
            assert {len(run) for run in runs} == {2}
            assert len({note.seq for run in runs for note in run}) == 1
            matched = await store.match(NOTES, Match(tuple(rooms), (), 99))
            assert len(matched) == 40
            assert len({note.seq for note in matched}) == 1
            assert len(await begun(store, NOTES, rooms, "v", 99)) == 1
            reads += 1
        return reads

    *_, reads = await asyncio.gather(write(), read(), read(), read())
    assert reads > 0
    await store.close()


async def assert_batches_are_whole(path: Path) -> int:
    """Check what the endless writer has left; answers how many batches there are."""
    store = await opened(path)
    last = (await store.checkpoints()).get("p", 0)
    notes = await items(store, NOTES, Scan())
    assert [(note.number, note.seq) for note in notes] == [
        (n, last) for n in range(NOTES_A_BATCH if last else 0)
    ]
    assert await begun(store, NOTES, ["a"], "", 9) == ([f"v{last}"] if last else [])
    assert await store.match(NOTES, Match(("a",), ((f"v{last}",),), 99)) == notes[::-1]
    assert await store.count(TAGS, [Scan()]) == [last]
    assert len(await store.match(TAGS, Match(("a",), (("tag",),), last + 9))) == last
    await store.close()
    return last


@pytest.mark.parametrize("batches", [1, 7, 40])
async def test_a_killed_writer_leaves_whole_batches(path: Path, batches: int) -> None:
    module = "tests.contract.store.endless_writer"
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, f"sqlite:///{path}", cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert writer.stdout is not None
    acknowledged = 0
    while acknowledged < batches:
        acknowledged = int(await writer.stdout.readline())
    writer.kill()
    acknowledged = max([acknowledged, *map(int, (await writer.stdout.read()).split())])
    await writer.wait()
    assert await assert_batches_are_whole(path) in (acknowledged, acknowledged + 1)


async def write_batches(path: Path, last: int) -> bytes:
    """Write as the endless writer does; answers the write-ahead log, as it was before closing."""
    store = await opened(path)
    for n in range(1, last + 1):
        await store.write(numbered(n))
    log = await asyncio.to_thread(Path(f"{path}-wal").read_bytes)
    await store.close()
    return log


def test_a_power_cut_takes_back_whole_batches(path: Path, tmp_path: Path) -> None:
    """It may cut the write-ahead log anywhere, for that was not forced to the disk."""
    asyncio.run(write_batches(path, 0))
    bare = path.read_bytes()
    log = asyncio.run(write_batches(path, 12))
    left = []
    for part in range(11):
        cut = tmp_path / f"cut{part}.db"
        cut.write_bytes(bare)
        Path(f"{cut}-wal").write_bytes(log[: max(0, len(log) * part // 10 - part)])
        left.append(asyncio.run(assert_batches_are_whole(cut)))
    assert left == sorted(left)
    assert left[0] == 0
    assert 0 < left[5] < 12
    assert left[10] == 11


def pragma(store: SqliteStore, text: str) -> None:
    store._connection.execute(f"PRAGMA {text}").fetchall()


def long_notes(seq: int, numbers: Sequence[int]) -> list[Note]:
    return [
        Note(seq=seq, room="a", number=n, text="x" * 5000, terms={f"w{n}": 1, f"v{seq}": 1})
        for n in numbers
    ]


async def test_a_full_disk_fails_the_batch_and_nothing_else(path: Path) -> None:
    store = await opened(path)
    await store.write(batch(*long_notes(1, range(5)), p=1))
    pragma(store, "max_page_count = 100")
    much = batch(*long_notes(2, range(200)), p=2)
    for _ in range(2):
        with pytest.raises(StoreError, match="full"):
            await store.write(much)
        assert await store.checkpoints() == {"p": 1}
        assert await items(store, NOTES, Scan()) == long_notes(1, range(5))
        assert await begun(store, NOTES, ["a"], "v", 9) == ["v1"]
    # A small one still goes in.
    await store.write(batch(*long_notes(2, [0]), p=2))
    pragma(store, "max_page_count = 1000000")
    await store.write(much)
    assert await items(store, NOTES, Scan()) == long_notes(2, range(200))
    assert await begun(store, NOTES, ["a"], "v", 9) == ["v2"]
    await store.close()


async def test_a_locked_file_fails_the_batch_and_nothing_else(path: Path) -> None:
    store = await opened(path)
    pragma(store, "busy_timeout = 0")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    one = batch(*long_notes(1, [1]), p=1)
    with pytest.raises(StoreError, match="locked"):
        await store.write(one)
    with pytest.raises(StoreError, match="locked"):
        await store.bind("log")
    assert await items(store, NOTES, Scan()) == []
    other.execute("ROLLBACK")
    other.close()
    await store.write(one)
    assert await items(store, NOTES, Scan()) == long_notes(1, [1])
    await store.close()


async def test_a_cancelled_write_is_whole_or_not_there(path: Path) -> None:
    store = await opened(path)
    tasks = [
        asyncio.create_task(store.write(batch(*long_notes(n, range(50)), p=n))) for n in (1, 2)
    ]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await store.write(batch(q=1))
    last = (await store.checkpoints()).get("p", 0)
    assert await items(store, NOTES, Scan()) == (long_notes(last, range(50)) if last else [])
    await store.close()
