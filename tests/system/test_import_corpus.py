"""A large import, and all that readers see of it, against an independent reading of its lines.

`HANSARD_CORPUS` names the corpus, in the form of an import; without it one is made up.
"""

import gzip
import json
import os
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.servers.hansard import HansardServer
from tests.system.import_support import Corpus, Reader, made_up, shown, summary, written

SEARCHES = 40
#: How many lines are imported, and of how many users one has their inbox read; `make soak` imports
#: and reads all.
LINES, EVERY = (None, 1) if int(os.environ.get("HANSARD_TEST_ROUNDS", "1")) > 1 else (60_000, 4)


class Imported(NamedTuple):
    server: HansardServer
    corpus: Corpus
    chats: dict[str, str]
    summary: Any


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Imported]:
    folder = tmp_path_factory.mktemp("corpus")
    given = os.environ.get("HANSARD_CORPUS")
    lines = list(islice(_lines(Path(given)), LINES)) if given else made_up(3, 4000)
    file = written(folder / "corpus.ndjson", lines)
    server, map_file = HansardServer(folder / "data"), folder / "map.json"
    told = summary(server, file, "--map", map_file)
    corpus = Corpus(lines)
    server.start()
    yield Imported(server, corpus, json.loads(map_file.read_text())["chats"], told)
    assert server.stop() == 0


def _lines(file: Path) -> Iterator[Any]:
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
        yield from map(json.loads, lines)


def test_every_line_was_right(imported: Imported) -> None:
    assert imported.summary["complete"]
    assert imported.summary["wrong"] == []
    messages = sum(len(room.said) for room in imported.corpus.rooms.values())
    assert imported.summary["lines"]["message"] == messages


def test_every_inbox(imported: Imported) -> None:
    by_chats = sorted(imported.corpus.names, key=lambda user: -len(imported.corpus.rooms_of[user]))
    for user in by_chats[:50] + by_chats[50::EVERY]:
        with Reader(imported.server, user) as reader:
            rows = reader.all("/v1/chats", limit=100)
        last = [row["last_message"] and row["last_message"]["seq"] for row in rows]
        found = [
            (row["chat"]["id"], seq, row["unread"]) for row, seq in zip(rows, last, strict=True)
        ]
        assert found == imported.corpus.inbox(user, imported.chats), user


def test_every_message(imported: Imported) -> None:
    for name, room in imported.corpus.rooms.items():
        if not room.joined:
            continue
        with Reader(imported.server, next(iter(room.joined))) as reader:
            path = f"/v1/chats/{imported.chats[name]}/messages"
            items = reader.all(path, after=0, limit=100)
        found = [shown(item) for item in items if item["kind"] != "system"]
        assert found == [message.shown() for message in room.said.values()], name


def test_searches(imported: Imported) -> None:
    chance = random.Random(4)
    rooms = [room for room in imported.corpus.rooms.values() if room.said and room.joined]
    for _ in range(SEARCHES):
        room = chance.choice(rooms)
        texts = [m.content for m in room.said.values() if m.content is not None]
        words = [w for w in chance.choice(texts).split() if w.isascii() and w.isalpha()]
        word = max(words, key=len, default="hello")
        user = chance.choice(list(room.joined))
        with Reader(imported.server, user) as reader:
            items = reader.all("/v1/search/messages", q=word, limit=100)
        found = {(item["message"]["chat"], item["message"]["seq"]) for item in items}
        assert found >= imported.corpus.found(user, word, imported.chats), word
        assert all(word.lower() in item["message"]["content"].lower() for item in items)
        assert {chat for chat, _ in found} <= {
            imported.chats[name] for name in imported.corpus.rooms_of[user]
        }
