"""The data folder on a real file system: secrets that are kept, and the lock."""

import base64
import contextlib
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from workers.data_lock import DataInUse, DataLock
from workers.secrets_file import SecretFileError, open_secrets
from workers.settings import Settings, StartRefused, read_settings

ROOT = Path(__file__).parents[2]

HOLD = """
import sys
from pathlib import Path
from workers.data_lock import DataLock
with DataLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "new" / "data"


def settings(folder: Path, **variables: str) -> Settings:
    given = {f"HANSARD_{name}": value for name, value in variables.items()}
    return read_settings({"HANSARD_DATA_DIR": str(folder)} | given)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_made_once(folder: Path) -> None:
    first = open_secrets(settings(folder))
    assert first.made_here
    assert first.jwt_secret is not None
    assert len(first.jwt_secret) >= 32
    assert len(first.master_key) == 32
    assert open_secrets(settings(folder)) == first


def test_nobody_else_can_look_at_them(folder: Path) -> None:
    previous = os.umask(0)
    try:
        open_secrets(settings(folder))
    finally:
        os.umask(previous)
    assert mode(folder) == 0o700
    assert {path.name: mode(path) for path in folder.iterdir()} == {
        "jwt.secret": 0o600,
        "master.key": 0o600,
        "vapid.key": 0o600,
    }


def test_two_folders_have_different_secrets(tmp_path: Path) -> None:
    one, other = (open_secrets(settings(tmp_path / name)) for name in ("one", "other"))
    assert one.jwt_secret != other.jwt_secret
    assert one.master_key != other.master_key


def test_what_is_set_is_not_made(folder: Path) -> None:
    key = bytes(range(32))
    secrets = open_secrets(
        settings(
            folder,
            JWT_SECRET="s" * 32,
            MASTER_KEY=base64.b64encode(key).decode(),
            VAPID_PRIVATE_KEY=base64.urlsafe_b64encode(key).decode(),
        )
    )
    assert (secrets.jwt_secret, secrets.made_here) == ("s" * 32, False)
    assert secrets.master_key == secrets.vapid_key == key
    assert list(folder.iterdir()) == []


def test_with_a_jwks_endpoint_there_is_no_secret(folder: Path) -> None:
    secrets = open_secrets(settings(folder, JWT_JWKS_URL="https://id.example.org/jwks.json"))
    assert (secrets.jwt_secret, secrets.made_here) == (None, False)
    assert {path.name for path in folder.iterdir()} == {"master.key", "vapid.key"}


def test_they_do_not_show(folder: Path) -> None:
    secrets = open_secrets(settings(folder))
    assert str(secrets.jwt_secret) not in repr(secrets)
    assert str(secrets.master_key) not in repr(secrets)


def test_starts_at_the_same_time_agree(folder: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(open_secrets, [settings(folder)] * 32))
    assert all(secrets == found[0] for secrets in found)
    assert sorted(path.name for path in folder.iterdir()) == [
        "jwt.secret",
        "master.key",
        "vapid.key",
    ]


@pytest.mark.parametrize("name", ["jwt.secret", "master.key"])
@pytest.mark.parametrize("wrong", [0o640, 0o604, 0o644, 0o620, 0o666])
def test_a_secret_that_others_can_use_is_refused(folder: Path, name: str, wrong: int) -> None:
    open_secrets(settings(folder))
    (folder / name).chmod(wrong)
    with pytest.raises(SecretFileError, match=rf"{name}: others can use it \(mode {wrong:04o}"):
        open_secrets(settings(folder))


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("jwt.secret", b"", "the file is empty"),
        ("jwt.secret", b" \n", "the file is empty"),
        ("master.key", b"", "the file is empty"),
        ("master.key", b"c2hvcnQ=\n", "expected 32 bytes in base64"),
        ("master.key", b"\xff\xfe\n", "expected 32 bytes in base64"),
    ],
)
def test_a_secret_that_can_not_be_used_is_refused(
    folder: Path, name: str, content: bytes, told: str
) -> None:
    open_secrets(settings(folder))
    (folder / name).write_bytes(content)
    with pytest.raises(SecretFileError) as caught:
        open_secrets(settings(folder))
    assert str(caught.value) == f"{folder / name}: {told}"


def test_a_lost_master_key_is_not_replaced(folder: Path) -> None:
    open_secrets(settings(folder))
    (folder / "keys.db").touch()
    (folder / "master.key").unlink()
    with pytest.raises(SecretFileError, match="put it back"):
        open_secrets(settings(folder))
    assert not (folder / "master.key").exists()


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.touch()
    with pytest.raises(SecretFileError, match=f"{path}: File exists"):
        open_secrets(settings(path))


def test_an_old_folder_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    open_secrets(settings(tmp_path))
    assert mode(tmp_path) == 0o750


@contextlib.contextmanager
def held(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the folder; it is killed at the end."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_a_second_process_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    with held(tmp_path) as process:
        with pytest.raises(DataInUse) as caught, DataLock(tmp_path):
            pass
        assert str(caught.value) == f"{tmp_path} is in use by process {process.pid}"


def test_a_crash_ends_the_lock(tmp_path: Path) -> None:
    with held(tmp_path):
        pass
    (tmp_path / "lock").write_text("4194304000\n")
    with DataLock(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_a_lock_can_be_taken_again(tmp_path: Path) -> None:
    for _ in range(2):
        with DataLock(tmp_path), pytest.raises(DataInUse), DataLock(tmp_path):
            pass
    assert mode(tmp_path / "lock") == 0o600


def test_a_folder_that_is_not_there_can_not_be_locked(tmp_path: Path) -> None:
    with pytest.raises(StartRefused, match="No such file"), DataLock(tmp_path / "missing"):
        pass
