"""What every read store must do."""

import asyncio

import pytest

from projections.store import mongo_terms, open_store, sqlite_matching
from projections.store.port import Batch, Match, ReadStore, Scan, StoreError, TooCostly
from tests.contract.store.notes import (
    COLLECTIONS,
    COUNTS,
    NOTES,
    TAGS,
    Count,
    Note,
    Tag,
    batch,
    begun,
)


def numbers(notes: list[Note]) -> list[int]:
    return [note.number for note in notes]


async def scan(store: ReadStore, scan: Scan) -> list[int]:
    [notes] = await store.scan(NOTES, [scan])
    return numbers(notes)


async def test_get_leaves_out_what_is_not_there(store: ReadStore) -> None:
    first, second = Note(seq=1, room="a", number=1), Note(seq=1, room="a", number=2)
    await store.write(batch(first, second))
    keys = [("a", 2), ("a", 3), ("b", 1), ("a", 1), ("a", 2)]
    assert await store.get(NOTES, keys) == {("a", 1): first, ("a", 2): second}
    assert await store.get(NOTES, []) == {}


async def test_a_number_and_its_text_are_different_keys(store: ReadStore) -> None:
    await store.write(batch(Count(seq=1, name="1")))
    assert await store.get(COUNTS, [(1,)]) == {}
    assert await store.get(COUNTS, [("1",)]) == {("1",): Count(seq=1, name="1")}


async def test_runs_along_the_key(store: ReadStore) -> None:
    await store.write(batch(*(Note(seq=1, room=r, number=n) for r in "ab" for n in range(1, 6))))
    assert await scan(store, Scan(("a",))) == [1, 2, 3, 4, 5]
    assert await scan(store, Scan(("a",), newest=True, limit=2)) == [5, 4]
    assert await scan(store, Scan(("a",), above=1, below=5)) == [2, 3, 4]
    assert await scan(store, Scan(("a",), above=1, limit=2)) == [2, 3]
    assert await scan(store, Scan(("a",), below=4, newest=True)) == [3, 2, 1]
    assert await scan(store, Scan(("a", 3))) == [3]
    assert await scan(store, Scan(("c",))) == []
    assert await scan(store, Scan()) == [1, 2, 3, 4, 5] * 2
    assert await scan(store, Scan(above="a")) == [1, 2, 3, 4, 5]
    assert await scan(store, Scan(("a",), limit=0)) == []


async def test_several_runs_are_answered_in_their_order(store: ReadStore) -> None:
    await store.write(batch(*(Note(seq=1, room=r, number=n) for r in "ab" for n in range(1, 6))))
    scans = [
        Scan(("b",), above=3),
        Scan(("a",), newest=True, limit=1),
        Scan(("c",), above=3),
        Scan(("a",), above=2),
    ]
    found = await store.scan(NOTES, scans)
    assert [[(n.room, n.number) for n in run] for run in found] == [
        [("b", 4), ("b", 5)],
        [("a", 5)],
        [],
        [("a", 3), ("a", 4), ("a", 5)],
    ]
    assert await store.count(NOTES, scans) == [2, 1, 0, 3]
    assert await store.scan(NOTES, []) == []
    assert await store.count(NOTES, []) == []


async def test_long_runs_keep_their_order(store: ReadStore) -> None:
    many = [Note(seq=1, room="a", number=n, text="é" * (n % 97)) for n in range(6000)]
    await store.write(batch(*many[1::2], *reversed(many[::2])))
    assert await scan(store, Scan(("a",))) == list(range(6000))
    assert await scan(store, Scan(("a",), newest=True)) == list(range(5999, -1, -1))
    assert await scan(store, Scan(("a",), above=10, limit=3000)) == list(range(11, 3011))
    assert await store.count(NOTES, [Scan(("a",), above=999)]) == [5000]


async def test_runs_along_an_index_whose_field_may_be_null(store: ReadStore) -> None:
    kinds = {1: "x", 2: None, 3: "y", 4: None, 5: "x"}
    await store.write(batch(*(Note(seq=1, room="a", number=n, kind=k) for n, k in kinds.items())))
    assert await scan(store, Scan(("a",), along="by_kind")) == [2, 4, 1, 5, 3]
    assert await scan(store, Scan(("a",), along="by_kind", newest=True)) == [3, 5, 1, 4, 2]
    assert await scan(store, Scan(("a", None), along="by_kind")) == [2, 4]
    assert await scan(store, Scan(("a", "x"), along="by_kind")) == [1, 5]
    assert await scan(store, Scan(("a",), along="by_kind", above="x")) == [3]
    # A null is neither above nor below anything.
    assert await scan(store, Scan(("a",), along="by_kind", below="z")) == [1, 5, 3]


async def test_a_partial_index_holds_what_is_set(store: ReadStore) -> None:
    due = {1: 30, 2: None, 3: 0, 4: 10}
    await store.write(
        batch(*(Note(seq=1, room="a", number=n, due=d, done=n > 2) for n, d in due.items()))
    )
    assert await scan(store, Scan(along="by_due")) == [3, 4, 1]
    assert await scan(store, Scan(along="by_due", above=0)) == [4, 1]
    assert await scan(store, Scan(("a",), along="done")) == [3, 4]
    assert await store.count(NOTES, [Scan(("a",), along="done")]) == [2]
    await store.write(
        batch(Note(seq=2, room="a", number=1), Note(seq=2, room="a", number=2, due=5))
    )
    assert await scan(store, Scan(along="by_due")) == [3, 2, 4]


async def test_an_older_or_equal_document_loses(store: ReadStore) -> None:
    stored = Note(seq=5, room="a", number=1, kind="new", terms={"new": 1})
    await store.write(batch(stored))
    for seq in (5, 4):
        late = Note(seq=seq, room="a", number=1, kind="old", done=True, terms={"old": 1})
        await store.write(batch(late))
    assert await store.get(NOTES, [("a", 1)]) == {("a", 1): stored}
    assert await scan(store, Scan(("a", "old"), along="by_kind")) == []
    assert await scan(store, Scan(("a",), along="done")) == []
    assert await begun(store, NOTES, ["a"], "", 9) == ["new"]
    assert await store.match(NOTES, Match(("a",), (("old",),), 9)) == []


async def test_a_newer_document_replaces_all_of_the_older(store: ReadStore) -> None:
    await store.write(
        batch(Note(seq=1, room="a", number=1, time="t1", kind="x", terms={"one": 1, "two": 1}))
    )
    newer = Note(seq=2, room="a", number=1, time="t2", terms={"two": 1, "three": 1})
    await store.write(batch(newer))
    assert await scan(store, Scan(("a", "x"), along="by_kind")) == []
    assert await scan(store, Scan(("a", None), along="by_kind")) == [1]
    assert await begun(store, NOTES, ["a"], "", 9) == ["three", "two"]
    assert await store.match(NOTES, Match(("a",), (("one",),), 9)) == []
    assert await store.match(NOTES, Match(("a",), (("two",),), 9, since="t2")) == [newer]


async def test_of_several_versions_in_one_batch_the_last_stays(store: ReadStore) -> None:
    versions = [Note(seq=n, room="a", number=1, terms={f"v{n}": 1}) for n in range(1, 5)]
    await store.write(batch(*versions))
    assert await store.get(NOTES, [("a", 1)]) == {("a", 1): versions[-1]}
    assert await begun(store, NOTES, ["a"], "v", 9) == ["v4"]
    early = Batch([(NOTES, versions[:2]), (COUNTS, []), (NOTES, versions[2:])], {})
    await store.write(early)
    assert await begun(store, NOTES, ["a"], "v", 9) == ["v4"]


async def test_matches_hold_a_term_of_each_set_newest_first(store: ReadStore) -> None:
    def note(room: str, number: int, time: str, *terms: str) -> Note:
        return Note(seq=1, room=room, number=number, time=time, terms=dict.fromkeys(terms, 1))

    a1, a2, a3 = note("a", 1, "t1", "red", "dog"), note("a", 2, "t3", "dog"), note("a", 3, "t3")
    b1, b2 = note("b", 1, "t2", "red", "cat"), note("b", 2, "t3", "blue", "dog")
    await store.write(batch(a1, a2, a3, b1, b2, note("c", 1, "t9", "red", "dog")))

    async def match(*all_of: tuple[str, ...], limit: int = 9) -> list[Note]:
        return await store.match(NOTES, Match(("b", "a", "a"), all_of, limit))

    assert await match(("dog",)) == [b2, a2, a1]
    assert await match(("dog", "cat")) == [b2, a2, b1, a1]
    assert await match(("dog", "cat", "red")) == [b2, a2, b1, a1]
    assert await match(("red", "blue"), ("dog", "bird")) == [b2, a1]
    assert await match(("red",), ("dog",), ("blue",)) == []
    assert await match(("dog",), limit=2) == [b2, a2]
    assert await match() == [b2, a3, a2, b1, a1]
    assert await match(("dog",), ()) == []
    assert await store.match(NOTES, Match((), (("dog",),), 9)) == []


async def test_matches_within_times_and_page_by_page(store: ReadStore) -> None:
    notes = [
        Note(seq=1, room=room, number=n, time=f"t{n // 3}", terms={"all": 1, f"odd{n % 2}": 1})
        for n in range(12)
        for room in "ab"
    ]
    await store.write(batch(*notes))
    within = Match(("a", "b"), (("all",),), 99, since="t1", until="t3")
    assert {n.time for n in await store.match(NOTES, within)} == {"t1", "t2"}
    whole = await store.match(NOTES, within._replace(all_of=(("odd1", "odd2"), ("all",))))
    assert [(n.room, n.number) for n in whole] == [
        *[("b", 7), ("a", 7)],
        *[("b", 5), ("b", 3), ("a", 5), ("a", 3)],
    ]
    for all_of in ((("all",),), (), (("odd0", "odd1"),)):
        query = Match(("a", "b"), all_of, limit=5, since="t1", until="t9")
        paged: list[Note] = []
        while page := await store.match(NOTES, query):
            paged += page
            assert len(paged) <= 18
            last = page[-1]
            query = query._replace(after=(last.time, last.room, last.number))
        assert paged == await store.match(NOTES, query._replace(limit=99, after=None))
        assert len(paged) == 18


async def test_sets_of_many_terms(store: ReadStore) -> None:
    """An expanded prefix may have hundreds of terms, beside sets of one."""
    notes = [
        Note(
            seq=1,
            room=f"r{n % 7}",
            number=n,
            time=f"t{n:04}",
            terms={f"w{n % 300:03}": 1, "all": 1},
        )
        for n in range(900)
    ]
    await store.write(batch(*notes))
    rooms = tuple(f"r{n}" for n in range(7))
    many = tuple(f"w{n:03}" for n in range(100, 300))
    wanted = [n for n in range(899, -1, -1) if n % 300 >= 100]
    for all_of in ((many,), (("all",), many), (many, ("all",)), (many, many, ("all", "none"))):
        assert numbers(await store.match(NOTES, Match(rooms, all_of, 40))) == wanted[:40]
        assert numbers(await store.match(NOTES, Match(rooms, all_of, 999))) == wanted
    assert numbers(await store.match(NOTES, Match(rooms, (many, ("w150",)), 9))) == [750, 450, 150]


async def test_a_search_goes_through_so_much_and_no_more(
    store: ReadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two terms that are common, and never in one document, would be looked for to the end."""
    terms = ({"even": 1, "all": 1}, {"odd": 1, "all": 1})
    notes = [
        Note(seq=1, room="r", number=n, time=f"t{n:05}", terms=terms[n % 2]) for n in range(6000)
    ]
    await store.write(batch(*notes))
    never = Match(("r",), (("even",), ("odd",)), 9)
    assert await store.match(NOTES, never) == []
    with monkeypatch.context() as bounds:
        bounds.setattr(sqlite_matching, "MOST_STEPS", 10_000)
        bounds.setattr(sqlite_matching, "STEPS_BETWEEN", 1_000)
        bounds.setattr(mongo_terms, "MOST_WORK_MS", 1)
        for _ in range(9):
            with pytest.raises(TooCostly):
                await store.match(NOTES, never)
    # What has just broken off answers as ever.
    for _ in range(9):
        assert await store.match(NOTES, never) == []


async def test_terms_of_documents_without_scope_or_time_are_not_found(store: ReadStore) -> None:
    shown = Tag(seq=1, tag="shown", owner="me", at="t1", words=("word", "word"))
    await store.write(
        batch(
            shown,
            Tag(seq=1, tag="nobody's", at="t1", words=("word",)),
            Tag(seq=1, tag="timeless", owner="me", words=("word",)),
        )
    )
    assert await store.match(TAGS, Match(("me",), (("word",),), 9)) == [shown]
    assert await store.match(TAGS, Match(("me",), (), 9)) == [shown]
    # It moves to another owner and another time.
    moved = Tag(seq=2, tag="shown", owner="you", at="t2", words=("word",))
    await store.write(batch(moved))
    assert await store.match(TAGS, Match(("me",), (("word",),), 9)) == []
    assert await begun(store, TAGS, ["me"], "w", 9) == []
    assert await store.match(TAGS, Match(("you",), (("word",),), 9, since="t2")) == [moved]


async def test_expansions_begin_with_the_prefix_in_order(store: ReadStore) -> None:
    def note(room: str, *terms: str) -> Note:
        return Note(seq=1, room=room, number=1, terms=dict.fromkeys(terms, 1))

    await store.write(batch(note("a", "be", "bee", "bed", "c"), note("b", "bee", "beef", "b")))
    await store.write(batch(note("c", "bear")))
    assert await begun(store, NOTES, ["a", "b"], "be", 9) == ["be", "bed", "bee", "beef"]
    assert await begun(store, NOTES, ["b", "a"], "be", 2) == ["be", "bed"]
    assert await begun(store, NOTES, ["a"], "x", 9) == []
    assert await begun(store, NOTES, [], "be", 9) == []
    assert await begun(store, NOTES, ["a", "b"], "", 9) == ["b", "be", "bed", "bee", "beef", "c"]


ODD_TEXTS = sorted(
    [
        *["", "\x00", "\x00\x00", "\x00a", "\x01", "\x01\x00", "\x01from:me", "\x02"],
        *['a"\\\n', "a%_*'", "a\x00", "a\x00b", "a\x01", "ab", "é", "𝄞"],
        *["\ud7ff", "\ue000", "\uffff", "\U0010ffff"],
    ]
)


async def test_any_text_can_be_a_key_a_term_and_stand_in_an_index(store: ReadStore) -> None:
    """In the order of code points."""
    notes = [
        Note(seq=1, room=t, number=1, kind=t, text=t, time="t1", terms={t: 1, "same": 1})
        for t in ODD_TEXTS
    ] + [Note(seq=1, room="all", number=n, kind=t, terms={t: 1}) for n, t in enumerate(ODD_TEXTS)]
    await store.write(batch(*notes))
    for note in notes:
        key = (note.room, note.number)
        assert await store.get(NOTES, [key]) == {key: note}
        [found] = await store.scan(NOTES, [Scan((note.room, note.kind), along="by_kind")])
        assert found == [note]
        [term, *_] = note.terms
        assert await store.match(NOTES, Match((note.room,), ((term,),), 9)) == [note]
    everywhere = await store.match(NOTES, Match(tuple(ODD_TEXTS), (("same",),), 99))
    assert [note.room for note in everywhere] == ODD_TEXTS[::-1]
    assert await scan(store, Scan(("all",), along="by_kind")) == list(range(len(ODD_TEXTS)))
    assert await begun(store, NOTES, ["all"], "", 99) == ODD_TEXTS
    for prefix in ODD_TEXTS:
        expected = [text for text in ODD_TEXTS if text.startswith(prefix)]
        assert await begun(store, NOTES, ["all"], prefix, 99) == expected


async def test_what_no_store_can_keep_is_refused_whole(store: ReadStore) -> None:
    good = Note(seq=1, room="a", number=1)
    for bad in (
        Note(seq=1, room="a", number=2, text="\ud800"),
        Note(seq=1, room="a", number=2, terms={"\udfff": 1}),
        Note(seq=1, room="a", number=2**63),
        Note(seq=1, room="a", number=2, due=-(2**64)),
        Note(seq=10**30, room="a", number=2),
    ):
        with pytest.raises(ValueError):  # noqa: PT011
            await store.write(batch(good, bad, p=1))
    assert await store.scan(NOTES, [Scan()]) == [[]]
    assert await store.checkpoints() == {}
    await store.write(batch(good, p=1))
    assert await scan(store, Scan()) == [1]


async def test_numbers_beyond_all_that_are_kept_may_be_asked_for(store: ReadStore) -> None:
    await store.write(batch(Note(seq=1, room="a", number=2**62, time="t1", terms={"x": 1})))
    assert await store.get(NOTES, [("a", 2**63), ("a", -(10**30))]) == {}
    assert await scan(store, Scan(("a",), above=10**30)) == []
    assert await scan(store, Scan(("a",), above=-(10**30), below=10**30)) == [2**62]
    assert await scan(store, Scan(("a", 2**64))) == []
    after = Match(("a",), (("x",),), 9, after=("t1", "a", 10**30))
    assert numbers(await store.match(NOTES, after)) == [2**62]


async def test_checkpoints_only_rise(store: ReadStore) -> None:
    assert await store.checkpoints() == {}
    await store.write(batch(p=5, q=1))
    await store.write(batch(p=3, r=0))
    await store.write(batch())
    assert await store.checkpoints() == {"p": 5, "q": 1, "r": 0}
    await store.write(batch(p=6))
    assert await store.checkpoints() == {"p": 6, "q": 1, "r": 0}


async def test_a_store_belongs_to_one_log(url: str) -> None:
    store = await open_store(url, COLLECTIONS)
    await store.bind("one")
    await store.bind("one")
    with pytest.raises(StoreError):
        await store.bind("two")
    await store.close()
    store = await open_store(url, COLLECTIONS)
    with pytest.raises(StoreError):
        await store.bind("two")
    await store.bind("one")
    await store.close()


async def test_reopening_keeps_everything(url: str) -> None:
    store = await open_store(url, COLLECTIONS)
    note = Note(seq=3, room="a", number=1, time="t1", kind="x", due=4, terms={"word": 2})
    tag = Tag(seq=1, tag="t", owner="me", at="t1", words=("word",))
    await store.write(batch(note, tag, p=7))
    await store.close()

    store = await open_store(url, COLLECTIONS)
    assert await store.checkpoints() == {"p": 7}
    assert await store.get(NOTES, [("a", 1)]) == {("a", 1): note}
    assert await store.scan(NOTES, [Scan(along="by_due"), Scan(("a",), along="by_kind")]) == [
        [note],
        [note],
    ]
    assert await store.match(NOTES, Match(("a",), (("word",),), 9)) == [note]
    assert await store.match(TAGS, Match(("me",), (("word",),), 9)) == [tag]
    await store.write(batch(Note(seq=2, room="a", number=1)))
    assert await store.get(NOTES, [("a", 1)]) == {("a", 1): note}
    await store.close()


async def test_closing_finishes_what_was_begun(url: str) -> None:
    store = await open_store(url, COLLECTIONS)
    writes = [
        asyncio.create_task(
            store.write(batch(*(Count(seq=1, name=f"{n}.{i}") for i in range(500)), p=n))
        )
        for n in range(40)
    ]
    await asyncio.sleep(0)
    await store.close()
    await store.close()
    await asyncio.gather(*writes)
    with pytest.raises(StoreError):
        await store.write(batch(p=99))
    with pytest.raises(StoreError):
        await store.get(COUNTS, [("c1",)])

    store = await open_store(url, COLLECTIONS)
    assert await store.count(COUNTS, [Scan()]) == [20_000]
    assert await store.checkpoints() == {"p": 39}
    await store.close()
