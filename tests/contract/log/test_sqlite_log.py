"""What only the SQLite log must do: be durable, and survive full disks and sudden ends."""

import asyncio
import os
import resource
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from domain.ids import user_stream
from domain.state import HEAD, Head
from tests.contract.log.endless_writer import USERS
from tests.contract.log.scribe import Scribe, contents, streams
from workers.log import open_embedded_log, sqlite
from workers.log.port import LogError
from workers.log.sqlite import EVENTS, OUTCOMES, SqliteLog

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


async def opened(path: Path) -> SqliteLog:
    log = await open_embedded_log(f"sqlite:///{path}")
    assert isinstance(log, SqliteLog)
    return log


def pragma(log: SqliteLog, text: str) -> object:
    with log._recorder.datastore.get_connection(commit=True) as connection:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA {text}")
        return cursor.fetchone()[0]


async def test_it_flushes_before_it_acknowledges(path: Path) -> None:
    log = await opened(path)
    pool = log._recorder.datastore.pool
    connections = [pool.get_connection() for _ in range(4)]
    for connection in connections:
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous")
        assert cursor.fetchone()[0] == 2
        cursor.execute("PRAGMA journal_mode")
        assert cursor.fetchone()[0] == "wal"
        pool.put_connection(connection)
    await log.close()


async def test_what_can_not_be_opened_says_so(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="unable to open"):
        await opened(tmp_path / "no-such-folder" / "log.db")
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"These are no pages of a database. " * 200)
    with pytest.raises(LogError, match=r"garbage\.db: file is not a database"):
        await opened(garbage)


@pytest.mark.parametrize("limit", [1, 3, 50])
async def test_file_and_tail_join_without_a_seam(
    path: Path, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "TAIL", 4)
    log = await opened(path)
    scribe = Scribe()
    for number in range(11):
        await log.commit(scribe.group(("ann", f"{number}"), (f"u{number}", "U")))
        envelopes = [record.envelope for record in scribe.records]
        for after in range(len(envelopes) + 1):
            run = envelopes[after : after + limit]
            batch = await log.read(EVENTS, after, limit)
            assert (batch.end, list(batch.events)) == (after + len(run), run)
    await log.close()


@contextmanager
def no_new_pages(log: SqliteLog) -> Iterator[None]:
    """The file may not grow any more."""
    pragma(log, "max_page_count = 1")
    yield
    pragma(log, "max_page_count = 1000000")


@contextmanager
def no_space(log: SqliteLog) -> Iterator[None]:
    """The write-ahead log may not grow any more, so that it is the commit that fails."""
    written = os.path.getsize(f"{log._recorder.datastore.pool.db_name}-wal")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (written, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("full", [no_new_pages, no_space])
async def test_on_a_full_disk_a_group_fails_whole(
    path: Path, full: Callable[[SqliteLog], AbstractContextManager[None]]
) -> None:
    log = await opened(path)
    scribe = Scribe()
    await log.commit(scribe.group(("ann", "Ann"), ("bob", None)))
    before = await contents(log)
    much = scribe.group(("ann", "A" * 100_000), ("bob", None), ("cid", "C" * 100_000))
    receipts = [outcome.command for outcome in much.receipts]
    with full(log):
        for _ in range(3):
            with pytest.raises(LogError):
                await log.commit(much)
        assert await contents(log) == before
        parts, found = await log.recall([*scribe.parts], receipts)
        assert parts[user_stream("ann"), HEAD] != scribe.parts[user_stream("ann"), HEAD]
        assert (user_stream("cid"), HEAD) not in parts
        assert found == {}
    await log.commit(much)
    await log.commit(scribe.group(("ann", "Ann again"), ("bob", None)))
    after = await contents(log)
    assert await log.recall([*scribe.parts], []) == (scribe.parts, {})
    await log.close()
    log = await opened(path)
    assert await contents(log) == after
    assert [e.seq for e in (await streams(log))[user_stream("ann")]] == [1, 2, 3]
    await log.close()


async def test_a_locked_file_fails_the_group_and_nothing_else(path: Path) -> None:
    log = await opened(path)
    pragma(log, "busy_timeout = 1")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    group = Scribe().group(("ann", "Ann"))
    with pytest.raises(LogError):
        await log.commit(group)
    other.execute("ROLLBACK")
    other.close()
    assert await contents(log) == []
    await log.commit(group)
    assert len(await contents(log)) == 1
    await log.close()


@pytest.mark.parametrize("groups", [1, 9, 60])
async def test_a_killed_writer_leaves_every_acknowledged_group_whole(
    path: Path, groups: int
) -> None:
    module = "tests.contract.log.endless_writer"
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, f"sqlite:///{path}", cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert writer.stdout is not None
    acknowledged = 0
    while acknowledged < groups:
        acknowledged = int(await writer.stdout.readline())
    writer.kill()
    acknowledged = max([acknowledged, *map(int, (await writer.stdout.read()).split())])
    await writer.wait()
    log = await opened(path)
    last = log.end(OUTCOMES)
    assert last in (acknowledged, acknowledged + 1)
    assert {stream: [e.seq for e in events] for stream, events in (await streams(log)).items()} == {
        user_stream(user): list(range(1, last + 1)) for user in USERS
    }
    heads = [(user_stream(user), HEAD) for user in USERS]
    parts, receipts = await log.recall(heads, [f"command-{n}" for n in range(1, 6 * last + 9)])
    assert [head.seq for head in parts.values() if isinstance(head, Head)] == [last] * len(USERS)
    assert len(receipts) == 6 * last
    await log.close()
