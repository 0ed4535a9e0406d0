"""What the SQLite keyring promises of its files."""

import contextlib
import os
import random
import sqlite3
import stat
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from projections.keyring import Keyring, KeyringError, open_keyring, sqlite

FRAGMENT = 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.db"


@pytest.fixture
async def keyring(path: Path, master_key: bytes) -> AsyncIterator[Keyring]:
    keyring = await open_keyring(f"sqlite:///{path}", master_key)
    yield keyring
    await keyring.close()


def run(path: Path, sql: str) -> list[tuple[str, str]]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        return db.execute(sql).fetchall()


def wrapped_keys(path: Path) -> dict[str, bytes]:
    rows = run(path, "SELECT id, wrapped FROM keys WHERE wrapped IS NOT NULL")
    return {key_id: wrapped.encode() for key_id, wrapped in rows}


def found(path: Path, wrapped: Iterable[bytes]) -> set[bytes]:
    """Those of which a piece stands anywhere in a file of the database."""
    pieces = {
        key[start : start + FRAGMENT]: key
        for key in wrapped
        for start in range(0, len(key) - FRAGMENT + 1, FRAGMENT)
    }
    files = [file.read_bytes() for file in path.parent.iterdir() if file.name.startswith(path.name)]
    assert files
    return {
        pieces[data[start : start + FRAGMENT]]
        for data in files
        for start in range(len(data))
        if data[start : start + FRAGMENT] in pieces
    }


async def test_no_byte_of_a_destroyed_key_is_left_in_any_file(keyring: Keyring, path: Path) -> None:
    chance = random.Random(5)
    seen: dict[str, bytes] = {}
    alive: list[str] = []
    for _ in range(60):
        # Ids of many lengths in no order, so that pages fill up and split everywhere.
        ids = [f"users/{chance.randrange(10 ** chance.choice((9, 40, 120)))}" for _ in range(100)]
        alive += await keyring.ensure(ids)
        seen |= wrapped_keys(path)
        chance.shuffle(alive)
        await keyring.destroy(alive[:70])
        del alive[:70]

    left = found(path, seen.values())

    assert len(seen) == 6_000
    assert left == {seen[key_id] for key_id in alive}
    await keyring.destroy(alive)
    assert found(path, seen.values()) == set()


async def test_destruction_fails_while_a_reader_keeps_the_key_in_the_wal(
    path: Path, master_key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_WAIT_SECONDS", 0.01)
    keyring = await open_keyring(f"sqlite:///{path}", master_key)
    await keyring.ensure(["users/alice"])
    wrapped = wrapped_keys(path).values()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM keys").fetchall()
        with pytest.raises(KeyringError, match="reader"):
            await keyring.destroy(["users/alice"])
        assert found(path, wrapped)

    await keyring.destroy(["users/alice"])

    assert not found(path, wrapped)
    await keyring.close()


async def test_nobody_else_can_read_the_files(keyring: Keyring, path: Path) -> None:
    await keyring.ensure(["users/alice"])

    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}

    assert modes == {"keys.db": 0o600, "keys.db-wal": 0o600, "keys.db-shm": 0o600}


@pytest.fixture
def readable_file(path: Path) -> Path:
    path.touch()
    path.chmod(0o644)
    return path


async def test_a_file_that_others_could_read_is_closed_to_them(
    readable_file: Path, master_key: bytes
) -> None:
    keyring = await open_keyring(f"sqlite:///{readable_file}", master_key)

    assert stat.S_IMODE(os.stat(readable_file).st_mode) == 0o600
    await keyring.close()


async def test_keys_that_changed_places_are_an_error_and_no_keys(
    keyring: Keyring, path: Path
) -> None:
    await keyring.ensure(["users/alice", "users/bob", "users/carol"])
    alice = wrapped_keys(path)["users/alice"].decode()
    run(path, f"UPDATE keys SET wrapped = '{alice}' WHERE id = 'users/bob'")

    for asked in (keyring.get, keyring.ensure):
        with pytest.raises(KeyringError, match="'users/bob' can't be unwrapped"):
            await asked(["users/alice", "users/bob"])
    assert await keyring.get(["users/alice", "users/carol"])


@pytest.mark.parametrize("content", [b"no database at all " * 100, None])
async def test_a_file_that_can_not_be_used_is_one_clear_error(
    tmp_path: Path, master_key: bytes, content: bytes | None
) -> None:
    path = tmp_path / "folder" / "keys.db"
    if content is not None:
        path.parent.mkdir()
        path.write_bytes(content)

    with pytest.raises(KeyringError, match=str(path)):
        await open_keyring(f"sqlite:///{path}", master_key)
