"""The wheel: what is in it, and that it works where the checkout is not."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Sequence
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"domain", "projections", "gateway", "workers"}


def run(command: Sequence[object], folder: Path, **environ: str) -> str:
    """Run in a folder with nothing of this process's environment but the path to programs."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, because building leaves files beside the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    hidden = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist")
    shutil.copytree(ROOT, source, ignore=hidden)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source]
    run(build, folder)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel in it, which has the libraries of this one and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    run([sys.executable, "-m", "venv", folder], folder)
    run([folder / "bin/pip", "install", "--no-deps", "--no-index", wheel], folder)
    # Of a `.pth` file's lines only the folder counts: the `.pth` files in there are not read, and
    # with them goes the checkout, which is installed here for development.
    [site] = (folder / "lib").glob("python*/site-packages")
    libraries = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    (site / "libraries.pth").write_text("\n".join(sorted(libraries)))
    return folder


def test_it_holds_the_four_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [metadata_name] = [name for name in names if name.endswith(".dist-info/METADATA")]
        metadata = message_from_string(archive.read(metadata_name).decode())
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES
    assert (metadata["Name"], len(tops)) == ("hansard", len(PACKAGES) + 1)
    source = wheel.parent / "source"
    modules = {
        path.relative_to(source).as_posix()
        for package in PACKAGES
        for path in (source / package).rglob("*.py")
    }
    assert {name for name in names if name.endswith(".py")} == modules


def test_what_is_imported_is_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = "import {0}, json; print(json.dumps([p.__file__ for p in ({0})]))"
    paths = json.loads(
        run([installed / "bin/python", "-c", code.format(", ".join(sorted(PACKAGES)))], tmp_path)
    )
    assert len(paths) == len(PACKAGES)
    assert all(Path(path).is_relative_to(installed) for path in paths)


def test_everything_in_it_can_be_imported(installed: Path, tmp_path: Path) -> None:
    code = """
import importlib, pkgutil
for package in ("domain", "projections", "gateway", "workers"):
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        print(importlib.import_module(module.name).__file__)
"""
    paths = run([installed / "bin/python", "-c", code], tmp_path).split()
    assert len(paths) > len(PACKAGES)
    assert all(Path(path).is_relative_to(installed) for path in paths)


def test_the_doctor_runs_there(installed: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    doctor = [installed / "bin/hansard", "doctor", "--json"]
    report = json.loads(run(doctor, tmp_path, HANSARD_DATA_DIR=str(data)))
    assert report["ok"] is True
    assert not data.exists()
    # With secrets, but no log yet.
    run([installed / "bin/hansard", "token", "ann"], tmp_path, HANSARD_DATA_DIR=str(data))
    report = json.loads(run(doctor, tmp_path, HANSARD_DATA_DIR=str(data)))
    assert report["ok"] is True
    assert "data" in {finding["check"] for finding in report["findings"]}
