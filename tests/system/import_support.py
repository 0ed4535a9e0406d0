"""Imports: running them, a made-up corpus, and an independent reading of its lines."""

import asyncio
import json
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from tests.servers.hansard import HansardServer
from workers.log import open_embedded_log

Line = dict[str, Any]

IMPORT_WITHIN = 600.0
PATIENCE = 60.0

WORDS = [
    *("anchor", "barrel", "candle", "dagger", "ember", "falcon", "garnet", "harbor", "island"),
    *("jacket", "kettle", "lantern", "marble", "needle", "orchid", "pepper", "quarry", "ribbon"),
]
START = datetime(2010, 5, 1, 8, 0, tzinfo=UTC)


def hansard(
    environ: Mapping[str, str], *arguments: str | Path, code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a command and check its exit code."""
    ended = subprocess.run(
        [sys.executable, "-m", "workers.cli", *map(str, arguments)],
        env=dict(environ),
        capture_output=True,
        text=True,
        timeout=IMPORT_WITHIN,
    )
    assert ended.returncode == code, (ended.returncode, ended.stdout, ended.stderr)
    return ended


def summary(home: HansardServer, *arguments: str | Path, code: int = 0) -> Any:
    """What an import into this data folder says of itself."""
    return json.loads(hansard(home.environ, "import", "--json", *arguments, code=code).stdout)


def written(path: Path, lines: Iterable[Line | str]) -> Path:
    """A file of these lines."""
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text("".join(f"{text}\n" for text in texts))
    return path


def records(environ: Mapping[str, str]) -> dict[str, list[bytes]]:
    """Every stream of a log, byte for byte."""

    async def read() -> dict[str, list[bytes]]:
        log = await open_embedded_log(f"sqlite:///{environ['HANSARD_DATA_DIR']}/log.db")
        try:
            streams: dict[str, None] = {}
            after = 0
            while after < log.end("events"):
                batch = await log.read("events", after, 1000)
                streams |= dict.fromkeys(event.stream for event in batch.events)
                after = batch.end
            return {stream: await log.read_stream(stream, 0, 1_000_000) for stream in streams}
        finally:
            await log.close()

    return asyncio.run(read())


class Reader(httpx.Client):
    def __init__(self, server: HansardServer, user: str) -> None:
        token = server.token(user)
        headers = {"Authorization": f"Bearer {token}"}
        super().__init__(base_url=server.url, headers=headers, timeout=PATIENCE, verify=False)

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


def shown(item: Any) -> tuple[Any, ...]:
    """What an answer shows of a message, to be compared with `Said.shown`."""
    reactions = {reaction["user"]: reaction["emoji"] for reaction in item["reactions"]}
    reply_to = item["reply_to"] and item["reply_to"]["seq"]
    return (item["seq"], item["sender"], item["content"], reply_to, reactions)


def made_up(seed: int, messages: int) -> list[Line]:
    """Lines of every type, about as a real chat has them: replies mostly to recent messages,
    people who come and go, many lines in the same moment and a few that were earlier."""
    chance = random.Random(seed)
    users = [f"import{seed}.user{n}" for n in range(12)]
    lines: list[Line] = [
        {"type": "user", "id": user, "name": f"{chance.choice(WORDS).title()} {n}"}
        for n, user in enumerate(users)
    ]
    chats = [_Chat(chance, f"group {seed}.{n}", users[n : n + 5], "group") for n in range(5)]
    chats += [_Chat(chance, f"direct {seed}.{n}", users[n : n + 2], "direct") for n in range(3)]
    moment = START
    lines += [chat.made(moment) for chat in chats]
    for _ in range(messages):
        moment += timedelta(seconds=chance.choice((0, 0, 1, 30)))
        chat = chance.choice(chats)
        earlier = moment - timedelta(minutes=chance.choice((0,) * 50 + (3,)))
        lines.append(chat.message(earlier))
        if chance.random() < 0.5:
            lines.append(chat.something_else(moment, users))
    return lines


class _Chat:
    def __init__(self, chance: random.Random, name: str, members: list[str], kind: str) -> None:
        self._chance = chance
        self._name = name
        self._kind = kind
        self._members = list(members)
        self._senders: list[str] = []
        self._deleted: set[int] = set()

    def made(self, at: datetime) -> Line:
        line = {"type": "chat", "id": self._name, "kind": self._kind, "members": self._members[:]}
        if self._kind == "group":
            line |= {"name": self._name.title(), "admins": self._members[1:3]}
        return line | {"time": at.isoformat()}

    def message(self, at: datetime) -> Line:
        chance = self._chance
        sender = chance.choice(self._members)
        line = self._line("message", at, id=str(len(self._senders)), sender=sender)
        line["content"] = " ".join(chance.choices(WORDS, k=chance.randint(1, 12)))
        if self._senders and chance.random() < 0.4:
            line["reply_to"] = str(self._recent())
        if chance.random() < 0.2:
            line["mentions"] = chance.sample(self._members, 2)
        self._senders.append(sender)
        return line

    def something_else(self, at: datetime, users: list[str]) -> Line:
        chance, member, about = self._chance, self._chance.choice(self._members), self._recent()
        sender, message = self._senders[about], str(about)
        kinds = ["read", "read"]
        if about not in self._deleted:
            kinds += ["edit", "delete", "reaction", "reaction"]
        if self._kind == "group":
            kinds += ["join", "leave"] if len(self._members) > 3 else ["join"]
        match chance.choice(kinds):
            case "edit":
                content = " ".join(chance.choices(WORDS, k=3))
                return self._line("edit", at, message=message, by=sender, content=content)
            case "delete":
                self._deleted.add(about)
                return self._line("delete", at, message=message, by=sender)
            case "reaction":
                emoji = chance.choice("👍🎉🌊")
                return self._line("reaction", at, message=message, user=member, emoji=emoji)
            case "join":
                user = chance.choice(users)
                if user not in self._members:
                    self._members.append(user)
                return self._line("join", at, user=user)
            case "leave":
                self._members.remove(member)
                return self._line("leave", at, user=member)
        return self._line("read", at, message=message, user=member)

    def _recent(self) -> int:
        back = min(len(self._senders), int(self._chance.expovariate(0.1)) + 1)
        return len(self._senders) - back

    def _line(self, kind: str, at: datetime, **fields: Any) -> Line:
        return {"type": kind, "chat": self._name, "time": at.isoformat(), **fields}


class Said:
    """One message, as the lines leave it."""

    def __init__(self, seq: int, sender: str, content: str, reply_to: int | None) -> None:
        self.seq = seq
        self.sender = sender
        self.content: str | None = content
        self.reply_to = reply_to
        self.reactions: dict[str, str] = {}

    def shown(self) -> tuple[Any, ...]:
        """What a client must be shown of it."""
        if self.content is None:
            return (self.seq, self.sender, None, None, {})
        return (self.seq, self.sender, self.content, self.reply_to, self.reactions)


class Room:
    """One chat, as the lines leave it; `joined` has its members with the seq they joined at."""

    def __init__(self, line: Line) -> None:
        self.kind = line["kind"]
        self.name = line.get("name")
        self.active_at = self.last_time = moment(line["time"])
        self.head = 1
        self.joined = dict.fromkeys(line["members"], 1)
        self.admins = set(line.get("admins") or line["members"][:1])
        self.said: dict[int, Said] = {}
        self.by_foreign: dict[str, Said] = {}

    def read(self, line: Line, marks: dict[str, int]) -> None:
        self.last_time = max(self.last_time, moment(line["time"]))
        match line["type"]:
            case "join" if line["user"] not in self.joined:
                self.joined[line["user"]] = self._next()
            case "leave":
                self._leave(line["user"])
            case "message":
                target = line.get("reply_to")
                replied = None if target is None else self.by_foreign[target].seq
                message = Said(self._next(), line["sender"], line["content"], replied)
                self.said[message.seq] = self.by_foreign[line["id"]] = message
                self.active_at = self.last_time
            case "edit":
                message = self.by_foreign[line["message"]]
                message.content = line["content"]
                self._next()
            case "delete":
                self.by_foreign[line["message"]].content = None
                self._next()
            case "reaction":
                message = self.by_foreign[line["message"]]
                if message.reactions.get(line["user"]) != line["emoji"]:
                    message.reactions[line["user"]] = line["emoji"]
                    self._next()
            case "read":
                seq = self.by_foreign[line["message"]].seq
                marks[line["user"]] = max(seq, marks.get(line["user"], 0))

    def unread(self, user: str, mark: int) -> int:
        own = max((m.seq for m in self.said.values() if m.sender == user), default=0)
        after = max(mark, own, self.joined[user])
        return sum(
            m.seq > after and m.sender != user and m.content is not None for m in self.said.values()
        )

    def _leave(self, user: str) -> None:
        del self.joined[user]
        self.admins.discard(user)
        self._next()
        if self.joined and not self.admins:
            self.admins.add(min(self.joined, key=self.joined.__getitem__))
            self._next()

    def _next(self) -> int:
        self.head += 1
        return self.head


class Corpus:
    """What the lines of an import come to, read one after the other without any of the code that
    imports them."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self.names: dict[str, str] = {}
        self.rooms: dict[str, Room] = {}
        self.marks: dict[str, dict[str, int]] = defaultdict(dict)
        self.rooms_of: dict[str, list[str]] = defaultdict(list)
        for line in lines:
            if line["type"] == "user":
                self.names[line["id"]] = line["name"]
            elif line["type"] == "chat":
                self.rooms[line["id"]] = Room(line)
            else:
                self.rooms[line["chat"]].read(line, self.marks[line["chat"]])
        for name, room in self.rooms.items():
            for user in room.joined:
                self.rooms_of[user].append(name)

    def inbox(self, user: str, ids: Mapping[str, str]) -> list[tuple[Any, ...]]:
        """The user's inbox as (chat, newest message, unread)."""
        rooms = [(self.rooms[name], ids[name], name) for name in self.rooms_of[user]]
        rooms.sort(key=lambda each: (each[0].active_at, each[1]), reverse=True)
        return [
            (chat, max(room.said, default=None), room.unread(user, self.marks[name].get(user, 0)))
            for room, chat, name in rooms
        ]

    def found(self, user: str, word: str, ids: Mapping[str, str]) -> set[tuple[str, int]]:
        """The messages that hold a word, in the chats that the user is in."""
        return {
            (ids[name], message.seq)
            for name in self.rooms_of[user]
            for message in self.rooms[name].said.values()
            if message.content is not None and word in message.content.split()
        }


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
