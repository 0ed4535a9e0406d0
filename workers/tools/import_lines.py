"""The lines of an import: their forms, and reading them from files."""

import gzip
import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, BinaryIO, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from domain import instants
from domain.events import ChatKind, MessageKind
from gateway.forms import Content, Email, Emoji, Name, UserId, invalid, refuse_nul
from gateway.problems import Problem, invalid_request

#: The longest line, in bytes: a chat of 1,024 members is a quarter of it.
MAX_LINE_BYTES = 1024 * 1024

_READ_BYTES = MAX_LINE_BYTES + 1
_GZIP_MAGIC = b"\x1f\x8b"

#: What another system calls a chat or a message.
ForeignId = Annotated[str, Meta(min_length=1, max_length=512)]
Time = Annotated[str, Meta(max_length=40)]


class Line(msgspec.Struct, frozen=True, tag_field="type", forbid_unknown_fields=True, gc=False):
    """One line; unknown fields are refused, so that nothing is lost in silence."""


class User(Line, frozen=True, tag="user"):
    id: UserId
    name: Name
    email: Email | None | UnsetType = UNSET


class Chat(Line, frozen=True, tag="chat", kw_only=True):
    id: ForeignId
    kind: ChatKind
    members: Annotated[tuple[UserId, ...], Meta(min_length=1)]
    admins: tuple[UserId, ...] = ()
    name: Name | None = None
    time: Time


class Join(Line, frozen=True, tag="join"):
    chat: ForeignId
    user: UserId
    time: Time


class Leave(Line, frozen=True, tag="leave"):
    chat: ForeignId
    user: UserId
    time: Time


class Message(Line, frozen=True, tag="message"):
    chat: ForeignId
    id: ForeignId
    sender: UserId
    time: Time
    content: Content
    kind: MessageKind = "text"
    reply_to: ForeignId | None = None
    mentions: tuple[UserId, ...] = ()


class Edit(Line, frozen=True, tag="edit"):
    chat: ForeignId
    message: ForeignId
    by: UserId
    time: Time
    content: Content


class Delete(Line, frozen=True, tag="delete"):
    """An export may still have the `content`; it goes nowhere."""

    chat: ForeignId
    message: ForeignId
    by: UserId
    time: Time
    content: Content | None = None


class Reaction(Line, frozen=True, tag="reaction"):
    chat: ForeignId
    message: ForeignId
    user: UserId
    emoji: Emoji
    time: Time


class Read(Line, frozen=True, tag="read"):
    chat: ForeignId
    user: UserId
    message: ForeignId
    time: Time


WithOwnId = User | Chat | Message
InChat = Join | Leave | Message | Edit | Delete | Reaction | Read
AnyLine = User | Chat | InChat

_decoder: msgspec.json.Decoder[AnyLine] = msgspec.json.Decoder(AnyLine)


class Raw(NamedTuple):
    """A line as it stands in a file. `place` counts the lines of all files together."""

    place: int
    file: Path
    number: int
    text: bytes


def parse(text: bytes, *, allow_address_ids: bool) -> AnyLine:
    """What a line says.

    Raises:
        Problem: it is no JSON, or not of the form of its type.
    """
    if len(text) > MAX_LINE_BYTES:
        raise Problem("too_large", "A line has at most 1 MiB.")
    try:
        line = _decoder.decode(text)
    except msgspec.ValidationError as error:
        raise invalid(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem("bad_json", "The line is not JSON in UTF-8.") from error
    refuse_nul(text, line)
    if not allow_address_ids and b"@" in text:
        _refuse_addresses(line)
    match line:
        case Chat():
            _check_chat(line)
        case Message(kind="text", content=""):
            raise invalid_request("content", "A text message can't be empty.")
    return line


def time_of(line: AnyLine, earliest: str) -> str:
    """The instant of a line, `earliest` for one without.

    Raises:
        Problem: `invalid_request`.
    """
    if isinstance(line, User):
        return earliest
    try:
        return instants.parse(line.time)
    except ValueError as error:
        raise invalid_request("time", "This is not an RFC 3339 time with an offset.") from error


def type_of(line: AnyLine) -> str:
    return str(line.__struct_config__.tag)


def people(line: AnyLine) -> Sequence[str]:
    """The users that a line names, the one who acts first."""
    match line:
        case User():
            return (line.id,)
        case Chat():
            return (*(line.admins or line.members)[:1], *line.members, *line.admins)
        case Message():
            return (line.sender, *line.mentions)
        case Edit() | Delete():
            return (line.by,)
    return (line.user,)


def _refuse_addresses(line: AnyLine) -> None:
    for user in people(line):
        if "@" in user:
            raise Problem("id_is_personal", f"{user}: ids outlive erasure and must name nobody.")


def _check_chat(line: Chat) -> None:
    if line.kind == "group":
        if not set(line.admins) <= set(line.members):
            raise invalid_request("admins", "An admin is a member.")
        return
    if len(set(line.members)) != 2:
        raise invalid_request("members", "A direct chat is between two different users.")
    if line.admins or line.name is not None:
        raise invalid_request("kind", "A direct chat has no admins and no name.")


class Survey(NamedTuple):
    """A file before it is read in earnest. `digest` is the SHA-256 of its lines, unpacked;
    `earliest` the first instant among them."""

    file: Path
    lines: int
    digest: str
    earliest: str | None


class _Timed(msgspec.Struct, gc=False):
    time: str | None = None


def survey(file: Path) -> Survey:
    """Look through a file; wrong lines are left for later.

    Raises:
        OSError: it can't be read.
        EOFError: it is cut off.
        zlib.error: it is damaged.
    """
    decode = msgspec.json.Decoder(_Timed).decode
    digest, count, earliest = hashlib.sha256(), 0, None
    for text in _texts(file):
        count += 1
        digest.update(text)
        try:
            time = decode(text).time
            found = instants.parse(time) if time is not None else None
        except (ValueError, RecursionError):
            continue
        if found is not None and (earliest is None or found < earliest):
            earliest = found
    return Survey(file, count, digest.hexdigest(), earliest)


def read(files: Sequence[Path], size: int) -> Iterator[list[Raw]]:
    """The lines of the files that are not blank, `size` at a time."""
    chunk: list[Raw] = []
    place = 0
    for file in files:
        for number, text in enumerate(_texts(file), 1):
            place += 1
            if not text.isspace():
                chunk.append(Raw(place, file, number, text))
                if len(chunk) == size:
                    yield chunk
                    chunk = []
    yield chunk


def _texts(file: Path) -> Iterator[bytes]:
    with file.open("rb") as plain:
        packed = plain.peek(2).startswith(_GZIP_MAGIC)
        source: BinaryIO = io.BufferedReader(gzip.GzipFile(fileobj=plain)) if packed else plain
        while text := source.readline(_READ_BYTES):
            yield text
            while len(text) == _READ_BYTES and not text.endswith(b"\n"):
                # The rest of a line that is too long is no line of its own.
                text = source.readline(_READ_BYTES)
