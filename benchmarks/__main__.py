"""python -m benchmarks SCENARIO: see benchmarks/README.md."""

import sys
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
import typer
import uvloop
from rich.console import Console

from benchmarks import Stop, figures, presence, scenarios, search, takeover
from benchmarks.process import Meter, Server, kept_secret, spawned
from benchmarks.scenarios import Plan, Scenario
from benchmarks.stage import staged

_SHOWN_FAULTS = 20
_PLAIN_WIDTH = 160
_SERVER, _LENGTH, _LOAD = "The server", "How long", "How much"

console = Console(stderr=True, width=None if sys.stderr.isatty() else _PLAIN_WIDTH)


class Name(StrEnum):
    ROOM = "room"
    ROOMS = "rooms"
    FANOUT = "fanout"
    HISTORY = "history"
    SPACED = "spaced"
    SOAK = "soak"
    PRESENCE = "presence"
    SEARCH = "search"
    TAKEOVER = "takeover"
    ALL = "all"


_SCENARIOS: dict[Name, Scenario] = {
    Name.ROOM: scenarios.room,
    Name.ROOMS: scenarios.rooms,
    Name.FANOUT: scenarios.fanout,
    Name.HISTORY: scenarios.history,
    Name.SPACED: scenarios.spaced,
    Name.SOAK: scenarios.soak,
    Name.PRESENCE: presence.presence,
    Name.SEARCH: search.search,
}


def main(
    scenario: Annotated[Name, typer.Argument(help="What to drive.")],
    url: Annotated[
        str, typer.Option(help="The running server.", rich_help_panel=_SERVER)
    ] = "http://127.0.0.1:8000",
    spawn: Annotated[
        bool,
        typer.Option(
            "--spawn",
            help="Start a fresh `hansard serve` for each scenario, instead of --url.",
            rich_help_panel=_SERVER,
        ),
    ] = False,
    pid: Annotated[
        list[int] | None,
        typer.Option(
            help="A process of the server to measure; may be given several times.",
            rich_help_panel=_SERVER,
        ),
    ] = None,
    secret: Annotated[
        str,
        typer.Option(
            envvar="HANSARD_JWT_SECRET",
            show_envvar=True,
            help="The HS256 secret of the server's tokens.",
            rich_help_panel=_SERVER,
        ),
    ] = "",
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="The server's data folder, which holds `jwt.secret`, if --secret is not given.",
            rich_help_panel=_SERVER,
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            help="Length of the measured part: 10 unless --messages is given; presence: 60;"
            " search: 20, of each of its two parts.",
            rich_help_panel=_LENGTH,
        ),
    ] = None,
    messages: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="End after so many measured messages; soak: 100,000 unless given;"
            " history: the chat's length, 10,000 unless given; search: all chats', 100,000.",
            rich_help_panel=_LENGTH,
        ),
    ] = None,
    warmup: Annotated[
        float,
        typer.Option(min=0, help="Seconds before the measured part.", rich_help_panel=_LENGTH),
    ] = 2.0,
    outstanding: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="room, soak: messages that wait for their ack (16; all: 1 and 16);"
            " rooms: over all chats (32).",
            rich_help_panel=_LOAD,
        ),
    ] = None,
    chats: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="rooms: direct chats (100); search: groups of the one who searches (200).",
            rich_help_panel=_LOAD,
        ),
    ] = None,
    members: Annotated[
        int,
        typer.Option(
            min=2,
            help="fanout: members, all connected, one of them sending.",
            rich_help_panel=_LOAD,
        ),
    ] = 200,
    deliveries: Annotated[
        float,
        typer.Option(
            min=1, help="fanout: deliveries a second to the other members.", rich_help_panel=_LOAD
        ),
    ] = 5000,
    every: Annotated[
        float,
        typer.Option(min=0.1, help="spaced: milliseconds between sends.", rich_help_panel=_LOAD),
    ] = 20,
    concurrency: Annotated[
        int,
        typer.Option(
            min=1, help="history: walkers at once; search: queries.", rich_help_panel=_LOAD
        ),
    ] = 8,
    people: Annotated[
        int, typer.Option(min=3, help="presence: people in all.", rich_help_panel=_LOAD)
    ] = 3000,
    circle: Annotated[
        int, typer.Option(min=2, help="presence: members of a group.", rich_help_panel=_LOAD)
    ] = 20,
    sessions: Annotated[
        float,
        typer.Option(
            min=0, help="presence: sessions that begin in a minute.", rich_help_panel=_LOAD
        ),
    ] = 10_000,
    log_url: Annotated[
        str,
        typer.Option(
            "--log",
            envvar="HANSARD_LOG_URL",
            show_envvar=True,
            help="takeover: the Kafka that gets a log of its own.",
            rich_help_panel=_SERVER,
        ),
    ] = "",
    events: Annotated[
        int,
        typer.Option(min=1_000, help="takeover: events in the partition.", rich_help_panel=_LOAD),
    ] = 200_000,
    json: Annotated[Path | None, typer.Option(help="Write the JSON to this file too.")] = None,
) -> None:
    """Drive a running Hansard by its public API and measure it.

    A table goes to stderr, JSON to stdout. Ends with 1 when a message was lost, doubled or out
    of order, and with 2 when the run could not be made.
    """
    if scenario is Name.TAKEOVER:
        _take_over(log_url, events, json)
        return
    plan = Plan(
        seconds=seconds,
        messages=messages,
        warmup_s=warmup,
        outstanding=outstanding,
        chats=chats,
        members=members,
        deliveries=deliveries,
        every_ms=every,
        concurrency=concurrency,
        people=people,
        circle=circle,
        sessions=sessions,
    )
    results: list[figures.Result] = []
    try:
        if urlsplit(url).scheme != "http":
            raise Stop(f"--url takes http://host:port, not {url}")
        server = None if spawn else Server(url, secret or _secret(data_dir), [])
        for drive, one in _programme(scenario, plan):
            console.print(f"{drive.__name__} …", style="dim")
            with nullcontext(server) if server else spawned(secret) as target:
                meter = Meter([*target.pids, *(pid or [])])
                results.append(uvloop.run(_drive(drive, one, target, meter)))
    except Stop as reason:
        console.print(f"stopped: {reason}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    finally:
        if results:
            _report(results, json)
    if any(one.faults for one in results):
        raise typer.Exit(1)


def _take_over(log_url: str, events: int, file: Path | None) -> None:
    try:
        if urlsplit(log_url).scheme != "kafka":
            raise Stop("takeover needs --log kafka://host:port")
        found = takeover.measure(log_url, events)
    except Stop as reason:
        console.print(f"stopped: {reason}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    console.print(takeover.table(found))
    _write(msgspec.json.encode(found), file)


def _write(document: bytes, file: Path | None) -> None:
    document = msgspec.json.format(document) + b"\n"
    if file:
        file.write_bytes(document)
    typer.echo(document, nl=False)


def _secret(data_dir: Path | None) -> str:
    if data_dir is None:
        raise Stop("give --secret (or HANSARD_JWT_SECRET), --data-dir, or --spawn")
    return kept_secret(data_dir)


def _programme(name: Name, plan: Plan) -> list[tuple[Scenario, Plan]]:
    if name is not Name.ALL:
        return [(_SCENARIOS[name], plan)]
    steps = [(drive, plan) for drive in _SCENARIOS.values()]
    if plan.outstanding is None:
        steps.insert(0, (scenarios.room, msgspec.structs.replace(plan, outstanding=1)))
    return steps


async def _drive(drive: Scenario, plan: Plan, server: Server, meter: Meter) -> figures.Result:
    async with staged(server.url, server.secret) as stage:
        return await drive(stage, plan, meter)


def _report(results: list[figures.Result], file: Path | None) -> None:
    console.print(figures.table(results))
    for one in results:
        for fault in one.faults[:_SHOWN_FAULTS]:
            console.print(f"{one.scenario}: {fault}", style="red", markup=False, soft_wrap=True)
        if len(one.faults) > _SHOWN_FAULTS:
            more = len(one.faults) - _SHOWN_FAULTS
            console.print(f"{one.scenario}: {more} more faults, all in the JSON", style="red")
    _write(msgspec.json.encode({"results": results}), file)


if __name__ == "__main__":
    typer.run(main)
