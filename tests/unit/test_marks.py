"""Marks that come fast are written seldom, and none is forgotten."""

import asyncio
from itertools import pairwise

import pytest

from domain.commands import Outcome
from gateway.commander import Done
from gateway.problems import Problem
from gateway.ws.marks import MarkKind, MarkWriter, Place
from projections.store.port import StoreError
from tests.unit.skipped_time import run

PLACE: Place = ("ann", "room", "read")


class Pen:
    """Writes marks where the test can see them, with the second of each."""

    def __init__(self) -> None:
        self.written: list[tuple[float, Place, int]] = []
        self.settled: list[tuple[int, int | str]] = []
        self.error: Exception | None = None
        self.marks = MarkWriter(self._write)

    async def _write(self, user: str, chat: str, kind: MarkKind, up_to: int) -> Done:
        self.written.append((asyncio.get_running_loop().time(), (user, chat, kind), up_to))
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        outcome = Outcome(
            command="c", digest="d", stream="users/ann", status="accepted", time="T", seq=up_to
        )
        return Done(outcome, "position", False)

    def mark(self, up_to: int, *, place: Place = PLACE, members: int = 2) -> None:
        self.marks.mark(place, up_to, members, self._settle)

    def _settle(self, up_to: int, result: Done | Problem) -> None:
        what = result.code if isinstance(result, Problem) else result.outcome.seq
        self.settled.append((up_to, what))

    @property
    def at(self) -> list[tuple[float, int]]:
        return [(second, up_to) for second, _, up_to in self.written]


def test_the_first_is_written_at_once_and_the_next_together() -> None:
    async def main() -> None:
        pen = Pen()
        pen.mark(1)
        await asyncio.sleep(0.1)
        for up_to in (2, 5, 3):
            pen.mark(up_to)
        await asyncio.sleep(10)
        assert pen.at == [(0.0, 1), (1.0, 5)]
        assert pen.settled == [(1, 1), (2, 5), (5, 5), (3, 5)]
        pen.mark(6)
        await asyncio.sleep(10)
        assert pen.at[2:] == [(10.1, 6)]

    run(main())


def test_what_comes_while_one_is_written_waits() -> None:
    async def main() -> None:
        pen = Pen()
        pen.mark(1)
        await asyncio.sleep(0)
        pen.mark(2)
        await asyncio.sleep(10)
        assert pen.at == [(0.0, 1), (1.0, 2)]
        assert pen.settled == [(1, 1), (2, 2)]

    run(main())


@pytest.mark.parametrize(("members", "pause"), [(2, 1.0), (50, 1.0), (500, 10.0)])
def test_large_chats_write_less_often(members: int, pause: float) -> None:
    async def main() -> None:
        pen = Pen()
        for up_to in range(1, 101):
            pen.mark(up_to, members=members)
            await asyncio.sleep(0.5)
        await asyncio.sleep(pause)
        seconds = [second for second, _ in pen.at]
        apart = [later - earlier for earlier, later in pairwise(seconds)]
        assert apart == pytest.approx([pause] * len(apart))
        assert pen.at[-1][1] == 100
        assert [up_to for up_to, _ in pen.settled] == list(range(1, 101))

    run(main())


def test_places_do_not_wait_for_each_other() -> None:
    async def main() -> None:
        pen = Pen()
        places: list[Place] = [
            PLACE,
            ("ann", "room", "delivered"),
            ("ann", "other", "read"),
            ("bob", "room", "read"),
        ]
        for number, place in enumerate(places):
            pen.mark(number + 1, place=place)
        await asyncio.sleep(0.5)
        assert pen.written == [(0.0, place, n + 1) for n, place in enumerate(places)]

    run(main())


def test_who_disconnects_has_their_marks_written_at_once() -> None:
    async def main() -> None:
        pen = Pen()
        other: Place = ("bob", "room", "read")
        for up_to in (1, 2):
            pen.mark(up_to)
            pen.mark(up_to, place=other)
            await asyncio.sleep(0.1)
        pen.marks.flush("ann")
        await asyncio.sleep(10)
        assert [(second, up_to) for second, place, up_to in pen.written if place == PLACE] == [
            (0.0, 1),
            (0.2, 2),
        ]
        assert [second for second, place, _ in pen.written if place == other] == [0.0, 1.0]

    run(main())


def test_closing_writes_everything() -> None:
    async def main() -> None:
        pen = Pen()
        for up_to in (1, 2):
            pen.mark(up_to, members=5000)
            pen.mark(up_to, place=("bob", "room", "read"), members=5000)
            await asyncio.sleep(0.1)
        await pen.marks.close()
        assert sorted(pen.at) == [(0.0, 1), (0.0, 1), (0.2, 2), (0.2, 2)]
        assert len(pen.settled) == 4

    run(main())


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Problem("chat_not_found", "There is no such chat."), "chat_not_found"),
        (StoreError("it does not answer"), "projection_behind"),
        (ZeroDivisionError(), "internal_error"),
    ],
)
def test_every_mark_is_told_why_it_was_not_written(error: Exception, code: str) -> None:
    async def main() -> None:
        pen = Pen()
        pen.error = error
        for up_to in (1, 2, 3):
            pen.mark(up_to)
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        assert pen.settled == [(1, code), (2, code), (3, code)]
        pen.error = None
        pen.mark(3)
        await asyncio.sleep(10)
        assert pen.settled[3:] == [(3, 3)]

    run(main())
