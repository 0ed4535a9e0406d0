"""Whatever is written in whatever order, a store answers as the model does."""

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from projections.store import open_store
from projections.store.port import Batch, Collection, Match, ReadStore, Scan, Value
from tests.contract.store.notes import (
    COLLECTIONS,
    NOTES,
    TAGS,
    Model,
    Note,
    Tag,
    batch,
    begun,
)

ROOMS = st.sampled_from(["a", "b", "c"])
WORDS = ["", "b", "be", "bee", "c", "\x00", "\x01be", "be\x00", "é", "𝄞"] + [
    f"w{n}" for n in range(20)
]
TIMES = st.sampled_from(["t1", "t2", "t3"])
TERMS = st.lists(st.sampled_from(WORDS), max_size=4)

notes = st.builds(
    Note,
    seq=st.integers(1, 4),
    room=ROOMS,
    number=st.integers(0, 3),
    time=TIMES,
    kind=st.none() | st.sampled_from(["x", "y"]),
    due=st.none() | st.integers(0, 2),
    done=st.booleans(),
    terms=TERMS.map(lambda terms: dict.fromkeys(terms, 1)),
)
tags = st.builds(
    Tag,
    seq=st.integers(1, 4),
    tag=st.sampled_from(["x", "y", "z\x00"]),
    owner=st.none() | ROOMS,
    at=st.none() | TIMES,
    words=TERMS.map(tuple),
)
batches = st.lists(
    st.builds(
        lambda documents, checkpoints: batch(*documents, **checkpoints),
        st.lists(notes | tags, max_size=12),
        st.dictionaries(st.sampled_from(["p", "q"]), st.integers(0, 9)),
    ),
    max_size=6,
)


Run = tuple[Collection[Any], Scan]
KINDS: st.SearchStrategy[Value] = st.none() | st.sampled_from(["x", "y"])
NUMBERS: st.SearchStrategy[Value] = st.integers(0, 3)
OWNERS: st.SearchStrategy[Value] = st.none() | ROOMS
TAG_NAMES: st.SearchStrategy[Value] = st.sampled_from(["x", "y", "z\x00"])
PATHS: list[tuple[Collection[Any], str | None, tuple[st.SearchStrategy[Value], ...]]] = [
    (NOTES, None, (ROOMS, NUMBERS)),
    (NOTES, "by_kind", (ROOMS, KINDS)),
    (NOTES, "by_due", (NUMBERS, KINDS)),
    (NOTES, "done", (ROOMS, NUMBERS)),
    (TAGS, None, (TAG_NAMES,)),
    (TAGS, "by_owner", (OWNERS,)),
]


@st.composite
def scans(draw: st.DrawFn) -> Run:
    collection, along, fields = draw(st.sampled_from(PATHS))
    fixed = draw(st.integers(0, len(fields)))
    equal = tuple(draw(field) for field in fields[:fixed])
    bounds = st.none() | fields[fixed] if fixed < len(fields) else st.none()
    limit = draw(st.none() | st.integers(0, 5))
    return collection, Scan(equal, along, draw(bounds), draw(bounds), draw(st.booleans()), limit)


matches = st.builds(
    Match,
    scopes=st.lists(ROOMS, max_size=3).map(tuple),
    all_of=st.lists(st.lists(st.sampled_from(WORDS), max_size=25).map(tuple), max_size=3).map(
        tuple
    ),
    limit=st.integers(1, 6),
    since=st.none() | TIMES,
    until=st.none() | TIMES,
    after=st.none(),
    begun=st.just(()),
)


async def assert_same(store: ReadStore, model: Model) -> None:
    for collection in COLLECTIONS:
        everything = model.scan(collection, Scan())
        assert await store.scan(collection, [Scan()]) == [everything]
        if collection.terms is not None:
            whole = Match(("a", "b", "c"), (), 99)
            assert await store.match(collection, whole) == model.match(collection, whole)
            for word in (*WORDS, "absent"):
                one = whole._replace(all_of=((word,),))
                assert await store.match(collection, one) == model.match(collection, one)
            terms = await begun(store, collection, ["a", "b", "c"], "", 99)
            assert terms == model.expand(collection, ["a", "b", "c"], "", 99)
    assert await store.checkpoints() == model.checkpoints


@settings(max_examples=60, deadline=None)
@given(batches, st.lists(scans(), max_size=8), st.lists(matches, max_size=8), TERMS)
async def test_it_answers_as_the_model(
    new_store_url: Callable[[], str],
    written: list[Batch],
    runs: list[Run],
    questions: list[Match],
    prefixes: list[str],
) -> None:
    store, model = await open_store(new_store_url(), COLLECTIONS), Model()
    for one in written:
        await store.write(one)
        model.write(one)
    await assert_same(store, model)
    collections: tuple[Collection[Any], ...] = (NOTES, TAGS)
    for collection in collections:
        own = [scan for of, scan in runs if of is collection]
        expected = [model.scan(collection, scan) for scan in own]
        assert await store.scan(collection, own) == expected
        assert await store.count(collection, own) == [len(run) for run in expected]
        for question in questions:
            page = model.match(collection, question)
            assert await store.match(collection, question) == page
            if page:
                rest = question._replace(after=collection.place_of(page[-1]))
                assert await store.match(collection, rest) == model.match(collection, rest)
        for prefix in prefixes:
            found = await store.expand(collection, ["a", "c"], prefix, 5)
            assert list(found.terms) == model.expand(collection, ["a", "c"], prefix, 5)
            for question in questions:
                within = question._replace(scopes=("c", "a"), begun=(found,))
                assert await store.match(collection, within) == model.match(collection, within)
    await store.close()


@settings(max_examples=60, deadline=None)
@given(st.lists(notes | tags, max_size=15), st.data())
async def test_redelivery_in_any_order_changes_nothing(
    new_store_url: Callable[[], str], documents: list[Note | Tag], data: st.DataObject
) -> None:
    # A stream has one document for each `seq`, whoever folds it.
    versions = {(d.__class__, NOTES.key_of(d) if isinstance(d, Note) else d.tag, d.seq): d
                for d in documents}  # fmt: skip
    once = list(versions.values())
    model = Model()
    model.write(batch(*sorted(once, key=lambda document: document.seq)))

    again = data.draw(st.lists(st.sampled_from(once), max_size=10)) if once else []
    delivered = data.draw(st.permutations(once + again))
    parts = []
    while delivered:
        size = data.draw(st.integers(1, len(delivered)))
        parts.append(delivered[:size])
        delivered = delivered[size:]
    # A draw may end the example, and nobody would close the store.
    store = await open_store(new_store_url(), COLLECTIONS)
    for part in parts:
        await store.write(batch(*part))
    await assert_same(store, model)
    await store.close()
