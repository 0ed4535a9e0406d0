"""What an import can build on: users, chats, members and messages, of this run or of earlier ones.

Lines of this run are known before they are durable. What this run has not seen is looked up by its
command id in the read models, which have caught up with the log before the run begins.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from domain.ids import split_stream
from domain.refusals import CHAT_NOT_FOUND, UNKNOWN_MESSAGE
from gateway.problems import Problem
from projections.chats import MEMBERSHIPS
from projections.feed import FEED
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
        self.waiting: list[str] = []

    @property
    def open(self) -> bool:
        return self.seq is None and not self.refused


class Chat:
    """A chat with those who ever were its members, and its messages by their foreign ids."""

    __slots__ = ("id", "made", "members", "messages")

    def __init__(self, chat: str, made: Fact) -> None:
        self.id = chat
        self.made = made
        self.members: dict[str, Fact] = {}
        self.messages: dict[str, Fact] = {}


class _Found(NamedTuple):
    stream: str
    seq: int


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
            chat = self.chats[foreign] = Chat(split_stream(found.stream)[1], Fact(found.seq))
        return chat

    def note_chat(self, foreign: str, chat: Chat, members: Iterable[str]) -> None:
        """A line makes this chat with these members."""
        known = self.chats.get(foreign)
        if known is None or known.made.refused:
            known = self.chats[foreign] = chat
        for user in members:
            note(known.members, user, chat.made)

    async def message(self, foreign_chat: str, chat: Chat, foreign: str) -> Fact:
        """The message of a foreign id.

        Raises:
            Problem: `unknown_message`.
        """
        fact = chat.messages.get(foreign)
        if fact is None:
            found = await self._find(message_line_id(foreign_chat, foreign))
            if found is None:
                raise Problem(UNKNOWN_MESSAGE.code, "No line before this one sends that message.")
            fact = chat.messages[foreign] = Fact(found.seq)
        return fact

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

    async def _find(self, command: str) -> _Found | None:
        command = (await self.to_try([command]))[command]
        [events] = await self._store.scan(FEED, [Scan((command,), along="by_command", limit=1)])
        if events:
            return _Found(events[0].stream, events[0].at)
        known = (await self._store.get(OUTCOMES, [(command,)])).get((command,))
        return None if known is None else _Found(known.outcome.stream, known.outcome.seq)


def note(facts: dict[str, Fact], name: str, fact: Fact) -> None:
    """Keep a fact, unless there is one already that holds: a line may come twice."""
    known = facts.get(name)
    if known is None or known.refused:
        facts[name] = fact
