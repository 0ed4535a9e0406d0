"""From lines to steps: each line checked, identified, and tied to what it builds on."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from domain.chat import MAX_MEMBERS
from domain.ids import chat_stream, user_stream
from domain.refusals import USER_ERASED
from gateway.problems import Problem
from projections.vault import KeyDestroyed, Vault
from workers.tools import import_commands as commands
from workers.tools import import_lines as lines
from workers.tools.import_known import Chat, Fact, Known, Sent, note
from workers.tools.import_lines import AnyLine, Raw


class Policy(NamedTuple):
    """What an import goes by. `earliest` is the time of lines that have none."""

    allow_address_ids: bool
    delete_destroys: bool
    earliest: str


class Rejections:
    """The lines that were turned down. Without `keep_going` the first of them, by its place in the
    files, ends the import."""

    def __init__(self, keep_going: bool, tell: Callable[[Raw, Problem], None]) -> None:
        self.keep_going = keep_going
        self._tell = tell
        self._end: int | None = None
        self.count = 0

    def add(self, raw: Raw, problem: Problem) -> None:
        self.count += 1
        self._tell(raw, problem)
        if not self.keep_going and (self._end is None or raw.place < self._end):
            self._end = raw.place

    @property
    def ended(self) -> bool:
        return self._end is not None

    def before(self, raw: Raw) -> bool:
        """Whether the import ends before this line."""
        return self._end is not None and self._end < raw.place


class Identified(NamedTuple):
    """A line with its instant and its command id."""

    raw: Raw
    line: AnyLine
    time: str
    command: str


class Step(NamedTuple):
    """A line on its way. `fact` is what it brings about; `needs` is what it builds on, each by its
    stream; `message` is the one of these that it is about.

    The decider will probably refuse what is `doubtful`, by what the lines before it say. Only the
    decider knows: a line that was imported before is not refused.
    """

    of: Identified
    stream: str
    chat: str
    fact: Fact
    needs: tuple[tuple[str, Fact], ...] = ()
    message: Fact | None = None
    doubtful: bool = False


class Planner:
    def __init__(self, known: Known, vault: Vault, policy: Policy, rejections: Rejections) -> None:
        self._known = known
        self._vault = vault
        self._policy = policy
        self._rejections = rejections
        self._counted: Path | None = None
        self._counts: Counter[str] = Counter()

    async def plan(self, chunk: Sequence[Raw]) -> list[Step]:
        """The steps of the next lines, in their order, without those that are wrong."""
        identified = await self._identify(self._parse(chunk))
        await self._known.load_users(
            user
            for each in identified
            if isinstance(each.line, lines.Chat | lines.Join | lines.Delete)
            for user in lines.people(each.line)
        )
        steps = []
        for each in identified:
            if self._rejections.before(each.raw):
                break
            try:
                steps.append(await self._step(each))
            except Problem as problem:
                self._rejections.add(each.raw, problem)
        return steps

    def _parse(self, chunk: Sequence[Raw]) -> list[tuple[Raw, AnyLine, str]]:
        parsed = []
        for raw in chunk:
            if self._rejections.before(raw):
                break
            try:
                line = lines.parse(raw.text, allow_address_ids=self._policy.allow_address_ids)
                parsed.append((raw, line, lines.time_of(line, self._policy.earliest)))
            except Problem as problem:
                self._rejections.add(raw, problem)
        return parsed

    async def _identify(self, parsed: Sequence[tuple[Raw, AnyLine, str]]) -> list[Identified]:
        # Who was erased has no key any more: their lines are turned down one by one.
        with suppress(KeyDestroyed):
            await self._vault.ensure({key for _, line, _ in parsed for key in self._keys(line)})
        identified = []
        for raw, line, time in parsed:
            try:
                command = commands.line_id(line, time, self._digest(line))
            except KeyDestroyed:
                self._rejections.add(raw, Problem(USER_ERASED.code, USER_ERASED.detail))
                continue
            if not isinstance(line, lines.WithOwnId):
                command = commands.nth_id(command, self._repeats(raw, command))
            identified.append((raw, line, time, command))
        tries = await self._known.to_try(command for _, _, _, command in identified)
        return [
            Identified(raw, line, time, tries[command]) for raw, line, time, command in identified
        ]

    def _keys(self, line: AnyLine) -> Sequence[str]:
        writer = user_stream(commands.actor(line))
        if isinstance(line, lines.Chat):
            return (writer, chat_stream(commands.chat_id(line)))
        own = self.message_key(line)
        return (writer,) if own is None else (writer, own)

    def message_key(self, line: AnyLine) -> str | None:
        """The id of the key that a message alone is sealed under, and its edits with it."""
        if not self._policy.delete_destroys:
            return None
        match line:
            case lines.Message():
                return f"messages/{commands.message_line_id(line.chat, line.id)}"
            case lines.Edit():
                return f"messages/{commands.message_line_id(line.chat, line.message)}"
        return None

    def _digest(self, line: AnyLine) -> str:
        if not isinstance(line, lines.User):
            return ""
        return self._vault.digest(user_stream(line.id), commands.canonical(line))

    def _repeats(self, raw: Raw, command: str) -> int:
        # Counted by file, so that files that overlap give the lines they share the same ids.
        if raw.file is not self._counted:
            self._counted = raw.file
            self._counts.clear()
        self._counts[command] += 1
        return self._counts[command] - 1

    async def _step(self, of: Identified) -> Step:
        line, known, fact = of.line, self._known, Fact()
        if isinstance(line, lines.User):
            note(known.users, line.id, fact)
            return Step(of, user_stream(line.id), "", fact)
        if isinstance(line, lines.Chat):
            users = dict.fromkeys(line.members)
            members = tuple((user_stream(user), known.user(user)) for user in users)
            chat = Chat(commands.chat_id(line), fact, users, direct=line.kind == "direct")
            doubtful = line.id in known.chats or len(users) > MAX_MEMBERS
            known.note_chat(line.id, chat)
            return Step(of, chat_stream(chat.id), chat.id, fact, members, doubtful=doubtful)
        return await self._step_in_chat(of, line, await known.chat(line.chat))

    async def _step_in_chat(self, of: Identified, line: lines.InChat, chat: Chat) -> Step:
        stream, fact = chat_stream(chat.id), Fact()
        match line:
            case lines.Leave():
                doubtful = chat.direct or line.user not in chat.present
                chat.present.discard(line.user)
                return Step(of, stream, chat.id, fact, doubtful=doubtful)
            case lines.Join():
                user = (user_stream(line.user), self._known.user(line.user))
                doubtful = chat.direct or len(chat.present) >= MAX_MEMBERS
                chat.present.add(line.user)
                note(chat.members, line.user, fact)
                return Step(of, stream, chat.id, fact, (user,), doubtful=doubtful)
            case lines.Message():
                return await self._sending(of, line, chat)
        message = await self._known.message(line.chat, chat, line.message)
        about = (stream, message)
        match line:
            case lines.Edit():
                doubtful = message.deleted or line.by != message.sender
                return Step(of, stream, chat.id, fact, (about,), message, doubtful)
            case lines.Delete():
                by = (user_stream(line.by), self._known.user(line.by))
                message.deleted = True
                return Step(of, stream, chat.id, fact, (about, by), message)
        member = (stream, await self._known.member(chat, line.user))
        if isinstance(line, lines.Read):
            goes_to = user_stream(line.user)
            return Step(of, goes_to, chat.id, fact, (about, member), message)
        doubtful = message.deleted or line.user not in chat.present
        return Step(of, stream, chat.id, fact, (about, member), message, doubtful)

    async def _sending(self, of: Identified, line: lines.Message, chat: Chat) -> Step:
        stream, sent = chat_stream(chat.id), Sent(line.sender)
        needs: tuple[tuple[str, Fact], ...] = ()
        target = None
        if line.reply_to is not None:
            target = await self._known.message(line.chat, chat, line.reply_to)
            needs = ((stream, target),)
        doubtful = line.sender not in chat.present or line.id in chat.messages
        note(chat.messages, line.id, sent)
        return Step(of, stream, chat.id, sent, needs, target, doubtful)
