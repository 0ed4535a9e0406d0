"""What an import can build on: users, chats, members and messages, of this run or of earlier ones.

Lines of this run are known before they are durable. What this run has not seen is looked up by its
command id in the read models, which have caught up with the log before the run begins.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from domain.ids import split_stream
from domain.refusals import CHAT_NOT_FOUND, UNKNOWN_MESSAGE
from gateway.problems import Problem
from projections.chats import CHATS, MEMBERSHIPS
from projections.feed import FEED
from projections.messages import MESSAGES
from projections.outcomes import OUTCOMES
from projections.profiles import PROFILES
from projections.store.port import ReadStore, Scan
from workers.tools.import_commands import chat_line_id, message_line_id, next_id


class Fact:
    """What a line brings about; `seq` is known once it is durable. `waiting` are the streams whose
    next line builds on it."""

    __slots__ = ("refused", "seq", "waiting")

    def __init__(self, seq: int | None = None) -> None:
        self.seq = seq
        self.refused = False
        self.waiting: tuple[str, ...] = ()

    @property
    def open(self) -> bool:
        return self.seq is None and not self.refused


F = TypeVar("F", bound=Fact)


class Sent(Fact):
    """A message; `deleted` counts what the lines up to now say."""

    __slots__ = ("deleted", "sender")

    def __init__(self, sender: str, seq: int | None = None, *, deleted: bool = False) -> None:
        super().__init__(seq)
        self.sender = sender
        self.deleted = deleted


class Chat:
    """A chat with those who ever were its members, and its messages by their foreign ids.
    `present` are its members after the lines up to now."""

    __slots__ = ("direct", "id", "made", "members", "messages", "present")

    def __init__(self, chat: str, made: Fact, present: Iterable[str], *, direct: bool) -> None:
        self.id = chat
        self.made = made
        self.direct = direct
        self.present = set(present)
        self.members: dict[str, Fact] = dict.fromkeys(self.present, made)
        self.messages: dict[str, Sent] = {}


class Known:
    def __init__(self, store: ReadStore) -> None:
        self._store = store
        self.users: dict[str, Fact] = {}
        self.chats: dict[str, Chat] = {}
        self._registered: dict[str, int] = {}

    async def load_users(self, users: Iterable[str]) -> None:
        """Look up those of these users whom this run has not seen yet."""
        unknown = dict.fromkeys(user for user in users if user not in self.users)
        if unknown:
            profiles = await self._store.get(PROFILES, [(user,) for user in unknown])
            self._registered = {p.user: p.seq for p in profiles.values() if not p.erased}

    def user(self, user: str) -> Fact:
        """A registered user, of this run or among those looked up last.

        Raises:
            Problem: `user_not_found`.
        """
        fact = self.users.get(user)
        if fact is None:
            seq = self._registered.get(user)
            if seq is None:
                detail = f"{user} is not registered: a user line comes first."
                raise Problem("user_not_found", detail)
            fact = self.users[user] = Fact(seq)
        return fact

    async def chat(self, foreign: str) -> Chat:
        """The chat of a foreign id.

        Raises:
            Problem: `chat_not_found`.
        """
        chat = self.chats.get(foreign)
        if chat is None:
            found = await self._find(chat_line_id(foreign))
            if found is None:
                raise Problem(CHAT_NOT_FOUND.code, "No line before this one makes that chat.")
            chat = self.chats[foreign] = await self._stored_chat(*found)
        return chat

    def note_chat(self, foreign: str, chat: Chat) -> None:
        """A line makes this chat."""
        known = self.chats.get(foreign)
        if known is None or known.made.refused:
            self.chats[foreign] = chat

    async def message(self, foreign_chat: str, chat: Chat, foreign: str) -> Sent:
        """The message of a foreign id.

        Raises:
            Problem: `unknown_message`.
        """
        sent = chat.messages.get(foreign)
        if sent is None:
            found = await self._find(message_line_id(foreign_chat, foreign))
            if found is None:
                raise Problem(UNKNOWN_MESSAGE.code, "No line before this one sends that message.")
            key = (chat.id, found[1])
            stored = (await self._store.get(MESSAGES, [key]))[key]
            sent = Sent(stored.sender, stored.message, deleted=stored.gone)
            chat.messages[foreign] = sent
        return sent

    async def member(self, chat: Chat, user: str) -> Fact:
        """The joining of someone who is or was a member.

        Raises:
            Problem: `chat_not_found`.
        """
        fact = chat.members.get(user)
        if fact is None:
            key = (user, chat.id)
            membership = (await self._store.get(MEMBERSHIPS, [key])).get(key)
            if membership is None:
                raise Problem(CHAT_NOT_FOUND.code, f"{user} is not in that chat.")
            fact = chat.members[user] = Fact(membership.joined)
        return fact

    async def to_try(self, commands: Iterable[str]) -> Mapping[str, str]:
        """For each command id the one to try: where an earlier run was refused, the next.

        A refusal is final for its command id, but the file may have been put right since.
        """
        tries = {command: command for command in commands}
        trying = tries
        while trying:
            outcomes = await self._store.get(OUTCOMES, [(each,) for each in trying.values()])
            refused = {key[0] for key, o in outcomes.items() if o.outcome.status == "refused"}
            trying = {c: next_id(each) for c, each in trying.items() if each in refused}
            tries = {**tries, **trying}
        return tries

    async def _find(self, command: str) -> tuple[str, int] | None:
        """The stream that an earlier run sent a command to, and the seq it came to."""
        command = (await self.to_try([command]))[command]
        [events] = await self._store.scan(FEED, [Scan((command,), along="by_command", limit=1)])
        if events:
            return events[0].stream, events[0].at
        known = (await self._store.get(OUTCOMES, [(command,)])).get((command,))
        return None if known is None else (known.outcome.stream, known.outcome.seq)

    async def _stored_chat(self, stream: str, seq: int) -> Chat:
        chat = split_stream(stream)[1]
        stored = (await self._store.get(CHATS, [(chat,)]))[(chat,)]
        [members] = await self._store.scan(MEMBERSHIPS, [Scan((chat,), along="by_chat")])
        present = [member.user for member in members]
        return Chat(chat, Fact(seq), present, direct=stored.kind == "direct")


def note(facts: dict[str, F], name: str, fact: F) -> None:
    """Keep a fact, unless there is one already that holds: a line may come twice."""
    known = facts.get(name)
    if known is None or known.refused:
        facts[name] = fact
