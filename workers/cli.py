"""The command `hansard`."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
import structlog
import typer
import uvloop
from rich.console import Console

from gateway.auth import mint
from projections.keyring import KeyringError
from projections.store.port import StoreError
from workers.data_lock import DataInUse
from workers.log import is_shared
from workers.log.port import LogError
from workers.secrets_file import open_secrets
from workers.settings import Settings, StartRefused, read_settings
from workers.tools.logs import configure

T = TypeVar("T")

EXIT_WRONG = 1
EXIT_REFUSED = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

AsJson = Annotated[bool, typer.Option("--json", help="Answer with one JSON object.")]


@app.callback()
def hansard() -> None:
    """The official record of what was said."""


@app.command()
def serve() -> None:
    """Serve everything in one process, until SIGTERM or SIGINT."""
    from workers.serve import ALL
    from workers.serve import serve as run
    from workers.tools.welcome import welcome

    _run(lambda settings: run(settings, ALL, welcome))


@app.command()
def gateway() -> None:
    """Serve clients: REST and WebSockets."""
    _work("gateway")


@app.command()
def decider() -> None:
    """Decide on commands: the single writer of the partitions that fall to this process."""
    _work("decider")


@app.command()
def projector() -> None:
    """Feed the read models from the log."""
    _work("projector")


@app.command()
def fanout() -> None:
    """Publish what happens to those who are connected."""
    _work("fanout")


@app.command()
def notifier() -> None:
    """Tell people of what concerns them: push messages and mails."""
    _work("notifier")


@app.command()
def scheduler() -> None:
    """Send what is due, end what has run out."""
    _work("scheduler")


@app.command()
def migrate(as_json: AsJson = False) -> None:
    """Make what is missing of the log and the stores, and check what is there."""
    from workers.tools.migrate import migrate as run

    migrated = _run(run)
    if as_json:
        _print_json(migrated)
    else:
        print(f"The log {migrated.log} has {migrated.partitions} partitions.")
        for name in migrated.made:
            print(f"made   {name}")
        for fault in migrated.faults:
            print(f"WRONG  {fault}")
    if migrated.faults:
        raise typer.Exit(EXIT_WRONG)


@app.command()
def token(
    user: Annotated[str, typer.Argument(help="The user's id, the token's `sub`.")],
    hours: Annotated[float, typer.Option(min=0, help="How long it is good for.")] = 24.0,
    scope: Annotated[
        list[str] | None, typer.Option(help="A scope such as hansard:moderate; may be repeated.")
    ] = None,
) -> None:
    """Make a token for a user, with the server's own secret."""
    with _one_line():
        settings = _settings()
        secret = open_secrets(settings).jwt_secret
        if secret is None:
            raise StartRefused("HANSARD_JWT_JWKS_URL is set: its issuer makes the tokens")
        if "@" in user and not settings.allow_address_ids:
            raise StartRefused(f"{user}: a user id must not be an address, it outlives erasure")
        try:
            made = mint(
                secret,
                user,
                int(hours * 3600),
                scopes=scope or (),
                issuer=settings.jwt_issuer,
                audience=settings.jwt_audience,
            )
        except ValueError as error:
            raise StartRefused(str(error)) from error
    print(made)


@app.command("import")
def import_(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE…", exists=True, dir_okay=False, readable=True),
    ],
    map_file: Annotated[
        Path | None,
        typer.Option("--map", metavar="FILE", help="Write here what each foreign id became."),
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Set wrong lines aside in FILE.rejected.ndjson.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Import chats of another system, NDJSON plain or gzipped."""
    from workers.tools.importer import report, run_import

    console = Console(stderr=True)
    summary = _run(
        lambda settings: run_import(
            settings, files, map_file=map_file, keep_going=keep_going, console=console
        )
    )
    if as_json:
        _print_json(summary)
    report(summary, console if as_json else Console(), errors=console)
    if not summary.complete:
        raise typer.Exit(EXIT_WRONG)


@app.command()
def demo(
    at: Annotated[
        str | None, typer.Option("--url", help="Where the server is; by default as configured.")
    ] = None,
) -> None:
    """Show a conversation on a running server, with tokens made by its own secret."""
    from workers.tools.demo import run_demo
    from workers.tools.welcome import url

    _run(lambda settings: run_demo(settings, (at or url(settings)).rstrip("/"), Console()))


UserArgument = Annotated[str, typer.Argument(help="The user's id.")]
ServerOption = Annotated[
    str | None, typer.Option("--url", help="Where the server is; by default as configured.")
]
TokenOption = Annotated[
    str | None,
    typer.Option(help="A token with the scope hansard:moderate, where others make them."),
]


@app.command()
def suspend(
    user: UserArgument,
    reason: Annotated[str | None, typer.Option(help="Why; kept sealed.")] = None,
    at: ServerOption = None,
    token: TokenOption = None,
    as_json: AsJson = False,
) -> None:
    """Keep a user out: connections close and requests are refused within 5 seconds."""
    _suspension(user, True, reason, at, token, as_json)


@app.command()
def resume(
    user: UserArgument,
    at: ServerOption = None,
    token: TokenOption = None,
    as_json: AsJson = False,
) -> None:
    """Let a suspended user in again."""
    _suspension(user, False, None, at, token, as_json)


def _suspension(
    user: str,
    suspended: bool,
    reason: str | None,
    at: str | None,
    token: str | None,
    as_json: bool,
) -> None:
    from workers.tools.suspension import Suspension, carry_out

    wanted = Suspension(user, suspended, reason)
    _run(lambda settings: carry_out(settings, wanted, at, token))
    if as_json:
        _print_json(wanted)
    else:
        print(f"{user} is suspended" if suspended else f"{user} is not suspended")


doctor = typer.Typer(invoke_without_command=True)
app.add_typer(doctor, name="doctor")


@doctor.callback()
def doctor_(
    context: typer.Context,
    verify: Annotated[
        bool, typer.Option("--verify", help="Follow the hash chains of all streams.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find out whether everything is as it should be."""
    from workers.tools.doctor import examine

    if context.invoked_subcommand is not None:
        return
    report = _run(lambda settings: examine(settings, everything=verify))
    if as_json:
        _print_json(report)
    else:
        for finding in report.findings:
            print(f"{'ok   ' if finding.ok else 'WRONG'}  {finding.check}: {finding.detail}")
    if not report.ok:
        raise typer.Exit(EXIT_WRONG)


@doctor.command("retry")
def retry_(
    stream: Annotated[
        str | None, typer.Argument(help="Such as chats/…; all that are stale without.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read stale streams again, from the events they have stopped at. In the edition of one process
    no server may run; in the distributed one the projectors do it, so they must."""
    from workers.tools.doctor import Retried, retry

    async def alone(settings: Settings) -> list[Retried]:
        try:
            return await retry(settings, stream)
        except DataInUse as error:
            raise StartRefused(f"{error}: stop it first") from error

    retried = _run(alone)
    if as_json:
        _print_json(retried)
    else:
        for one in retried:
            print(
                f"{one.stream} goes on"
                if one.ok
                else f"{one.stream} has stopped at {one.at} ({one.error})"
            )
        if not retried:
            print("No stream is stale.")
    if not all(one.ok for one in retried):
        raise typer.Exit(EXIT_WRONG)


def _work(
    role: Literal["gateway", "decider", "projector", "fanout", "notifier", "scheduler"],
) -> None:
    from workers.serve import serve as run

    def started(settings: Settings, _: object) -> None:
        structlog.get_logger().info("started", role=role, host=settings.host, port=settings.port)

    _run(lambda settings: run(settings, (role,), started))


def _run(work: Callable[[Settings], Coroutine[None, None, T]]) -> T:
    with _one_line():
        settings = _settings()
        # To write to a connection that was just lost raises with uvloop what aiokafka does not
        # expect (aiokafka #1038): its clients hang then for good.
        run = asyncio.run if is_shared(settings.log_url) else uvloop.run
        return run(work(settings))


def _print_json(answer: object) -> None:
    print(msgspec.json.encode(answer).decode())


def _settings() -> Settings:
    settings = read_settings(os.environ)
    configure(settings.log_level, sys.stderr)
    return settings


@contextmanager
def _one_line() -> Iterator[None]:
    """Tells why a command can't do its work, in one line."""
    try:
        yield
    except (StartRefused, KeyringError, StoreError, LogError) as error:
        print(f"hansard: {error}", file=sys.stderr)
        raise typer.Exit(EXIT_REFUSED) from error
    except KeyboardInterrupt as error:
        print("hansard: interrupted", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from error


def main() -> None:
    app()


if __name__ == "__main__":
    main()
