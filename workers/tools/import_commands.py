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


def canonical(line: lines.AnyLine) -> bytes:
    return _canonical.encode(line)


def line_id(line: lines.AnyLine, time: str, digest: str) -> str:
    """The command id of a line, the same on every run.

    It comes from the line's type and foreign ids; where these do not tell two lines apart, from
    the time too, and for what has no other mark (a profile, an edit) from `digest`, the keyed
    digest of the whole line: a plain hash of what was said would outlive its erasure.
    """
    match line:
        case lines.User():
            return _id("user", line.id, digest)
        case lines.Chat():
            return chat_line_id(line.id)
        case lines.Join():
            return _id("join", line.chat, line.user, time)
        case lines.Leave():
            return _id("leave", line.chat, line.user, time)
        case lines.Message():
            return message_line_id(line.chat, line.id)
        case lines.Edit():
            return _id("edit", line.chat, line.message, line.by, time, digest)
        case lines.Delete():
            return _id("delete", line.chat, line.message, line.by, time)
        case lines.Reaction():
            return _id("reaction", line.chat, line.message, line.user, time, line.emoji)
        case lines.Read():
            return _id("read", line.chat, line.user, line.message, time)


def chat_line_id(chat: str) -> str:
    return _id("chat", chat)


def message_line_id(chat: str, message: str) -> str:
    return _id("message", chat, message)


def file_id(digest: str, source: str, counts: dict[str, int]) -> str:
    """The id of the note that a file was imported, with this outcome."""
    return _id("file", digest, source, _canonical.encode(counts).decode())


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
