"""What the lines of an import ask for, as commands; and the ids of these. Pure."""

import msgspec

from domain import commands as c
from domain.ids import command_id, direct_chat_id, imported_chat_id
from workers.tools import import_lines as lines

#: Who imports, and where it is noted. No user's id has a slash, so no client's key gives these ids.
IMPORTER = "operators/import"

_canonical = msgspec.json.Encoder(order="deterministic")


def actor(line: lines.AnyLine) -> str:
    """The person of a line: a chat is made by its first admin, or else by its first member."""
    return lines.people(line)[0]


def canonical(value: lines.AnyLine | c.AnyAction) -> bytes:
    return _canonical.encode(value)


def line_id(line: lines.AnyLine, time: str, digest: str) -> str:
    """The command id of a line, the same on every run: from its type and its foreign ids.

    A profile, which can change, has `digest` beside them, the keyed digest of the whole line: a
    plain hash of a name would outlive its erasure. What has no id of its own has its time, and
    still is not told from its like in the same moment (`nth_id`).
    """
    match line:
        case lines.User():
            return _id("user", line.id, digest)
        case lines.Chat():
            return chat_line_id(line.id)
        case lines.Message():
            return message_line_id(line.chat, line.id)
        case lines.Join() | lines.Leave():
            return _id(lines.type_of(line), line.chat, line.user, time)
        case lines.Edit() | lines.Delete():
            return _id(lines.type_of(line), line.chat, line.message, line.by, time)
        case lines.Reaction() | lines.Read():
            return _id(lines.type_of(line), line.chat, line.message, line.user, time)


def nth_id(command: str, repeats: int) -> str:
    """The id of a line that has had `repeats` lines of the same id before it in its file: someone
    may come, go and come back, or change a reaction, in the same moment."""
    return _id("nth", command, str(repeats)) if repeats else command


def chat_line_id(chat: str) -> str:
    return _id("chat", chat)


def message_line_id(chat: str, message: str) -> str:
    return _id("message", chat, message)


def file_id(digest: str, note: c.NoteImport) -> str:
    """The id of the note that the file of this digest was imported, with this outcome."""
    return _id("file", digest, canonical(note).decode())


def next_id(command: str) -> str:
    """The id to try when the command of a line was refused on an earlier run."""
    return _id("again", command)


def chat_id(line: lines.Chat) -> str:
    """The chat that a line makes. A direct chat exists once, whoever made it."""
    if line.kind == "direct":
        return direct_chat_id(*set(line.members))
    return imported_chat_id(line.id)


def action(line: lines.AnyLine, chat: str, message: int | None) -> c.AnyAction:
    """What a line asks for, in the chat `chat` and about the message at the seq `message`."""
    match line:
        case lines.User():
            return c.PutProfile(name=line.name, email=line.email)
        case lines.Chat():
            members = tuple(dict.fromkeys(line.members))
            return c.CreateChat(kind=line.kind, members=members, admins=line.admins, name=line.name)
        case lines.Join():
            return c.AddMembers(users=(line.user,))
        case lines.Leave():
            return c.RemoveMember(user=line.user)
        case lines.Message():
            return c.SendMessage(
                kind=line.kind,
                content=line.content,
                reply_to=message,
                mentions=tuple(dict.fromkeys(line.mentions)),
            )
    assert message is not None
    match line:
        case lines.Edit():
            return c.EditMessage(message=message, content=line.content, blank=not line.content)
        case lines.Delete():
            return c.DeleteMessage(message=message)
        case lines.Reaction():
            return c.React(message=message, emoji=line.emoji)
        case lines.Read():
            return c.MarkRead(chat=chat, up_to=message)


def _id(*parts: str) -> str:
    return command_id(IMPORTER, IMPORTER, "\0".join(parts))
