"""What the log says, for the brute-force reader: who was where, what became of each message."""

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from domain.sealing import derive, open_box

MESSAGE_EVENTS = (
    "message.sent",
    "message.edited",
    "message.deleted",
    "message.expired",
    "reaction.set",
    "reaction.cleared",
)


class Event:
    """One line of the log."""

    def __init__(self, record: bytes) -> None:
        line = json.loads(record)
        self.stream: str = line["source"][1:]
        self.id = self.stream.split("/", 1)[1]
        self.seq: int = line["seq"]
        self.type: str = line["type"]
        self.time: str = line["time"]
        self.actor: str = line["actor"]
        self.command: str = line["commandid"]
        self.data: dict[str, Any] = line["data"]
        self.basis = {seen["stream"]: seen["seq"] for seen in line.get("basis", ())}

    @property
    def about(self) -> int | None:
        """The seq of the message that an event of a chat is about."""
        if self.type == "message.sent":
            return self.seq
        return self.data["message"] if self.type in MESSAGE_EVENTS else None


class Member(NamedTuple):
    user: str
    role: str
    joined: int
    joined_at: str


class BruteLog:
    """The log as it is, with the keys that there are, at an instant."""

    def __init__(self, log: Iterable[Event], keys: Mapping[str, bytes], now: str) -> None:
        self.log = list(log)
        self.keys = keys
        self.now = now

    # What is in the log

    @cached_property
    def streams(self) -> dict[str, list[Event]]:
        streams: dict[str, list[Event]] = {}
        for e in self.log:
            streams.setdefault(e.stream, []).append(e)
        return streams

    def of(self, stream: str, *types: str) -> list[Event]:
        return [e for e in self.streams.get(stream, []) if not types or e.type in types]

    @cached_property
    def chats(self) -> list[str]:
        return [e.id for e in self.log if e.type == "chat.created"]

    def open(self, event: Event, field: str) -> tuple[Any, bool]:
        """A field of an event, and whether it is lost with its key."""
        value = event.data.get(field)
        if not isinstance(value, dict) or "sealed" not in value:
            return value, False
        key = self.keys.get(value["sealed"])
        if key is None:
            return None, True
        derived = derive(key, event.stream, event.command)
        return open_box(derived, event.stream, event.command, field, value), False

    def latest(self, stream: str, types: tuple[str, ...], field: str) -> tuple[Any, bool]:
        """The newest value of a field, over the events that may set it."""
        set_by = [e for e in self.of(stream, *types) if field in e.data]
        return self.open(set_by[-1], field) if set_by else (None, False)

    # Who is in a chat

    def created(self, chat: str) -> Event:
        return self.of(f"chats/{chat}", "chat.created")[0]

    def members(self, chat: str) -> list[Member]:
        members: dict[str, Member] = {}
        for e in self.of(f"chats/{chat}"):
            user = e.data.get("user", "")
            match e.type:
                case "chat.created":
                    for user in e.data["members"]:
                        role = "admin" if user in e.data["admins"] else "member"
                        members[user] = Member(user, role, e.seq, e.time)
                case "member.added":
                    members[user] = Member(user, "member", e.seq, e.time)
                case "member.removed":
                    del members[user]
                case "member.promoted":
                    members[user] = members[user]._replace(role="admin")
                case "member.demoted":
                    members[user] = members[user]._replace(role="member")
        return sorted(members.values(), key=lambda member: (member.joined, member.user))

    def member(self, user: str, chat: str) -> Member | None:
        return next((m for m in self.members(chat) if m.user == user), None)

    def floor(self, user: str, chat: str) -> int:
        member = self.member(user, chat)
        assert member is not None
        since_joined = self.created(chat).data.get("history") == "since_joined"
        return member.joined if since_joined else 0

    # Messages

    def sent(self, chat: str) -> list[Event]:
        return self.of(f"chats/{chat}", "message.sent")

    def about(self, sent: Event, *types: str) -> list[Event]:
        return [e for e in self.of(sent.stream, *types) if e.data.get("message") == sent.seq]

    def deleted(self, sent: Event) -> bool:
        return bool(self.about(sent, "message.deleted"))

    def expired(self, sent: Event) -> bool:
        """By the clock, whether or not the event has come; what was deleted can't expire."""
        expires_at = sent.data.get("expires_at")
        return expires_at is not None and expires_at <= self.now and not self.deleted(sent)

    def gone(self, sent: Event) -> bool:
        return self.deleted(sent) or self.expired(sent)

    def hidden(self, user: str, chat: str, seq: int) -> bool:
        return any(
            e.data["chat"] == chat and e.data["message"] == seq
            for e in self.of(f"users/{user}", "message.hidden")
        )

    def said(self, sent: Event) -> tuple[Any, bool]:
        """What a message says now."""
        return self.open([sent, *self.about(sent, "message.edited")][-1], "content")

    # Marks

    def marks(self, user: str, chat: str, *types: str) -> list[Event]:
        return [e for e in self.of(f"users/{user}", *types) if e.data["chat"] == chat]

    def by_hand(self, user: str, chat: str) -> list[Event]:
        return [e for e in self.sent(chat) if e.actor == user and "schedule" not in e.data]

    def read_mark(self, user: str, chat: str) -> int:
        return max((e.data["up_to"] for e in self.marks(user, chat, "chat.read")), default=0)

    def delivered_mark(self, user: str, chat: str) -> int:
        marks = self.marks(user, chat, "chat.read", "chat.delivered")
        reached = [e.seq for e in self.by_hand(user, chat)]
        reached += [e.data["up_to"] for e in marks]
        return max(reached, default=0)

    def receivers(self, sent: Event) -> list[str]:
        return [
            m.user for m in self.members(sent.id) if m.joined < sent.seq and m.user != sent.actor
        ]
