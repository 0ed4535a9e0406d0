"""`hansard import`: lines of every type, wrong lines, crashes, and what readers then see."""

import gzip
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.servers.hansard import HansardServer
from tests.system.import_support import (
    PATIENCE,
    WORDS,
    Corpus,
    Line,
    Reader,
    hansard,
    made_up,
    records,
    shown,
    summary,
    written,
)

USERS: list[Line] = [{"type": "user", "id": user, "name": user.title()} for user in ("ann", "ben")]
GROUP: Line = {
    "type": "chat",
    "id": "g",
    "kind": "group",
    "members": ["ann", "ben"],
    "time": "2012-01-01T10:00:00Z",
}


def said(number: int, sender: str = "ann", **fields: Any) -> Line:
    return {
        "type": "message",
        "chat": "g",
        "id": str(number),
        "sender": sender,
        "time": f"2012-01-01T10:{number:02d}:00Z",
        "content": f"message {number}",
        **fields,
    }


@pytest.fixture
def home(tmp_path: Path) -> HansardServer:
    """A data folder that no server runs on yet."""
    return HansardServer(tmp_path / "data")


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    return made_up(1, 1500)


class TestWhatReadersSee:
    @pytest.fixture(scope="class")
    def imported(
        self, lines: list[Line], tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[tuple[HansardServer, Corpus, Any]]:
        """A server on imported data, the reading of the same lines, and the map."""
        folder = tmp_path_factory.mktemp("import")
        server = HansardServer(folder / "data")
        file, map_file = written(folder / "lines.ndjson", lines), folder / "map.json"
        told = summary(server, file, "--map", map_file)
        assert told["complete"]
        assert sum(told["lines"].values()) == len(lines)
        server.start()
        yield server, Corpus(lines), json.loads(map_file.read_text())
        assert server.stop() == 0

    def test_the_map_names_every_message(self, imported: tuple[HansardServer, Corpus, Any]) -> None:
        _, corpus, ids = imported
        assert ids["messages"] == {
            name: {foreign: message.seq for foreign, message in room.by_foreign.items()}
            for name, room in corpus.rooms.items()
        }

    def test_every_inbox(self, imported: tuple[HansardServer, Corpus, Any]) -> None:
        server, corpus, ids = imported
        for user in corpus.names:
            with Reader(server, user) as reader:
                rows = reader.all("/v1/chats")
            shown = [(row["chat"]["id"], row["last_message"]["seq"], row["unread"]) for row in rows]
            assert shown == corpus.inbox(user, ids["chats"])

    def test_every_message(self, imported: tuple[HansardServer, Corpus, Any]) -> None:
        server, corpus, ids = imported
        for name, room in corpus.rooms.items():
            with Reader(server, next(iter(room.joined))) as reader:
                path = f"/v1/chats/{ids['chats'][name]}/messages"
                items = reader.all(path, after=0, limit=100)
            assert [shown(item) for item in items if item["kind"] != "system"] == [
                message.shown() for message in room.said.values()
            ]
            assert {item["seq"] for item in items} <= set(range(1, room.head + 1))

    def test_members_names_and_admins(self, imported: tuple[HansardServer, Corpus, Any]) -> None:
        server, corpus, ids = imported
        for name, room in corpus.rooms.items():
            with Reader(server, next(iter(room.joined))) as reader:
                chat = reader.get(f"/v1/chats/{ids['chats'][name]}").json()
            assert {member["user"] for member in chat["members"]} == room.joined.keys()
            assert chat["name"] == room.name
            if room.kind == "group":
                admins = {one["user"] for one in chat["members"] if one["role"] == "admin"}
                assert admins == room.admins
        for user, name in corpus.names.items():
            with Reader(server, user) as reader:
                assert reader.get("/v1/me").json()["name"] == name

    def test_every_search(self, imported: tuple[HansardServer, Corpus, Any]) -> None:
        server, corpus, ids = imported
        for user in corpus.names:
            with Reader(server, user) as reader:
                for word in WORDS[::4]:
                    items = reader.all("/v1/search/messages", q=word, limit=100)
                    found = {(i["message"]["chat"], i["message"]["seq"]) for i in items}
                    assert found == corpus.found(user, word, ids["chats"])


class TestAgain:
    def test_a_second_run_writes_nothing(self, home: HansardServer, lines: list[Line]) -> None:
        file = written(home.folder.parent / "lines.ndjson", lines)
        maps = [home.folder.parent / name for name in ("first", "second")]
        first = summary(home, file, "--map", maps[0])
        before = records(home.environ)
        second = summary(home, file, "--map", maps[1])
        assert records(home.environ) == before
        assert second["written"] == 0
        assert first["lines"] == second["lines"]
        assert maps[0].read_bytes() == maps[1].read_bytes()

    def test_killed_twice_and_gone_on_with(self, tmp_path: Path) -> None:
        lines = made_up(2, 3000)
        file = written(tmp_path / "lines.ndjson", lines)
        undisturbed, killed = HansardServer(tmp_path / "one"), HansardServer(tmp_path / "two")
        summary(undisturbed, file)
        wanted = records(undisturbed.environ)
        # Under the same keys the same line gives the same record, to the byte.
        shutil.copytree(
            undisturbed.folder, killed.folder, ignore=shutil.ignore_patterns("log.*", "read.*")
        )
        killed.folder.chmod(0o700)
        total = sum(map(len, wanted.values()))
        for share in (0.2, 0.6):
            _kill_import(killed, file, int(total * share))
        told = summary(killed, file)
        assert told["complete"]
        assert told["written"] > 0
        assert told["repeated"] > 0
        found = records(killed.environ)
        # The note of the import itself has the time of its own run.
        assert len(found.pop("operators/import")) == len(wanted.pop("operators/import")) == 1
        assert found == wanted
        with_chains = json.loads(hansard(killed.environ, "doctor", "--verify", "--json").stdout)
        assert with_chains["ok"]

    def test_a_later_file_builds_on_an_earlier_one(self, home: HansardServer) -> None:
        folder = home.folder.parent
        direct = {**GROUP, "id": "d", "kind": "direct"}
        first = written(folder / "first", [*USERS, GROUP, direct, said(1), said(1, chat="d")])
        map_file = folder / "map"
        summary(home, first, "--map", map_file)
        ids = json.loads(map_file.read_text())
        second = written(
            folder / "second",
            [
                {"type": "user", "id": "ben", "name": "Benjamin"},
                said(2, "ben", reply_to="1"),
                said(2, "ben", chat="d", reply_to="1"),
                {**said(1), "type": "reaction", "user": "ben", "message": "1", "emoji": "👍"},
            ],
        )
        lines = second.read_text().splitlines()
        del (reaction := json.loads(lines[-1]))["id"], reaction["sender"], reaction["content"]
        written(second, [*lines[:-1], reaction])
        told = summary(home, second, "--map", map_file)
        assert told["written"] == 4
        later = json.loads(map_file.read_text())
        assert later["chats"] == ids["chats"]
        home.start()
        with Reader(home, "ben") as ben:
            assert ben.get("/v1/me").json()["name"] == "Benjamin"
            for chat in ids["chats"].values():
                items = ben.all(f"/v1/chats/{chat}/messages", after=0)
                assert [item["content"] for item in items][1:] == ["message 1", "message 2"]
                assert items[2]["reply_to"]["seq"] == items[1]["seq"]
        home.stop()

    def test_files_that_overlap(self, home: HansardServer) -> None:
        folder = home.folder.parent
        lines = [*USERS, GROUP, *(said(number) for number in range(1, 9))]
        whole, end = written(folder / "whole", lines), written(folder / "end", lines[6:])
        told = summary(home, whole, end)
        assert (told["written"], told["repeated"]) == (len(lines), len(lines[6:]))

    def test_someone_comes_and_goes_in_one_moment(self, home: HansardServer) -> None:
        comes: Line = {"type": "join", "chat": "g", "user": "cid", "time": GROUP["time"]}
        goes = {**comes, "type": "leave"}
        cid: Line = {"type": "user", "id": "cid", "name": "Cid"}
        lines = [*USERS, cid, GROUP, comes, goes, comes, goes, comes, said(1, "cid")]
        file = written(home.folder.parent / "lines", lines)
        assert summary(home, file)["written"] == len(lines)
        assert summary(home, file)["written"] == 0


def _kill_import(home: HansardServer, file: Path, events: int) -> None:
    """Import until the log holds so many events, and then nothing of the process runs any more."""
    process = subprocess.Popen(
        [sys.executable, "-m", "workers.cli", "import", str(file)],
        env=home.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + PATIENCE
    while _end(home.folder / "log.db") < events:
        assert process.poll() is None, "the import ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait(PATIENCE) == -signal.SIGKILL


def _end(log: Path) -> int:
    try:
        with closing(sqlite3.connect(f"{log.as_uri()}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT max(rowid) FROM stored_events").fetchone()
    except sqlite3.OperationalError:
        # Not made yet.
        return 0
    return int(found[0] or 0)


class TestForms:
    def test_packed_or_plain(self, home: HansardServer) -> None:
        plain = written(home.folder.parent / "plain", [*USERS, GROUP, said(1)])
        packed = home.folder.parent / "packed.gz"
        packed.write_bytes(gzip.compress(plain.read_bytes()))
        assert summary(home, packed)["written"] == 4
        assert summary(home, plain)["repeated"] == 4

    def test_a_damaged_archive(self, home: HansardServer) -> None:
        packed = home.folder.parent / "packed.gz"
        plain = written(home.folder.parent / "plain", [*USERS, GROUP, said(1)])
        packed.write_bytes(gzip.compress(plain.read_bytes())[:-9])
        told = summary(home, packed, code=1)
        assert "can't be read" in told["failure"]
        assert not told["complete"]

    def test_an_earlier_line_keeps_its_own_time(self, home: HansardServer) -> None:
        file = written(home.folder.parent / "lines", [*USERS, GROUP, said(5), said(2)])
        summary(home, file)
        [chat] = [found for stream, found in records(home.environ).items() if "chats/" in stream]
        second = json.loads(chat[2])
        assert second["time"] == "2012-01-01T10:05:00.000Z"
        assert second["originaltime"] == "2012-01-01T10:02:00.000Z"

    def test_users_are_as_old_as_the_first_line(self, home: HansardServer) -> None:
        summary(home, written(home.folder.parent / "lines", [*USERS, GROUP, said(5)]))
        [registered] = records(home.environ)["users/ann"]
        assert json.loads(registered)["time"] == "2012-01-01T10:00:00.000Z"

    def test_beside_a_server(self, fresh_server: HansardServer) -> None:
        file = written(fresh_server.folder.parent / "lines", USERS)
        ended = hansard(fresh_server.environ, "import", file, code=2)
        assert ended.stderr == (
            f"hansard: {fresh_server.folder} is in use by process {fresh_server.pid}\n"
        )
