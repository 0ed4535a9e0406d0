"""Log lines on their way to whoever reads them, which may be nobody."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from workers.tools.logs import MAX_WAITING, LineWriter

LINE = b"x" * 99 + b"\n"
#: More than waits, and than a pipe holds beside it.
MANY = MAX_WAITING + 20_000


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Where to read, and where to write."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_lines_come_whole_and_in_order(pipe: tuple[int, int]) -> None:
    writer = LineWriter(pipe[1])
    for number in range(100):
        writer.info(b"%d\n" % number)
    writer.close()
    assert os.read(pipe[0], 2**16).split() == [b"%d" % number for number in range(100)]


def test_what_nobody_takes_is_dropped_and_counted() -> None:
    here, there = os.pipe()
    writer = LineWriter(there)
    for _ in range(MANY):
        writer.info(LINE)
    dropped = writer.dropped
    assert MANY - MAX_WAITING >= dropped > 0
    read = bytearray()
    # Whoever reads again gets all that was kept.
    while len(read) < (MANY - dropped) * len(LINE):
        read += os.read(here, 2**20)
    assert read == LINE * (MANY - dropped)
    writer.close()
    os.close(here)
    os.close(there)


def test_a_reader_that_has_gone_is_no_error() -> None:
    here, there = os.pipe()
    os.close(here)
    writer = LineWriter(there)
    writer.info(LINE)
    writer.close()
    assert writer.dropped == 1
    os.close(there)


CHATTY = """
import sys, structlog
from workers.tools.logs import configure
configure("info", sys.stderr)
for number in range(100_000):
    structlog.get_logger().info("line", number=number, text="x" * 100)
"""


def test_a_process_ends_though_nobody_reads_its_last_lines() -> None:
    here, there = os.pipe()
    with subprocess.Popen([sys.executable, "-c", CHATTY], stderr=there) as process:
        os.close(there)
        assert process.wait(60) == 0
    os.close(here)


NAGGING = """
import logging, sys
from workers.tools import logs
logs.configure("info", sys.stderr)
for number in range(1_000):
    logging.getLogger("library").error("no answer of %d", number)
logging.getLogger("library").error("no answer at all")
logs.SAME_WITHIN = 0
logging.getLogger("library").error("no answer of %d", 1_000)
"""


def test_a_library_that_repeats_itself_is_counted() -> None:
    command = [sys.executable, "-c", NAGGING]
    run = subprocess.run(command, capture_output=True, check=True, timeout=60)
    told = [json.loads(line) for line in run.stderr.splitlines()]
    shown = [(line["message"], line.get("repeated")) for line in told]
    assert ("no answer at all", None) in shown
    shown.remove(("no answer at all", None))
    assert shown[0] == ("no answer of 0", None)
    # Each thousandth that was not told is counted by one that was.
    assert len(shown) + sum(count or 0 for _, count in shown) == 1_001
    assert shown[-1][0] == "no answer of 1000"
    assert len(shown) < 10
