"""A second reader, written from the design alone: it answers every question by going through the
whole log again. Its answers have the form that clients see.

It shares no code with the read models; only the opening of boxes is the domain's.
"""

import re
from collections import Counter
from typing import Any, NamedTuple

from tests.contract.views.brute_log import MESSAGE_EVENTS, Event
from tests.contract.views.brute_notifications import BruteNotifications
from tests.contract.views.brute_schedules import BruteSchedules

Answer = dict[str, Any]

ENDINGS = ("message.deleted", "message.expired")
MEDIA_KINDS = ("image", "file", "audio", "video", "voice_note")
WORD = re.compile("[\\w\u0301]+|😀")
#: What words other than plain ones are compared as, looked up and not worked out.
COMPARED = {"Straße": "strasse", "STRASSE": "strasse", "cafe\u0301": "cafe", "İĞNE": "igne"}


class Query(NamedTuple):
    """What is searched for: `words` whole but the last, which is begun with."""

    words: tuple[str, ...] = ()
    senders: tuple[str, ...] = ()
    chats: tuple[str, ...] = ()
    has: tuple[str, ...] = ()
    before: str | None = None
    after: str | None = None

    @property
    def whole(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.words[:-1]))

    @property
    def begun(self) -> str | None:
        return self.words[-1] if self.words and self.words[-1] not in self.whole else None

    def counts(self, word: str) -> int:
        begun = self.begun is not None and word.startswith(self.begun)
        return (word in self.whole) + begun


def words_of(content: str) -> list[str]:
    return [COMPARED.get(word, word.lower()) for word in WORD.findall(content)]


class BruteForce(BruteSchedules, BruteNotifications):
    # Messages

    def system_message(self, e: Event) -> Answer:
        shown: Answer = {f: e.data[f] for f in ("user", "removed", "kind") if f in e.data}
        if e.type == "chat.created":
            shown["history"] = e.data.get("history", "all")
        if e.type == "chat.changed":
            shown["changed"] = [f for f in ("name", "description", "avatar") if f in e.data]
        return {
            **self.tombstone(e),
            "ordinal": None,
            "kind": "system",
            "content": e.type,
            "metadata": shown,
            "status": "sent",
        }

    def tombstone(self, e: Event) -> Answer:
        """Place and time of a message."""
        return {
            "chat": e.id,
            "seq": e.seq,
            "ordinal": e.data.get("ordinal"),
            "sender": e.actor,
            "kind": e.data.get("kind"),
            "content": None,
            "metadata": None,
            "reply_to": None,
            "mentions": [],
            "reactions": [],
            "reaction_counts": {},
            "status": None,
            "sent_at": e.time,
            "edited_at": None,
            "deleted_at": None,
            "expires_at": None,
        }

    def message(self, user: str, sent: Event, *, everyone: bool = False) -> Answer:
        form = self.tombstone(sent)
        form["status"] = self.status(sent)
        form["expires_at"] = sent.data.get("expires_at")
        for e in self.about(sent, "message.deleted"):
            form["deleted_at"] = e.time
        if self.gone(sent):
            return form
        edits = self.about(sent, "message.edited")
        content, no_content = self.said(sent)
        metadata, no_metadata = self.open(sent, "metadata")
        form["content"] = content
        if no_content or no_metadata:
            form["erased"] = True
        elif sent.data["kind"] in MEDIA_KINDS:
            form["metadata"] = self.media(sent.data["media"])
        else:
            form["metadata"] = metadata
        form["mentions"] = [sent, *edits][-1].data["mentions"]
        form["edited_at"] = edits[-1].time if edits else None
        form["reply_to"] = self.preview(user, sent)
        reactions = self.reactions(sent)
        form["reaction_counts"] = dict(Counter(r["emoji"] for r in reactions))
        newest = reactions if everyone else reactions[-50:]
        own = [r for r in reactions if r["user"] == user and r not in newest]
        form["reactions"] = own + newest[len(own) :]
        return form

    def media(self, media: str) -> Answer:
        [e] = [e for e in self.log if e.type == "media.uploaded" and e.data["media"] == media]
        return {
            "media": media,
            "file_name": self.open(e, "name")[0],
            "file_size": e.data["size"],
            "mime_type": e.data["mime"],
            **{f: e.data.get(f) for f in ("width", "height", "duration", "thumbnail")},
        }

    def reads_media(self, user: str, uploaded: Event) -> bool:
        """Of something uploaded today."""
        media = uploaded.data["media"]
        if uploaded.id == user:
            return True
        for chat in self.chats:
            if self.member(user, chat) is None:
                continue
            shown = {message["seq"] for message in self.messages(user, chat)}
            carriers = [e for e in self.sent(chat) if e.data.get("media") == media]
            if any(e.seq in shown and not self.gone(e) for e in carriers):
                return True
            if self.chat(chat)["avatar"] == media:
                return True
        return False

    def preview(self, user: str, sent: Event) -> Answer | None:
        seq = sent.data.get("reply_to")
        if seq is None:
            return None
        if seq < self.floor(user, sent.id):
            return {"seq": seq, "sender": None, "kind": None, "content": None}
        [answered] = [e for e in self.sent(sent.id) if e.seq == seq]
        form = {"seq": seq, "sender": answered.actor, "kind": answered.data["kind"]}
        if self.gone(answered) or self.hidden(user, sent.id, seq):
            return {**form, "content": None}
        content, lost = self.said(answered)
        return {**form, "content": content} | ({"erased": True} if lost else {})

    def reactions(self, sent: Event) -> list[Answer]:
        """One a user, in the order they were set."""
        reactions: dict[str, Answer] = {}
        for e in self.about(sent, "reaction.set", "reaction.cleared"):
            reactions.pop(e.actor, None)
            if e.type == "reaction.set":
                reactions[e.actor] = {"emoji": e.data["emoji"], "user": e.actor, "at": e.time}
        return list(reactions.values())

    def messages(self, user: str, chat: str) -> list[Answer]:
        """All that the message list has for a user, oldest first."""
        shown = []
        for e in self.of(f"chats/{chat}"):
            if e.seq < self.floor(user, chat) or self.hidden(user, chat, e.seq):
                continue
            if e.type == "message.sent":
                shown.append(self.message(user, e))
            elif e.type not in MESSAGE_EVENTS:
                shown.append(self.system_message(e))
        return shown

    def history(self, sent: Event) -> list[Answer]:
        if self.gone(sent):
            return []
        versions = []
        for e in [sent, *self.about(sent, "message.edited")][:-1]:
            content, lost = self.open(e, "content")
            version = {"content": content, "mentions": e.data["mentions"], "at": e.time}
            versions.append(version | ({"erased": True} if lost else {}))
        return versions

    # Receipts

    def status(self, sent: Event) -> str:
        others = self.receivers(sent)
        if not others or any(self.delivered_mark(u, sent.id) < sent.seq for u in others):
            return "sent"
        if any(self.read_mark(u, sent.id) < sent.seq for u in others):
            return "delivered"
        return "read"

    def receipts(self, sent: Event) -> list[Answer]:
        def first(user: str, *types: str) -> list[str]:
            marks = self.marks(user, sent.id, *types)
            return [e.time for e in marks if e.data["up_to"] >= sent.seq][:1]

        receipts = []
        for user in self.receivers(sent):
            read = first(user, "chat.read")
            own = [e.time for e in self.by_hand(user, sent.id) if e.seq > sent.seq][:1]
            delivered = read + first(user, "chat.delivered") + own
            receipts.append(
                {
                    "user": user,
                    "delivered_at": min(delivered, default=None),
                    "read_at": min(read, default=None),
                }
            )
        return receipts

    def chat_receipts(self, chat: str) -> list[Answer]:
        return [
            {
                "user": m.user,
                "delivered_up_to": self.delivered_mark(m.user, chat),
                "read_up_to": self.read_mark(m.user, chat),
            }
            for m in self.members(chat)
        ]

    # Chats and the inbox

    def member_forms(self, chat: str) -> list[Answer]:
        return [
            {"user": m.user, "role": m.role, "joined_at": m.joined_at} for m in self.members(chat)
        ]

    def unread(self, user: str, chat: str) -> int:
        return sum(self.is_unread(user, e) for e in self.sent(chat))

    def last_message(self, user: str, chat: str) -> Answer | None:
        visible = [
            e
            for e in self.sent(chat)
            if e.seq >= self.floor(user, chat)
            and not self.expired(e)
            and not self.hidden(user, chat, e.seq)
        ]
        return self.message(user, visible[-1]) if visible else None

    def filed(self, user: str, chat: str, field: str) -> Any:
        """The newest filing, if it was made since the latest joining."""
        filings = [e for e in self.marks(user, chat, "chat.filed") if field in e.data]
        member = self.member(user, chat)
        assert member is not None
        if not filings or filings[-1].basis.get(f"chats/{chat}", 0) < member.joined:
            return None
        return filings[-1].data[field]

    def inbox_chat(self, chat: str) -> Answer:
        stream = f"chats/{chat}"
        created = self.created(chat)
        name, no_name = self.latest(stream, ("chat.created", "chat.changed"), "name")
        avatar, no_avatar = self.latest(stream, ("chat.created", "chat.changed"), "avatar")
        form = {
            "id": chat,
            "kind": created.data["kind"],
            "name": name,
            "avatar": avatar,
            "members_count": len(self.members(chat)),
        }
        if created.data["kind"] == "direct":
            form["members"] = self.member_forms(chat)
        return form | ({"erased": True} if no_name or no_avatar else {})

    def chat(self, chat: str) -> Answer:
        stream = f"chats/{chat}"
        description, lost = self.latest(stream, ("chat.created", "chat.changed"), "description")
        form = {
            **self.inbox_chat(chat),
            "description": description,
            "history": self.created(chat).data.get("history", "all"),
            "created_at": self.created(chat).time,
            "members": self.member_forms(chat),
        }
        return form | ({"erased": True} if lost else {})

    def inbox(self, user: str) -> list[Answer]:
        rows = []
        for chat in self.chats:
            if self.member(user, chat) is None:
                continue
            activity = [self.created(chat), *self.sent(chat)][-1].time
            muted_until = self.filed(user, chat, "muted_until")
            row = {
                "chat": self.inbox_chat(chat),
                "last_message": self.last_message(user, chat),
                "unread": self.unread(user, chat),
                "pinned": self.filed(user, chat, "pinned") is True,
                "archived": self.filed(user, chat, "archived") is True,
                "muted_until": muted_until if (muted_until or "") > self.now else None,
                "read_up_to": self.effective_mark(user, chat),
            }
            rows.append((row["pinned"], activity, chat, row))
        rows.sort(key=lambda row: row[:3], reverse=True)
        return [row for *_, row in rows]

    def profile(self, asker: str, user: str) -> Answer:
        stream = f"users/{user}"
        [registered] = self.of(stream, "user.registered")
        form: Answer = {"id": user, "registered_at": registered.time}
        lost = False
        for field in ("name", "avatar", "email"):
            value, gone = self.latest(stream, ("user.registered", "user.changed"), field)
            if field != "email" or asker == user:
                form[field] = value
            lost |= gone and field != "email"
        return form | ({"erased": True} if lost else {})

    # The feed

    def feed(self, user: str, stream: str) -> list[Answer]:
        category, chat = stream.split("/", 1)
        floor = self.floor(user, chat) if category == "chats" else 0
        return [self.frame(user, e) for e in self.of(stream) if e.seq >= floor]

    def frame(self, user: str, e: Event) -> Answer:
        form = {
            "stream": e.stream,
            "seq": e.seq,
            "type": e.type,
            "time": e.time,
            "actor": e.actor,
            "command": e.command,
        }
        unseen = self.unseen(user, e) if e.stream.startswith("chats/") else self.withdrawn(e)
        if unseen:
            kept = {f: e.data[f] for f in ("message", "ordinal", "kind") if f in e.data}
            return {**form, "data": kept, "redacted": True}
        data = dict(e.data)
        for field in e.data:
            data[field], lost = self.open(e, field)
            if lost:
                data["erased"] = True
        return {**form, "data": data}

    def unseen(self, user: str, e: Event) -> bool:
        if e.about is None or e.type in ENDINGS:
            return False
        [sent] = [s for s in self.sent(e.id) if s.seq == e.about]
        return (
            self.gone(sent)
            or sent.seq < self.floor(user, e.id)
            or self.hidden(user, e.id, sent.seq)
        )

    # Search

    def search(self, user: str, query: Query, sort: str) -> list[Answer]:
        found = []
        for chat in self.chats:
            if self.member(user, chat) is None or (query.chats and chat not in query.chats):
                continue
            for e in self.sent(chat):
                content, lost = self.said(e)
                unseen = e.seq < self.floor(user, chat) or self.hidden(user, chat, e.seq)
                if unseen or self.gone(e) or lost or not self.meets(e, content, query):
                    continue
                counts = [query.counts(word) for word in words_of(content)]
                score = sum(counts) / len(counts) if counts else 0.0
                found_at = zip(WORD.finditer(content), counts, strict=True)
                places = [list(word.span()) for word, count in found_at if count]
                answer = {
                    "message": self.message(user, e),
                    "chat": self.inbox_chat(chat),
                    "highlights": places,
                }
                found.append((score if sort == "relevance" else 0.0, e.time, chat, e.seq, answer))
        found.sort(key=lambda one: one[:4], reverse=True)
        return [answer for *_, answer in found]

    def meets(self, e: Event, content: str, query: Query) -> bool:
        words = words_of(content)
        bears = {e.data["kind"]} | ({"media"} if e.data["kind"] in MEDIA_KINDS else set())
        if "http://" in content:
            bears.add("link")
        return (
            all(word in words for word in query.whole)
            and (query.begun is None or any(word.startswith(query.begun) for word in words))
            and (not query.senders or e.actor in query.senders)
            and bears.issuperset(query.has)
            and (query.after is None or e.time >= query.after)
            and (query.before is None or e.time < query.before)
        )
