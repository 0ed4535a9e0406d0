"""The figures of a run, as a table and as JSON."""

import math
from collections.abc import Mapping, Sequence

import msgspec
from rich import box
from rich.table import Table

from benchmarks import Stop


class Latency(msgspec.Struct, frozen=True):
    """In milliseconds."""

    count: int
    p50: float
    p99: float
    max: float


class LaneFigures(msgspec.Struct, frozen=True):
    """One flow of work. `count` and the rates are those of the measured part."""

    lane: str
    unit: str
    count: int
    per_s: float
    deliveries_per_s: float | None
    answer_ms: Latency | None
    delivery_ms: Latency | None


class ProcessFigures(msgspec.Struct, frozen=True):
    """CPU seconds over the measured part, and resident memory (MiB) in the course of it.

    The server's figures are null where its process id is not known.
    """

    server_cpu_s: float | None
    driver_cpu_s: float
    rss_mib: list[float]


class Result(msgspec.Struct, frozen=True):
    scenario: str
    parameters: dict[str, float]
    lanes: list[LaneFigures]
    server_cpu_s_per_1000: float | None
    driver_cpu_s_per_1000: float
    rss_start_mib: float | None
    rss_end_mib: float | None
    rss_max_mib: float | None
    rss_mib: list[float]
    faults: list[str]


def percentile(ordered: Sequence[float], percent: float) -> float:
    """By nearest rank: the smallest value that at least `percent` % of all are not above.

    `ordered` rises and is not empty, `percent` is in (0, 100].
    """
    return ordered[max(1, math.ceil(len(ordered) * percent / 100)) - 1]


def latency(seconds: Sequence[float]) -> Latency | None:
    """Of durations in seconds; None where there are none."""
    if not seconds:
        return None
    ordered = sorted(1000 * one for one in seconds)
    return Latency(
        count=len(ordered),
        p50=round(percentile(ordered, 50), 3),
        p99=round(percentile(ordered, 99), 3),
        max=round(ordered[-1], 3),
    )


def answers(lane: str, unit: str, took: Sequence[float], seconds: float) -> LaneFigures:
    """A lane of requests, of which each took so long, in so many seconds together."""
    return LaneFigures(
        lane=lane,
        unit=unit,
        count=len(took),
        per_s=round(len(took) / seconds, 1),
        deliveries_per_s=None,
        answer_ms=latency(took),
        delivery_ms=None,
    )


def result(
    scenario: str,
    parameters: Mapping[str, float],
    lanes: list[LaneFigures],
    processes: ProcessFigures,
    faults: list[str],
) -> Result:
    """CPU seconds are counted per 1,000 of what all lanes did together.

    Raises Stop when they did nothing.
    """
    thousands = sum(lane.count for lane in lanes) / 1000
    if not thousands:
        raise Stop(f"{scenario}: nothing happened in the measured part, make it longer")
    server = processes.server_cpu_s
    rss = processes.rss_mib
    return Result(
        scenario=scenario,
        parameters=dict(parameters),
        lanes=lanes,
        server_cpu_s_per_1000=None if server is None else round(server / thousands, 4),
        driver_cpu_s_per_1000=round(processes.driver_cpu_s / thousands, 4),
        rss_start_mib=rss[0] if rss else None,
        rss_end_mib=rss[-1] if rss else None,
        rss_max_mib=max(rss, default=None),
        rss_mib=rss,
        faults=faults,
    )


def table(results: Sequence[Result]) -> Table:
    """A row for each lane; what concerns the processes stands in a scenario's first row."""
    view = Table(box=box.SIMPLE_HEAD)
    view.add_column("scenario", no_wrap=True)
    view.add_column("lane")
    for heading in (
        "count",
        "per s",
        "delivered\nper s",
        "answer ms\np50 / p99 / max",
        "delivery ms\np50 / p99 / max",
        "server CPU s\nper 1,000",
        "driver CPU s\nper 1,000",
        "RSS MiB\nstart / end / max",
        "faults",
    ):
        view.add_column(heading, justify="right")
    for one in results:
        for place, lane in enumerate(one.lanes):
            processes = (
                _number(one.server_cpu_s_per_1000, 3),
                _number(one.driver_cpu_s_per_1000, 3),
                " / ".join(
                    _number(value, 0)
                    for value in (one.rss_start_mib, one.rss_end_mib, one.rss_max_mib)
                ),
                str(len(one.faults)),
            )
            view.add_row(
                _title(one) if place == 0 else "",
                lane.lane,
                f"{lane.count:,}",
                _number(lane.per_s, 0),
                _number(lane.deliveries_per_s, 0),
                _latency(lane.answer_ms),
                _latency(lane.delivery_ms),
                *(processes if place == 0 else ("", "", "", "")),
            )
        view.add_section()
    return view


def _title(one: Result) -> str:
    return "\n".join(
        [one.scenario, *(f"{name} {value:g}" for name, value in one.parameters.items())]
    )


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _latency(value: Latency | None) -> str:
    return "-" if value is None else f"{value.p50:.2f} / {value.p99:.2f} / {value.max:.2f}"
