"""The command `hansard`."""

import os
import sys

import typer
import uvloop

from workers.serve import serve as run_server
from workers.settings import StartRefused, read_settings

app = typer.Typer(no_args_is_help=True)


@app.callback()
def hansard() -> None:
    """The official record of what was said."""


@app.command()
def serve() -> None:
    """Everything in one process."""
    try:
        uvloop.run(run_server(read_settings(os.environ), lambda settings, secrets: None))
    except StartRefused as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from error


def main() -> None:
    app()


if __name__ == "__main__":
    main()
