"""Whichever way SQLite takes to a match, it finds what the model does."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projections.store import open_store, sqlite_matching, sqlite_plans
from projections.store.port import Match
from tests.contract.store.notes import COLLECTIONS, NOTES, Model, Note, batch
from tests.contract.store.test_store_model import ROOMS, TIMES

# Few words, so that documents have several of a set, and sets have many matches.
WORDS = st.sampled_from(["a", "ab", "abc", "b", "\x00"])
dense = st.lists(
    st.builds(
        Note,
        seq=st.just(1),
        room=ROOMS,
        number=st.integers(0, 5),
        time=TIMES,
        terms=st.sets(WORDS).map(lambda terms: dict.fromkeys(terms, 1)),
    ),
    max_size=20,
)
questions = st.builds(
    Match,
    scopes=st.lists(ROOMS, min_size=2, max_size=3, unique=True).map(tuple),
    all_of=st.lists(st.sets(WORDS, min_size=1, max_size=3).map(tuple), max_size=3).map(tuple),
    limit=st.integers(1, 4),
    since=st.none() | TIMES,
    until=st.none() | TIMES,
    after=st.none(),
    begun=st.just(()),
)
BOUNDS = {
    "FEW": (0, 2, 99),
    "RUN": (0, 1, 99),
    "GATHERED": (1, 4, 99),
    "GATHERED_BESIDE": (1, 99),
    "SAMPLE": (1, 9),
    "MANY": (0, 99),
}


@contextmanager
def bounds(values: dict[str, int]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setattr(sqlite_plans if name in ("FEW", "RUN") else sqlite_matching, name, value)
        yield


@contextmanager
def plan(walk: bool, driver: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sqlite_matching.Matching,
            "_cheapest",
            lambda _self, _connection, _scopes, sets, _limit: (walk, driver % len(sets)),
        )
        yield


@settings(max_examples=100, deadline=None)
@given(
    dense,
    st.lists(questions, max_size=8),
    st.fixed_dictionaries({name: st.sampled_from(some) for name, some in BOUNDS.items()}),
)
@pytest.mark.parametrize("new_store_url", ["sqlite"], indirect=True)
async def test_every_way_leads_to_the_same(
    new_store_url: Callable[[], str],
    written: list[Note],
    asked: list[Match],
    values: dict[str, int],
) -> None:
    store, model = await open_store(new_store_url(), COLLECTIONS), Model()
    await store.write(batch(*written))
    model.write(batch(*written))

    async def agree(question: Match) -> None:
        found = model.match(NOTES, question)
        assert await store.match(NOTES, question) == found
        for driver in range(max(1, len(question.sets))):
            for walk in (True, False):
                with plan(walk, driver):
                    assert await store.match(NOTES, question) == found
        if found:
            await agree(question._replace(after=NOTES.place_of(found[-1])))

    with bounds(values):
        for question in asked:
            await agree(question)
        for prefix in ("", "a", "ab", "c", "\x00"):
            for limit in (1, 3, 99):
                found = await store.expand(NOTES, ["a", "b", "c"], prefix, limit)
                assert list(found.terms) == model.expand(NOTES, ["a", "b", "c"], prefix, limit)
                for question in asked[:2]:
                    await agree(question._replace(begun=(found,)))
    await store.close()
