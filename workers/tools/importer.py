"""`hansard import`: chats of another system, as if they had been said here."""

import os
import time
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import msgspec
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from domain.commands import Command, NoteImport
from gateway.problems import Problem
from projections.keyring import KeyringError
from projections.store.port import StoreError
from workers.core import Core, now, open_core, writing
from workers.secrets_file import open_secrets
from workers.settings import Settings
from workers.tools import import_commands as commands
from workers.tools.import_known import Known
from workers.tools.import_lines import Raw, Survey, read, survey
from workers.tools.import_plan import Policy, Rejections
from workers.tools.import_run import LogUnavailable, Run

#: Lines planned at once: their keys are made and their earlier outcomes looked up in one go.
CHUNK = 512

REJECTED = ".rejected.ndjson"


class Wrong(msgspec.Struct, frozen=True):
    """A line that was turned down."""

    file: str
    line: int
    code: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason} ({self.code})"


class Summary(msgspec.Struct, kw_only=True):
    """What an import came to.

    `lines` are the right ones by type, of which `written` are new, `repeated` were imported before
    and `unchanged` changed nothing. `rejected` are the files that wrong lines were set aside in.
    `complete` says that every line was dealt with; if not, `failure` or the one wrong line says
    why. `seconds` run until the read models have caught up.
    """

    complete: bool = False
    failure: str | None = None
    lines: dict[str, int] = {}
    written: int = 0
    repeated: int = 0
    unchanged: int = 0
    wrong: list[Wrong] = []
    rejected: list[str] = []
    seconds: float = 0.0
    lines_per_second: int = 0


class SetAside:
    """The wrong lines. With `keep_going` each is told at once and kept beside the file it is from;
    without, only the first by its place counts."""

    def __init__(self, console: Console, keep_going: bool) -> None:
        self._console = console
        self._keep_going = keep_going
        self._wrong: list[tuple[int, Wrong]] = []
        self._files: dict[Path, IO[bytes]] = {}

    def add(self, raw: Raw, problem: Problem) -> None:
        fields = "; ".join(f"{error.field}: {error.detail}" for error in problem.errors)
        wrong = Wrong(str(raw.file), raw.number, problem.code, fields or problem.detail)
        self._wrong.append((raw.place, wrong))
        if self._keep_going:
            tell(self._console, str(wrong))
            self._file(raw.file).write(raw.text.removesuffix(b"\n") + b"\n")

    @property
    def wrong(self) -> list[Wrong]:
        in_order = [wrong for _, wrong in sorted(self._wrong, key=lambda each: each[0])]
        return in_order if self._keep_going else in_order[:1]

    def close(self) -> list[str]:
        """The names of the files."""
        for file in self._files.values():
            file.close()
        return [file.name for file in self._files.values()]

    def _file(self, source: Path) -> IO[bytes]:
        if source not in self._files:
            self._files[source] = source.with_name(source.name + REJECTED).open("wb")
        return self._files[source]


class Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:,.0f} lines/s")


def tell(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def report(summary: Summary, console: Console, errors: Console) -> None:
    """Say what an import came to; what ended it early goes to `errors`."""
    if summary.failure is not None:
        tell(errors, f"hansard: {summary.failure}")
    elif not summary.complete:
        tell(errors, f"hansard: {summary.wrong[0]}")
        tell(errors, "What comes before that line is imported. Put it right and import again.")
    lines = ", ".join(f"{count:,} {kind}" for kind, count in summary.lines.items())
    tell(console, f"Lines imported: {lines or 'none'}.")
    tell(
        console,
        f"{summary.written:,} written, {summary.repeated:,} imported before, "
        f"{summary.unchanged:,} changed nothing, {len(summary.wrong):,} wrong.",
    )
    for file in summary.rejected:
        tell(console, f"Wrong lines are set aside in {file}")
    tell(console, f"{summary.seconds:,.1f} s, {summary.lines_per_second:,} lines/s.")


async def run_import(
    settings: Settings,
    files: Sequence[Path],
    *,
    map_file: Path | None,
    keep_going: bool,
    console: Console,
) -> Summary:
    """Import the files, one after the other; progress and wrong lines go to the console.

    Raises:
        StartRefused: the data folder is in use, or can't be used.
    """
    summary = Summary()
    started = time.monotonic()
    if map_file is not None and not map_file.parent.is_dir():
        summary.failure = f"{map_file}: there is no such folder"
        return summary
    try:
        surveys = [survey(file) for file in files]
    except (OSError, EOFError, zlib.error) as error:
        summary.failure = f"A file can't be read: {error}"
        return summary
    aside = SetAside(console, keep_going)
    rejections = Rejections(keep_going, aside.add)
    earliest = min((s.earliest for s in surveys if s.earliest is not None), default=now())
    policy = Policy(settings.allow_address_ids, settings.delete_destroys, earliest)
    async with open_core(settings, open_secrets(settings)) as core, writing(core):
        run = Run(core, policy, rejections)
        # What went wrong must not leave the block: it would come out as a group of exceptions.
        try:
            await _carry_out(core, run, rejections, surveys, console)
            if map_file is not None:
                _write_map(run.known, map_file)
            summary.complete = not rejections.ended
        except LogUnavailable:
            summary.failure = "The log took no more. What it acknowledged is safe: import again."
        except (KeyringError, StoreError, OSError, EOFError, zlib.error) as error:
            summary.failure = str(error)
    summary.rejected = aside.close()
    summary.wrong = aside.wrong
    tally = run.tally
    summary.written, summary.repeated = tally.written, tally.repeated
    summary.unchanged = tally.unchanged
    summary.lines = dict(sorted(sum(tally.right.values(), Counter()).items()))
    summary.seconds = round(time.monotonic() - started, 3)
    summary.lines_per_second = round(tally.total / max(summary.seconds, 0.001))
    return summary


async def _carry_out(
    core: Core, run: Run, rejections: Rejections, surveys: Sequence[Survey], console: Console
) -> None:
    await core.settle()
    files = [one.file for one in surveys]
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Speed(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task("importing", total=sum(one.lines for one in surveys))
        for chunk in read(files, CHUNK):
            await run.take(chunk)
            progress.update(task, completed=run.tally.total + rejections.count)
            if rejections.ended:
                break
        await run.finish()
        progress.update(task, completed=run.tally.total + rejections.count)
        if not rejections.ended:
            progress.update(task, description="waiting for the read models")
            await core.settle()
            for one in surveys:
                await _note(core, one, run.tally.right.get(one.file, Counter()))
            await core.settle()


async def _note(core: Core, survey: Survey, right: Counter[str]) -> None:
    """Leave on record that a file was imported. The same file with the same outcome is noted
    once."""
    stream = commands.IMPORTER
    action = NoteImport(source=survey.file.name, lines=dict(sorted(right.items())))
    await core.vault.ensure([stream])
    await core.commander.execute(
        Command(
            id=commands.file_id(survey.digest, action),
            digest=core.vault.digest(stream, commands.canonical(action)),
            stream=stream,
            actor="import",
            time=now(),
            action=action,
            rights="operator",
        )
    )


def _write_map(known: Known, path: Path) -> None:
    chats = {foreign: chat for foreign, chat in known.chats.items() if chat.made.seq is not None}
    document = {
        "chats": {foreign: chat.id for foreign, chat in chats.items()},
        "messages": {
            foreign: {
                message: fact.seq for message, fact in chat.messages.items() if fact.seq is not None
            }
            for foreign, chat in chats.items()
        },
    }
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_bytes(msgspec.json.encode(document) + b"\n")
    unfinished.replace(path)
