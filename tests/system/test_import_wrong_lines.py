"""Wrong lines of an import: told with their number and reason; they stop it or are set aside."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.servers.hansard import HansardServer
from tests.system.import_support import Line, hansard, records, summary, written

TIME = "2012-01-01T10:00:00Z"

BASE: list[Line] = [
    {"type": "user", "id": "ann", "name": "Ann"},
    {"type": "user", "id": "ben", "name": "Ben"},
    {"type": "user", "id": "eve", "name": "Eve"},
    {"type": "chat", "id": "g", "kind": "group", "members": ["ann", "ben"], "time": TIME},
    {"type": "chat", "id": "d", "kind": "direct", "members": ["ann", "ben"], "time": TIME},
    {"type": "message", "chat": "g", "id": "1", "sender": "ann", "time": TIME, "content": "one"},
    {"type": "message", "chat": "g", "id": "2", "sender": "ann", "time": TIME, "content": "two"},
    {"type": "delete", "chat": "g", "message": "2", "by": "ann", "time": TIME},
]


def chat(**fields: Any) -> Line:
    return {"type": "chat", "id": "x", "kind": "group", "members": ["ann"], "time": TIME, **fields}


def message(**fields: Any) -> Line:
    line = {"type": "message", "chat": "g", "id": "x", "sender": "ann", "time": TIME}
    return {**line, "content": "hello", **fields}


def about(kind: str, number: str = "1", **fields: Any) -> Line:
    return {"type": kind, "chat": "g", "message": number, "time": TIME, **fields}


WRONG: list[tuple[str, Line | str]] = [
    ("bad_json", '{"type": "message"'),
    ("bad_json", "\\xff"),
    ("invalid_request", "[]"),
    ("invalid_request", {"id": "no type"}),
    ("invalid_request", {"type": "poll", "id": "x"}),
    ("invalid_request", {"type": "user", "id": "zoe"}),
    ("invalid_request", {"type": "user", "id": "a zoe", "name": "Zoe"}),
    ("id_is_personal", {"type": "user", "id": "zoe@example.org", "name": "Zoe"}),
    ("invalid_request", {"type": "user", "id": "zoe", "name": "Zoe", "phone": "1"}),
    ("invalid_request", {"type": "user", "id": "zoe", "name": "Z\0e"}),
    ("user_not_found", chat(members=["ann", "nobody"])),
    ("invalid_request", chat(members=[])),
    ("invalid_request", chat(admins=["ben"])),
    ("invalid_request", chat(kind="direct", members=["ann", "ann"])),
    ("invalid_request", chat(kind="direct", members=["ann", "ben"], name="No")),
    ("idempotency_key_reused", chat(id="g", members=["ann"])),
    ("chat_not_found", message(chat="nowhere")),
    ("chat_not_found", message(sender="eve")),
    ("unknown_message", message(reply_to="99")),
    ("invalid_request", message(content="")),
    ("invalid_request", message(content="x" * 8193)),
    ("invalid_request", message(time="2012-01-01T10:00:00")),
    ("invalid_request", message(time="yesterday")),
    ("invalid_request", message(id=7)),
    ("idempotency_key_reused", message(id="1")),
    ("id_is_personal", message(mentions=["zoe@example.org"])),
    ("too_large", message(content="x" * 2_000_000)),
    ("not_allowed", about("edit", by="ben", content="mine")),
    ("message_deleted", about("edit", "2", by="ann", content="more")),
    ("invalid_request", about("edit", by="ann", content="")),
    ("unknown_message", about("edit", "99", by="ann", content="more")),
    ("user_not_found", about("delete", by="nobody")),
    ("chat_not_found", about("reaction", user="eve", emoji="👍")),
    ("message_deleted", about("reaction", "2", user="ben", emoji="👍")),
    ("invalid_request", about("reaction", user="ben", emoji="")),
    ("unknown_message", about("read", "99", user="ben")),
    ("chat_not_found", about("read", user="eve")),
    ("user_not_found", {"type": "join", "chat": "g", "user": "nobody", "time": TIME}),
    ("direct_chat", {"type": "join", "chat": "d", "user": "eve", "time": TIME}),
    ("direct_chat", {"type": "leave", "chat": "d", "user": "ben", "time": TIME}),
    ("user_not_found", {"type": "leave", "chat": "g", "user": "eve", "time": TIME}),
]


@pytest.fixture
def home(tmp_path: Path) -> HansardServer:
    return HansardServer(tmp_path / "data")


class TestKeepGoing:
    def test_sets_every_wrong_line_aside(self, home: HansardServer) -> None:
        file = home.folder.parent / "lines.ndjson"
        written(file, [*BASE, *(line for _, line in WRONG), message(id="3")])
        told = summary(home, file, "--keep-going")
        found = [(wrong["line"], wrong["code"]) for wrong in told["wrong"]]
        assert found == [(len(BASE) + n, code) for n, (code, _) in enumerate(WRONG, 1)]
        assert all(wrong["reason"] for wrong in told["wrong"])
        assert told["complete"]
        assert told["written"] == len(BASE) + 1
        assert told["rejected"] == [f"{file}.rejected.ndjson"]

    def test_and_they_can_be_put_right(self, home: HansardServer) -> None:
        file = home.folder.parent / "lines.ndjson"
        wrong = [message(id="3", sender="eve"), message(id="4", reply_to="3", sender="ben")]
        written(file, [*BASE, *wrong])
        [rejected] = summary(home, file, "--keep-going")["rejected"]
        assert [json.loads(line) for line in Path(rejected).read_text().splitlines()] == wrong
        eve: Line = {"type": "join", "chat": "g", "user": "eve", "time": TIME}
        written(file, [eve, *wrong])
        told = summary(home, file)
        assert told["complete"]
        assert told["written"] == 3

    def test_a_file_that_is_right_is_left_alone(self, home: HansardServer) -> None:
        file = written(home.folder.parent / "lines.ndjson", BASE)
        assert summary(home, file, "--keep-going")["rejected"] == []
        assert not Path(f"{file}.rejected.ndjson").exists()


class TestStop:
    @pytest.mark.parametrize(
        "wrong", ['{"type":', message(id="3", sender="eve"), message(id="3", reply_to="99")]
    )
    def test_what_comes_before_is_kept_and_nothing_after(
        self, home: HansardServer, wrong: Line | str
    ) -> None:
        file = home.folder.parent / "lines.ndjson"
        written(file, [*BASE, wrong, *(message(id=f"later {n}") for n in range(50))])
        ended = hansard(home.environ, "import", file, code=1)
        assert f"{file}:{len(BASE) + 1}: " in ended.stderr
        before = records(home.environ)
        assert sum(map(len, before.values())) == len(BASE)
        written(file, [*BASE, message(id="3"), message(id="4")])
        told = summary(home, file)
        assert (told["complete"], told["written"]) == (True, 2)
        after = records(home.environ)
        assert all(after[stream][: len(kept)] == kept for stream, kept in before.items())

    def test_the_first_of_several_is_told(self, home: HansardServer) -> None:
        file = home.folder.parent / "lines.ndjson"
        written(file, [*BASE, *(line for _, line in WRONG)])
        told = summary(home, file, code=1)
        assert [wrong["line"] for wrong in told["wrong"]] == [len(BASE) + 1]
        assert not told["complete"]
