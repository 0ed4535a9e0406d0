"""What a user was told of, and what is unread, from the log alone."""

from typing import Any

from tests.contract.views.brute_log import BruteLog, Event

Answer = dict[str, Any]


class BruteNotifications(BruteLog):
    def effective_mark(self, user: str, chat: str) -> int:
        member = self.member(user, chat)
        assert member is not None
        own = [e.seq for e in self.by_hand(user, chat)]
        return max([member.joined, self.read_mark(user, chat), *own])

    def is_unread(self, user: str, sent: Event) -> bool:
        return (
            sent.seq > self.effective_mark(user, sent.id)
            and sent.actor != user
            and not self.gone(sent)
            and not self.hidden(user, sent.id, sent.seq)
        )

    def was_member(self, user: str, at: Event) -> bool:
        """Whether a user was in a chat just before one of its events."""
        before = [e for e in self.of(at.stream) if e.seq < at.seq]
        member = False
        for e in before:
            if e.type == "chat.created":
                member = user in e.data["members"]
            elif e.type in ("member.added", "member.removed") and e.data["user"] == user:
                member = e.type == "member.added"
        return member

    def told(self, user: str, e: Event) -> tuple[str, Event | None] | None:
        """What an event of a chat tells a user, and the message it is about."""
        if e.actor == user:
            return None
        if e.type == "chat.created" and e.data["kind"] == "group" and user in e.data["members"]:
            return "group_invite", None
        if e.type == "member.added" and e.data["user"] == user:
            return "group_invite", None
        if not self.was_member(user, e):
            return None
        if e.type == "message.sent":
            answered = [s for s in self.sent(e.id) if s.seq == e.data.get("reply_to")]
            if user in e.data["mentions"]:
                return "mention", e
            if answered and answered[0].actor == user:
                return "reply", e
        if e.type == "reaction.set":
            [about] = [s for s in self.sent(e.id) if s.seq == e.data["message"]]
            later = self.about(about, "reaction.set", "reaction.cleared")
            if about.actor == user and not any(
                one.actor == e.actor and one.seq > e.seq for one in later
            ):
                return "reaction", about
        return None

    def notifications(self, user: str) -> list[Answer]:
        marks = self.of(f"users/{user}", "notifications.read")
        read_up_to = max((e.data["up_to"] for e in marks), default="")
        rows = []
        for chat in self.chats:
            member = self.member(user, chat)
            if member is None:
                continue
            for e in self.of(f"chats/{chat}"):
                told = self.told(user, e) if e.seq >= member.joined else None
                if e.actor in self.blocked_by(user):
                    continue
                if told is None or (told[1] is not None and not self.still_seen(user, told[1])):
                    continue
                row = self.notification(told[0], e, told[1])
                row["read"] = row["id"] <= read_up_to or self.read_in_chat(user, e, told[1])
                rows.append(row)
            unread = [e for e in self.sent(chat) if self.is_unread(user, e)]
            if unread:
                row = self.notification("message", unread[-1], unread[-1])
                row["id"] += "~message"
                row["read"] = row["id"] <= read_up_to
                rows.append(row)
        return sorted(rows, key=lambda row: row["id"], reverse=True)

    def blocked_by(self, user: str) -> set[str]:
        blocked = set()
        for e in self.of(f"users/{user}"):
            if e.type == "user.blocked":
                blocked.add(e.data["user"])
            elif e.type == "user.unblocked":
                blocked.discard(e.data["user"])
        return blocked

    def notification(self, kind: str, e: Event, about: Event | None) -> Answer:
        return {
            "id": f"{e.time}-{e.seq:019}-{e.id}",
            "kind": kind,
            "chat": e.id,
            "message": about.seq if about else None,
            "actor": e.actor,
            "time": e.time,
        }

    def still_seen(self, user: str, sent: Event) -> bool:
        return (
            not self.gone(sent)
            and not self.hidden(user, sent.id, sent.seq)
            and sent.seq >= self.floor(user, sent.id)
        )

    def read_in_chat(self, user: str, e: Event, about: Event | None) -> bool:
        """Whether the user has come past it by reading or writing, or has read what it is about
        when it had happened."""
        own = [one.seq for one in self.by_hand(user, e.id)]
        if max([self.read_mark(user, e.id), *own]) >= e.seq:
            return True
        readings = self.marks(user, e.id, "chat.read")[-1:]
        return any(
            r.basis.get(e.stream, 0) >= e.seq and r.data["up_to"] >= (about.seq if about else 0)
            for r in readings
        )
