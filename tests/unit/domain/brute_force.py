"""What a chat must answer, worked out anew for every command from nothing but its record.

Written from the design's text and sharing no code with `domain.chat`: no folded state, no parts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from domain import commands as c
from domain.commands import Action, Rights
from tests.unit.domain.streams import Event

Envelope = dict[str, Any]


@dataclass
class Answer:
    status: str
    events: list[Event]
    code: str | None = None


def accepted(*events: Event) -> Answer:
    return Answer("accepted", list(events))


def refused(code: str) -> Answer:
    return Answer("refused", [], code)


UNCHANGED = Answer("unchanged", [])


@dataclass
class Asker:
    """Who asks, when: `now` is the time that the events would have."""

    name: str
    rights: Rights
    now: str


class ChatReader:
    """A chat's record, oldest event first."""

    def __init__(self, log: list[Envelope]) -> None:
        self.log = log

    # What the record says

    def members(self) -> list[str]:
        """Longest-standing first."""
        names: list[str] = []
        for event in self.log:
            match event["type"]:
                case "chat.created":
                    names = list(event["data"]["members"])
                case "member.added":
                    names.append(event["data"]["user"])
                case "member.removed":
                    names.remove(event["data"]["user"])
        return names

    def is_admin(self, name: str) -> bool:
        verdict = False
        for event in self.log:
            data = event["data"]
            if event["type"] == "chat.created":
                verdict = name in data["admins"]
            elif event["type"].startswith("member.") and data["user"] == name:
                verdict = event["type"] == "member.promoted"
        return verdict

    def joined(self, name: str) -> int:
        """The seq of the latest joining."""
        return max(
            int(event["seq"])
            for event in self.log
            if (event["type"] == "chat.created" and name in event["data"]["members"])
            or (event["type"] == "member.added" and event["data"]["user"] == name)
        )

    def about(self, message: int, *types: str) -> Iterator[Envelope]:
        return (
            event
            for event in self.log
            if event["type"] in types and event["data"]["message"] == message
        )

    def message(self, seq: int, asker: Asker) -> Envelope | None:
        """The sending of a message that the asker may know of."""
        hidden_before = 0
        created = self.log[0]["data"]
        if created.get("history") == "since_joined" and asker.name in self.members():
            hidden_before = self.joined(asker.name)
        for event in self.log:
            if event["type"] == "message.sent" and event["seq"] == seq >= hidden_before:
                return event
        return None

    def ended(self, message: int) -> bool:
        return any(self.about(message, "message.deleted", "message.expired"))

    def over(self, message: Envelope, now: str) -> bool:
        end = message["data"].get("expires_at")
        return end is not None and _moment(end) <= _moment(now)

    def gone(self, message: Envelope, now: str) -> bool:
        return self.ended(message["seq"]) or self.over(message, now)

    def reaction(self, message: int, name: str) -> str | None:
        emoji = None
        for event in self.about(message, "reaction.set", "reaction.cleared"):
            if event["actor"] == name:
                emoji = event["data"]["emoji"] if event["type"] == "reaction.set" else None
        return emoji

    # What it answers

    def answer(self, action: Action, asker: Asker) -> Answer:
        if isinstance(action, c.CreateChat):
            return UNCHANGED
        if asker.rights == "client" and asker.name not in self.members():
            return refused("chat_not_found")
        match action:
            case c.ChangeChat() | c.AddMembers() | c.RemoveMember() | c.SetRole():
                return self.group_answer(action, asker)
            case c.SendMessage():
                return self.send(action, asker)
            case c.EditMessage() | c.DeleteMessage() | c.ExpireMessage() | c.React():
                message = self.message(action.message, asker)
                if message is None:
                    return refused("message_not_found")
                return self.message_answer(action, asker, message)
        raise NotImplementedError(action)

    def group_answer(self, action: Action, asker: Asker) -> Answer:
        if self.log[0]["data"]["kind"] == "direct":
            return refused("direct_chat")
        members = self.members()
        leaving = isinstance(action, c.RemoveMember) and action.user == asker.name
        if not leaving and not self.is_admin(asker.name) and asker.rights != "operator":
            return refused("not_allowed")
        match action:
            case c.ChangeChat(name=name):
                return accepted(("chat.changed", {"name": name}))
            case c.AddMembers(users=users):
                new = [user for user in dict.fromkeys(users) if user not in members]
                return (
                    accepted(*(("member.added", {"user": user}) for user in new))
                    if new
                    else UNCHANGED
                )
            case c.RemoveMember(user=user) if user in members:
                how = "left" if leaving else "removed"
                removed: Event = ("member.removed", {"user": user, "removed": how})
                rest = [name for name in members if name != user]
                if not rest or any(self.is_admin(name) for name in rest):
                    return accepted(removed)
                return accepted(removed, ("member.promoted", {"user": rest[0]}))
            case c.SetRole(user=user, role=role) if user in members:
                admins = [name for name in members if self.is_admin(name)]
                if (role == "admin") == (user in admins):
                    return UNCHANGED
                if admins == [user]:
                    return refused("not_allowed")
                change = "promoted" if role == "admin" else "demoted"
                return accepted((f"member.{change}", {"user": user}))
        return refused("user_not_found")

    def send(self, action: c.SendMessage, asker: Asker) -> Answer:
        if action.reply_to is not None and self.message(action.reply_to, asker) is None:
            return refused("unknown_message")
        sent = sum(event["type"] == "message.sent" for event in self.log)
        data = {"ordinal": sent + 1, "kind": action.kind, "content": action.content, "mentions": []}
        if action.reply_to is not None:
            data["reply_to"] = action.reply_to
        if action.expires_in is not None:
            data["expires_at"] = _shifted(asker.now, action.expires_in)
        return accepted(("message.sent", data))

    def message_answer(self, action: Action, asker: Asker, message: Envelope) -> Answer:
        seq, mine = message["seq"], message["actor"] == asker.name
        match action:
            case c.EditMessage(content=content, blank=blank):
                if not mine:
                    return refused("not_allowed")
                if self.gone(message, asker.now):
                    return refused("message_deleted")
                if blank and message["data"]["kind"] == "text":
                    return refused("invalid_request")
                data = {"message": seq, "content": content, "mentions": []}
                return accepted(("message.edited", data))
            case c.DeleteMessage():
                if not mine and not self.is_admin(asker.name) and asker.rights == "client":
                    return refused("not_allowed")
                if self.gone(message, asker.now):
                    return UNCHANGED
                return accepted(("message.deleted", {"message": seq}))
            case c.ExpireMessage():
                if any(self.about(seq, "message.expired")):
                    return UNCHANGED
                if not self.over(message, asker.now):
                    return refused("not_allowed")
                return accepted(("message.expired", {"message": seq}))
            case c.React(emoji=emoji):
                if self.gone(message, asker.now):
                    return refused("message_deleted")
                before = self.reaction(seq, asker.name)
                if emoji == before:
                    return UNCHANGED
                change = "reaction.cleared" if emoji is None else "reaction.set"
                return accepted((change, {"message": seq, "emoji": emoji or before}))
        raise NotImplementedError(action)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _shifted(text: str, seconds: int) -> str:
    moment = _moment(text) + timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
