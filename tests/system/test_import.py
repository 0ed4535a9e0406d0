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
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers.hansard import HansardServer
from tests.system.import_support import (
    WORDS,
    Corpus,
    Line,
    hansard,
    made_up,
    records,
    written,
)

PATIENCE = 60.0
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


def summary(home: HansardServer, *arguments: str | Path, code: int = 0) -> Any:
    return json.loads(hansard(home.environ, "import", "--json", *arguments, code=code).stdout)


def contents(home: HansardServer) -> int:
    """How many events the log holds."""
    return sum(map(len, records(home.environ).values()))


class Reader(httpx.Client):
    def __init__(self, server: HansardServer, user: str) -> None:
        token = server.token(user)
        headers = {"Authorization": f"Bearer {token}"}
        super().__init__(base_url=server.url, headers=headers, timeout=PATIENCE)

    def all(self, path: str, **query: Any) -> list[Any]:
        """Every item of a list, page by page."""
        items: list[Any] = []
        while True:
            answer = self.get(path, params=query)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            items += page["items"]
            if page["next"] is None:
                return items
            query["cursor" if "after" not in query else "after"] = page["next"]


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


def shown(item: Any) -> tuple[Any, ...]:
    reactions = {reaction["user"]: reaction["emoji"] for reaction in item["reactions"]}
    reply_to = item["reply_to"] and item["reply_to"]["seq"]
    edited = item["edited_at"] is not None
    return (item["seq"], item["sender"], item["content"], reply_to, edited, reactions)
