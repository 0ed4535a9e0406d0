"""`hansard doctor`: what it finds, and setting stale streams going again."""

import base64
import hashlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from domain.ids import direct_chat_id
from tests.servers.hansard import HansardServer
from tests.system.import_support import Reader, hansard


def findings(home: HansardServer, *options: str, ok: bool, **variables: str) -> dict[str, Any]:
    """What the doctor says of each check, and which of them are wrong, after checking the whole."""
    command = ("doctor", "--json", *options)
    ended = hansard(home.environ | variables, *command, code=0 if ok else 1)
    report = json.loads(ended.stdout)
    assert report["ok"] is ok
    assert ok == all(finding["ok"] for finding in report["findings"])
    return {finding["check"]: finding for finding in report["findings"]}


def wrong(found: dict[str, Any]) -> list[str]:
    return [check for check, finding in found.items() if not finding["ok"]]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with two chats in it, whose server has stopped."""
    server = HansardServer(tmp_path_factory.mktemp("doctor") / "data").start()
    for user in ("ann", "ben", "cid"):
        with Reader(server, user) as person:
            person.put("/v1/me", json={"name": user.title()}).raise_for_status()
    with Reader(server, "ann") as ann:
        for other in ("ben", "cid"):
            send(ann, direct(ann, other), "hello").raise_for_status()
    assert server.stop() == 0
    return server.folder


@pytest.fixture
def home(filled: Path, tmp_path: Path) -> Iterator[HansardServer]:
    """A copy of it."""
    shutil.copytree(filled, tmp_path / "data")
    home = HansardServer(tmp_path / "data")
    yield home
    home.stop()


def direct(person: httpx.Client, other: str) -> str:
    answer = person.post("/v1/chats", json={"kind": "direct", "members": [other]})
    answer.raise_for_status()
    return str(answer.json()["id"])


def send(person: httpx.Client, chat: str, content: str) -> httpx.Response:
    body = {"kind": "text", "content": content}
    return person.post(f"/v1/chats/{chat}/messages", json=body)


@contextmanager
def log_of(home: HansardServer) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(home.folder / "log.db")) as connection, connection:
        yield connection


WITH_BEN = f"chats/{direct_chat_id('ann', 'ben')}"


class TestWhatItFinds:
    def test_nothing_wrong_before_the_first_start(self, tmp_path: Path) -> None:
        home = HansardServer(tmp_path / "data")
        findings(home, ok=True)
        assert not home.folder.exists()

    def test_nothing_wrong_after_it(self, home: HansardServer) -> None:
        before = sorted(home.folder.iterdir())
        found = findings(home, "--verify", ok=True)
        assert "synchronous=FULL" in found["log"]["detail"]
        assert "all 5 streams" in found["hash chains"]["detail"]
        assert sorted(home.folder.iterdir()) == before

    def test_nothing_wrong_beside_a_server(self, home: HansardServer) -> None:
        home.start()
        found = findings(home, "--verify", ok=True)
        assert f"process {home.pid}" in found["server"]["detail"]
        assert '"status":"ready"' in found["server"]["detail"]
        assert home.stop() == 0

    def test_a_server_that_does_not_answer(self, home: HansardServer) -> None:
        home.start()
        assert wrong(findings(home, ok=False, HANSARD_PORT="1")) == ["server"]

    def test_what_others_can_look_into(self, home: HansardServer) -> None:
        home.folder.chmod(0o755)
        assert wrong(findings(home, ok=False)) == ["data folder"]
        home.folder.chmod(0o700)
        (home.folder / "jwt.secret").chmod(0o644)
        assert "jwt.secret" in wrong(findings(home, ok=False))

    def test_another_master_key(self, home: HansardServer) -> None:
        other = base64.b64encode(bytes(32)).decode()
        assert wrong(findings(home, ok=False, HANSARD_MASTER_KEY=other)) == ["keyring"]

    def test_a_log_that_is_gone(self, home: HansardServer) -> None:
        (home.folder / "log.db").unlink()
        assert wrong(findings(home, ok=False)) == ["data"]
        assert not (home.folder / "log.db").exists()

    def test_a_log_put_back_from_an_older_copy(self, home: HansardServer) -> None:
        copy = shutil.copy(home.folder / "log.db", home.folder.parent / "older")
        home.start()
        with Reader(home, "ann") as ann:
            send(ann, direct(ann, "ben"), "newer").raise_for_status()
        home.stop()
        shutil.copy(copy, home.folder / "log.db")
        assert wrong(findings(home, ok=False)) == ["checkpoints"]

    def test_a_read_store_of_another_log(self, home: HansardServer) -> None:
        other = HansardServer(home.folder.parent / "other").start()
        other.stop()
        shutil.copy(other.folder / "read.db", home.folder / "read.db")
        assert wrong(findings(home, ok=False)) == ["read store"]

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ("SET state = replace(state, '\"ordinal\":1', '\"ordinal\":2')", "/2 was changed"),
            ("SET originator_version = 3", "/3 is missing"),
            ("SET state = 'nonsense'", "/2 can't be read"),
        ],
    )
    def test_a_record_that_was_touched(self, home: HansardServer, change: str, told: str) -> None:
        with log_of(home) as log:
            log.execute(
                f"UPDATE stored_events {change} WHERE originator_id = ? AND originator_version = 2",
                (WITH_BEN,),
            )
            log.execute("UPDATE stored_events SET state = CAST(state AS BLOB)")
        found = findings(home, "--verify", ok=False)
        assert wrong(found) == ["hash chains"]
        assert f"{WITH_BEN}{told}" in found["hash chains"]["detail"]

    def test_a_record_that_was_taken_out(self, home: HansardServer) -> None:
        with log_of(home) as log:
            log.execute(
                "DELETE FROM stored_events WHERE originator_id = ? AND originator_version = 1",
                (WITH_BEN,),
            )
        found = findings(home, "--verify", ok=False)
        assert f"{WITH_BEN}/1 is missing" in found["hash chains"]["detail"]


class Poison:
    """An event of a version that nobody knows, at the end of a stream; it can be made known."""

    def __init__(self, home: HansardServer, stream: str) -> None:
        self._home = home
        self.stream = stream
        with log_of(home) as log:
            seq, last = log.execute(
                "SELECT originator_version, state FROM stored_events WHERE originator_id = ?"
                " ORDER BY originator_version DESC LIMIT 1",
                (stream,),
            ).fetchone()
            self.seq = seq + 1
            envelope = json.loads(last) | {
                "id": f"{stream}/{self.seq}",
                "seq": self.seq,
                "type": "chat.changed",
                "dataschema": "urn:hansard:event:chat.changed:99",
                "commandid": "3c1c0b8e-0000-5000-8000-000000000000",
                "data": {},
            }
            log.execute(
                "INSERT INTO stored_events VALUES (?, ?, ?, ?)",
                (stream, self.seq, "chat.changed", _encoded(envelope)),
            )
        self._chain()

    def take_out(self) -> None:
        """Make the event one that this release knows."""
        with log_of(self._home) as log:
            log.execute(
                "UPDATE stored_events SET state ="
                " CAST(replace(state, 'chat.changed:99', 'chat.changed:1') AS BLOB)"
                " WHERE originator_id = ? AND originator_version = ?",
                (self.stream, self.seq),
            )
        self._chain()

    def _chain(self) -> None:
        with log_of(self._home) as log:
            prev = hashlib.sha256(self.stream.encode()).hexdigest()
            rows = log.execute(
                "SELECT originator_version, state FROM stored_events WHERE originator_id = ?"
                " ORDER BY originator_version",
                (self.stream,),
            ).fetchall()
            for seq, state in rows:
                state = _encoded(json.loads(state) | {"prev": prev})
                prev = hashlib.sha256(state).hexdigest()
                log.execute(
                    "UPDATE stored_events SET state = ?"
                    " WHERE originator_id = ? AND originator_version = ?",
                    (state, self.stream, seq),
                )
            log.execute(
                "UPDATE parts SET state = json_set(state, '$[1]', ?, '$[3]', ?)"
                " WHERE stream = ? AND part = 'head'",
                (len(rows), prev, self.stream),
            )


def _encoded(envelope: Any) -> bytes:
    return json.dumps(envelope, separators=(",", ":"), ensure_ascii=False).encode()


class TestStaleStreams:
    @pytest.fixture
    def poison(self, home: HansardServer) -> Poison:
        return Poison(home, WITH_BEN)

    def test_stop_alone_and_go_on_after_a_retry(self, home: HansardServer, poison: Poison) -> None:
        chat = poison.stream.removeprefix("chats/")
        home.start()
        with Reader(home, "ann") as ann:
            send(ann, direct(ann, "cid"), "still heard").raise_for_status()
            send(ann, chat, "kept")
            assert ann.get("/readyz").json()["stale_streams"] == 1
        home.stop()
        found = findings(home, ok=False)
        assert set(wrong(found)) == {"stale streams", "hash chains"}
        assert f"{poison.stream} at {poison.seq}" in found["stale streams"]["detail"]

        again = hansard(home.environ, "doctor", "retry", code=1)
        assert f"{poison.stream} has stopped at {poison.seq}" in again.stdout

        poison.take_out()
        done = hansard(home.environ, "doctor", "retry", poison.stream, "--json")
        assert json.loads(done.stdout) == [
            {"stream": poison.stream, "ok": True, "at": None, "error": None}
        ]
        findings(home, "--verify", ok=True)
        home.start()
        with Reader(home, "ben") as ben:
            items = ben.all(f"/v1/chats/{chat}/messages", after=0)
            shown = [item["content"] for item in items if item["kind"] != "system"]
        assert shown == ["hello", "kept"]

    def test_a_retry_needs_the_folder_alone(self, home: HansardServer) -> None:
        home.start()
        ended = hansard(home.environ, "doctor", "retry", code=2)
        assert ended.stderr.endswith(f"is in use by process {home.pid}: stop it first\n")

    def test_a_stream_that_is_not_stale(self, home: HansardServer) -> None:
        assert "users/ann is not stale" in (
            hansard(home.environ, "doctor", "retry", "users/ann", code=2).stderr
        )
        assert hansard(home.environ, "doctor", "retry").stdout == "No stream is stale.\n"
