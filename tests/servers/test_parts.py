"""Parts are fetched once, whole, and say in one line each when they can't be had."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from tests.servers.parts import PartMissing, cached

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HANSARD_TEST_PARTS", str(tmp_path))
    return tmp_path


def test_many_at_once_fetch_once(folder: Path) -> None:
    fetched = []
    together = Barrier(8)

    def fetch(aside: Path) -> None:
        fetched.append(aside)
        (aside / "server").write_text("whole")

    def ask(_: int) -> str:
        together.wait()
        return (cached("part", fetch, "") / "server").read_text()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == ["whole"] * 8
    assert len(fetched) == 1
    assert (folder / "part").is_dir()


def test_one_that_broke_off_is_fetched_anew(folder: Path) -> None:
    def break_off(aside: Path) -> None:
        (aside / "rest").write_text("half")
        raise PartMissing("the line is dead")

    with pytest.raises(PartMissing, match=r"^part can't be had \(the line is dead\): plug it in$"):
        cached("part", break_off, "plug it in")
    assert not (folder / "part").exists()

    part = cached("part", lambda aside: (aside / "server").touch(), "plug it in")
    assert [file.name for file in part.iterdir()] == ["server"]


def test_a_machine_without_the_tools_is_told_what_to_install(folder: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.servers.parts"],
        cwd=CHECKOUT,
        env={
            **os.environ,
            "PATH": str(folder),
            "HANSARD_TEST_KAFKA": "",
            "HANSARD_TEST_REDIS": "",
            "HANSARD_TEST_MONGO": "mongodb://127.0.0.1/?replicaSet=rs0",
        },
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 1
    kafka, redis = ran.stderr.splitlines()
    assert kafka.startswith("kafka-4.1.1 can't be had")
    assert "install Java 17 and Maven" in kafka
    assert redis.startswith("redis can't be had")
    assert "apt-get install redis-server" in redis
