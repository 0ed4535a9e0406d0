"""What only the MongoDB store must do: indexes for all it asks, other releases, lost primaries."""

import asyncio
import contextlib
import gc
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from projections import catalogue
from projections.store import mongo, open_store
from projections.store.mongo import MongoStore
from projections.store.mongo_runs import stages
from projections.store.mongo_schema import Table
from projections.store.port import (
    Batch,
    Collection,
    Document,
    Index,
    Match,
    Scan,
    StoreError,
    Terms,
)
from tests.contract.store.notes import COLLECTIONS, COUNTS, NOTES, Count, Note, batch, begun
from tests.servers.mongo import MongoServer
from tests.servers.process import free_port

Answer = dict[str, Any]


@pytest.fixture
def url(new_mongo_url: Callable[[], str]) -> str:
    return new_mongo_url()


@pytest.fixture
def database(url: str) -> Iterator[Any]:
    """The store's database, past the store."""
    client: MongoClient[Answer] = MongoClient(url)
    with client:
        yield client.get_default_database()


@pytest.mark.parametrize(
    "url", ["mongodb://", "mongodb://host", "mongodb://me:secret@host:99999/db", "mongodb://h/a b"]
)
async def test_an_unknown_url_is_refused_in_one_line(url: str) -> None:
    with pytest.raises(ValueError, match=r"^a read store is named [^\n]*$") as caught:
        await open_store(url, COLLECTIONS)
    assert "secret" not in str(caught.value)


async def test_a_server_that_is_not_there_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mongo, "TIMEOUT", 0.1)
    with pytest.raises(StoreError):
        await open_store(f"mongodb://127.0.0.1:{free_port()}/db", COLLECTIONS)
    # pymongo leaves a socket to the collector when it is closed while it connects.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


# Indexes


def steps(plan: Any) -> Iterator[Mapping[str, Any]]:
    """All parts of an explanation, however deep."""
    if isinstance(plan, dict):
        yield plan
        for part in plan.values():
            yield from steps(part)
    elif isinstance(plan, list):
        for part in plan:
            yield from steps(part)


def assert_along_an_index(explained: Answer, index: str | None, *, any_index: bool = False) -> None:
    planned = [step["winningPlan"] for step in steps(explained) if "winningPlan" in step]
    assert planned
    for plan in planned:
        kinds = {step["stage"] for step in steps(plan) if "stage" in step}
        assert not kinds & {"COLLSCAN", "SORT"}, plan
        used = {step["indexName"] for step in steps(plan) if "indexName" in step}
        # The way to one document by its key has no name of an index.
        assert any_index or (used or kinds & {"IDHACK"}) in ({index or "_id_"}, {"IDHACK"}), plan


def possible_scans(table: Table[Any], along: str | None) -> Iterator[Scan]:
    """Every form that a run along this index can have."""
    collection = table.collection
    fields = collection.indexes[along].fields if along is not None else collection.key
    types = {field.name: field.type for field in msgspec.structs.fields(collection.document)}
    values = [1 if types[field] is int else "x" for field in fields]
    for fixed, newest in product(range(len(fields) + 1), (False, True)):
        lower: list[Any] = [None]
        upper: list[Any] = [None]
        if fixed < len(fields):
            value = values[fixed]
            lower, upper = [value, None], [1000 if isinstance(value, int) else f"{value}~", None]
        for above, below, limit in product(lower, upper, (1, None)):
            yield Scan(tuple(values[:fixed]), along, above, below, newest, limit)


@pytest.fixture
async def read_models(url: str, database: Any) -> AsyncIterator[Any]:
    """The read models' database. Their collections are there, for otherwise no plan is made."""
    store = await open_store(url, catalogue.COLLECTIONS)
    for collection in catalogue.COLLECTIONS:
        with contextlib.suppress(PyMongoError):
            database.create_collection(collection.name)
    # Of two indexes with the same order the planner takes the one that reads less, which only
    # documents can tell it.
    database["reports"].insert_many(
        {"_id": {"chat": f"{n % 20}", "message": n, "reporter": "r"}, "place": f"x{n:03}"}
        for n in range(400)
    )
    yield database
    await store.close()


@pytest.mark.parametrize("collection", catalogue.COLLECTIONS, ids=lambda c: c.name)
def test_no_run_needs_sorting_or_reads_what_it_does_not_show(
    read_models: Any, collection: Collection[Any]
) -> None:
    table = Table(collection)
    for along in (None, *collection.indexes):
        for scan in possible_scans(table, along):
            first, other = stages(table, scan), stages(table, scan)
            pipeline = [*first, {"$unionWith": {"coll": table.name, "pipeline": other}}]
            explained = read_models.command(
                "explain", {"aggregate": table.name, "pipeline": pipeline, "cursor": {}}
            )
            # What is given whole is one document, whichever index leads to it.
            whole = along is not None and len(scan.equal) == len(collection.indexes[along].fields)
            assert_along_an_index(explained, None if whole else along, any_index=whole)


async def test_every_other_question_has_its_index(url: str, database: Any) -> None:
    store = await open_store(url, COLLECTIONS)
    await store.write(batch(Note(seq=1, room="a", number=1, time="t", terms={"be": 1, "bee": 1})))
    database.command("profile", 2)
    await store.get(NOTES, [("a", 1), ("a", 2)])
    place = ("t5", "a", 1)
    for all_of in ((), (("be",),), (("be", "bee"), ("c",)), (("be",), ("bee",), ("b", "c"))):
        await store.match(NOTES, Match(("a", "b"), all_of, 5, "t", "u", place))
    await begun(store, NOTES, ["a", "b"], "b", 9)
    await store.write(batch(Note(seq=2, room="a", number=1, time="t")))
    database.command("profile", 0)
    asked = list(database["system.profile"].find({"ns": f"{database.name}.notes"}))
    assert {one["op"] for one in asked} >= {"query", "command", "insert", "update"}
    for one in asked:
        if one["op"] != "insert":
            assert one["planSummary"].startswith(("IXSCAN", "IDHACK")), one
            assert not one.get("hasSortStage"), one
    await store.close()


async def test_a_search_walks_along_its_rarest_word(url: str, database: Any) -> None:
    store = await open_store(url, COLLECTIONS)
    notes = [
        Note(seq=1, room="a", number=n, time=f"t{n:05}", terms={"all": 1, f"r{n % 200}": 1})
        for n in range(2000)
    ]
    await store.write(batch(*notes))
    database.command("profile", 2)
    for all_of in ((("all",), ("r7",)), (("r7",), ("all",)), (("all", "both"), ("r7", "r8"))):
        await store.match(NOTES, Match(("a",), all_of, 50))
    # Where all are common it goes through the newest.
    await store.match(NOTES, Match(("a",), (("all",), tuple(f"r{n}" for n in range(200))), 5))
    database.command("profile", 0)
    asked = {"ns": f"{database.name}.notes", "op": "query"}
    assert [one["keysExamined"] < 50 for one in database["system.profile"].find(asked)] == [
        True
    ] * 4
    await store.close()


# Readers beside a writer


async def test_runs_beside_a_writer_are_answered_from_one_state(url: str) -> None:
    store = await open_store(url, COLLECTIONS)
    rooms = [f"r{n}" for n in range(20)]

    def notes(seq: int) -> list[Note]:
        return [Note(seq=seq, room=r, number=n, kind=f"{seq:03}") for r in rooms for n in (1, 2)]

    await store.write(batch(*notes(1)))
    done = asyncio.Event()

    async def write() -> None:
        for seq in range(2, 60):
            await store.write(batch(*notes(seq)))
        done.set()

    async def read() -> set[int]:
        spreads: set[int] = set()
        while not done.is_set():
            scans = [Scan((r,), newest=n % 2 == 0) for n, r in enumerate(rooms)]
            seqs = {note.seq for run in await store.scan(NOTES, scans) for note in run}
            spreads.add(max(seqs) - min(seqs))
        return spreads

    _, *spreads = await asyncio.gather(write(), read(), read())
    # A batch is not one transaction, but one comes whole before the next.
    assert set().union(*spreads) <= {0, 1}
    await store.close()


# Other releases


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


async def test_collections_and_indexes_of_a_later_release_are_made_and_filled(url: str) -> None:
    store = await open_store(url, [ITEMS])
    await store.write(Batch([(ITEMS, MANY)], {"p": 1}))
    await store.close()

    later = Collection(
        "items",
        Priced,
        ("place", "number"),
        (Index("by_price", ("price", "at"), where="price"), Index("by_name", ("name", "number"))),
        Terms("words", "place", "at"),
    )
    store = await open_store(url, [later, NOTES])
    [newest] = await store.scan(later, [Scan((7,), along="by_price", newest=True, limit=2)])
    assert [(item.number, item.price, item.seq) for item in newest] == [(2499, 7, 2), (2498, 7, 2)]
    assert await store.count(later, [Scan(), Scan(("n1",), along="by_name")]) == [2500, 357]
    [match] = await store.match(later, Match(("p",), (("w1",),), 1))
    assert match.number == 2497
    assert await store.checkpoints() == {"p": 1}
    await store.close()


async def test_documents_of_a_form_that_is_not_declared_are_left_alone(url: str) -> None:
    store = await open_store(url, [ITEMS])
    await store.write(Batch([(ITEMS, MANY[:10])], {"p": 1}))
    await store.close()
    for other in (
        Collection("items", Strict, ("place", "number")),
        Collection("items", Item, ("number",)),
    ):
        with pytest.raises(StoreError, match="documents of items do not have the declared form"):
            await open_store(url, [other])
    store = await open_store(url, [ITEMS])
    assert await store.scan(ITEMS, [Scan()]) == [MANY[:10]]
    await store.close()


# Lost primaries


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MongoServer]:
    """One that may be stopped, for nobody else uses it."""
    server = MongoServer(tmp_path / "server")
    server.start()
    yield server
    server.stop()


async def write_until_it_goes(store: MongoStore, one: Batch) -> None:
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(StoreError):
                await store.write(one)
                return


async def test_the_store_outlives_its_server(server: MongoServer) -> None:
    store = await MongoStore.open(server.url_for("db"), COLLECTIONS)
    await store.write(batch(Count(seq=1, name="before"), p=1))
    server.kill()
    await asyncio.to_thread(server.start)
    await write_until_it_goes(store, batch(Count(seq=1, name="after"), p=2))
    assert await store.count(COUNTS, [Scan()]) == [2]
    assert await store.checkpoints() == {"p": 2}
    await store.close()


async def test_a_batch_that_met_two_primaries_moves_no_checkpoint(server: MongoServer) -> None:
    store = await MongoStore.open(server.url_for("db"), COLLECTIONS)
    client: MongoClient[Answer] = MongoClient(server.url)

    def step_down() -> None:
        # The only member is elected anew after that.
        with contextlib.suppress(PyMongoError):
            client.admin.command("replSetStepDown", 1, secondaryCatchUpPeriodSecs=0, force=True)

    await store.write(batch(Count(seq=1, name="first"), p=1))
    with client:
        await asyncio.to_thread(step_down)
        # The old election is the last that the store has heard of.
        two = batch(Count(seq=1, name="a"), Note(seq=1, room="a", number=1), p=2)
        with pytest.raises(StoreError, match="primary has changed"):
            await store.write(two)
        assert await store.checkpoints() == {"p": 1}
        await store.write(two)
    assert await store.checkpoints() == {"p": 2}
    await store.close()
