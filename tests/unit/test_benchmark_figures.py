"""The load driver's own arithmetic: percentiles, and the check of deliveries."""

from collections.abc import Sequence

import pytest

from benchmarks import Stop
from benchmarks.deliveries import Inbox, faults
from benchmarks.figures import (
    LaneFigures,
    ProcessFigures,
    latency,
    percentile,
    result,
)

# Messages 0 to 4; the chat's first event took seq 1.
ACKS = {0: 2, 1: 3, 2: 4, 3: 5, 4: 6}


def inbox(arrivals: Sequence[tuple[int, str | None]]) -> Inbox:
    made = Inbox("reader")
    for seq, content in arrivals:
        made.add(seq, content)
    return made


def in_order() -> list[tuple[int, str | None]]:
    return [(seq, f"{number} some words") for number, seq in ACKS.items()]


@pytest.mark.parametrize(
    ("percent", "expected"), [(1, 1), (50, 50), (50.5, 51), (99, 99), (99.9, 100), (100, 100)]
)
def test_percentile_is_the_nearest_rank(percent: float, expected: int) -> None:
    assert percentile(range(1, 101), percent) == expected


def test_percentile_of_few_values() -> None:
    assert [percentile([7.0], percent) for percent in (1, 50, 99)] == [7.0, 7.0, 7.0]
    assert [percentile([1.0, 9.0], percent) for percent in (50, 51)] == [1.0, 9.0]


def test_latency_is_in_milliseconds_and_needs_no_order() -> None:
    found = latency([one / 1000 for one in (*range(100, 50, -1), *range(1, 51))])
    assert found is not None
    assert (found.count, found.p50, found.p99, found.max) == (100, 50.0, 99.0, 100.0)
    assert latency([]) is None


def test_cpu_is_counted_per_thousand_of_all_lanes() -> None:
    lanes = [LaneFigures(name, "messages", 1500, 1.0, None, None, None) for name in ("a", "b")]
    measured = ProcessFigures(server_cpu_s=1.2, driver_cpu_s=0.6, rss_mib=[50.0, 70.0, 60.0])
    found = result("room", {}, lanes, measured, [])
    assert (found.server_cpu_s_per_1000, found.driver_cpu_s_per_1000) == (0.4, 0.2)
    assert (found.rss_start_mib, found.rss_end_mib, found.rss_max_mib) == (50.0, 60.0, 70.0)


def test_figures_of_a_server_that_is_not_known_are_null() -> None:
    lane = LaneFigures("a", "messages", 1000, 1.0, None, None, None)
    found = result("room", {}, [lane], ProcessFigures(None, 0.5, []), [])
    assert found.server_cpu_s_per_1000 is None
    assert (found.rss_start_mib, found.rss_end_mib, found.rss_max_mib) == (None, None, None)


def test_run_in_which_nothing_happened_has_no_figures() -> None:
    lane = LaneFigures("a", "messages", 0, 0.0, None, None, None)
    with pytest.raises(Stop, match="nothing happened"):
        result("room", {}, [lane], ProcessFigures(None, 0.5, []), [])


def test_whole_delivery_has_no_fault() -> None:
    assert faults(ACKS, inbox(in_order())) == []


def test_unacknowledged_delivery_is_no_fault() -> None:
    assert faults(ACKS, inbox([*in_order(), (7, "5 some words")])) == []


@pytest.mark.parametrize("place", range(5))
def test_lost_delivery(place: int) -> None:
    arrivals = in_order()
    del arrivals[place]
    assert faults(ACKS, inbox(arrivals)) == [
        f"reader: seq {place + 2} (message {place}) never arrived"
    ]


def test_nothing_delivered() -> None:
    assert len(faults(ACKS, inbox([]))) == 5


@pytest.mark.parametrize("later", range(3))
def test_doubled_delivery(later: int) -> None:
    arrivals = in_order()
    arrivals.insert(3 + later, arrivals[2])
    assert faults(ACKS, inbox(arrivals)) == ["reader: seq 4 (message 2) arrived twice"]


def test_swapped_delivery() -> None:
    arrivals = in_order()
    arrivals[1], arrivals[2] = arrivals[2], arrivals[1]
    assert faults(ACKS, inbox(arrivals)) == ["reader: seq 3 (message 1) arrived after 4"]


def test_swapped_contents() -> None:
    arrivals = in_order()
    (one, first), (other, second) = arrivals[1:3]
    arrivals[1:3] = [(one, second), (other, first)]
    assert faults(ACKS, inbox(arrivals)) == [
        "reader: message 2 was acknowledged as seq 4 and arrived as seq 3",
        "reader: message 1 was acknowledged as seq 3 and arrived as seq 4",
    ]


def test_message_that_was_sent_twice() -> None:
    arrivals = [*in_order(), (7, "4 some words")]
    assert faults(ACKS, inbox(arrivals)) == [
        "reader: message 4 was acknowledged as seq 6 and arrived as seq 7"
    ]


@pytest.mark.parametrize("content", [None, "", "other words", "²", "-2 words"])
def test_lost_content(content: str | None) -> None:
    arrivals = in_order()
    arrivals[2] = (4, content)
    assert faults(ACKS, inbox(arrivals)) == [
        "reader: seq 4 was acknowledged as message 2 and arrived as another content"
    ]


def test_two_messages_with_one_seq() -> None:
    assert faults({0: 2, 1: 2}, inbox([(2, "0 some words")])) == [
        "reader: seq 2 was acknowledged as message 1 and arrived as message 0"
    ]


def test_walk_from_the_newest_to_the_oldest() -> None:
    walk = inbox(in_order()[::-1])
    assert faults(ACKS, walk) != []
    walk.reverse()
    assert faults(ACKS, walk) == []
