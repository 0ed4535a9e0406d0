"""What a notification says. Names and text only where the operator has allowed them to leave."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from domain.ids import user_stream
from projections.chats import CHATS
from projections.messages import MESSAGES, Message
from projections.notifications import Notification
from projections.profiles import PROFILES
from projections.views.reading import Reading

#: What is said where nothing may be said.
DEFAULT = "a new message"
#: The longest text that is quoted, in characters.
QUOTED = 200

_NO_TEXT = {"location": "a place", "voice_note": "a voice note"}


class Line(NamedTuple):
    title: str | None
    text: str


async def lines(reading: Reading, rows: Sequence[Notification], *, content: bool) -> list[Line]:
    """One line for each row; the rows are of those that stand."""
    if not content:
        return [Line(None, DEFAULT)] * len(rows)
    actors = await reading.get(PROFILES, {(row.actor,) for row in rows})
    chats = await reading.get(CHATS, {(row.chat,) for row in rows})
    about = {(row.chat, row.message) for row in rows if row.message is not None}
    messages = await reading.get(MESSAGES, about)
    await reading.unlock(
        [
            *(actor.name for actor in actors.values()),
            *(chat.name for chat in chats.values()),
            *(message.content for message in messages.values()),
        ]
    )
    said = []
    for row in rows:
        actor, chat = actors.get((row.actor,)), chats.get((row.chat,))
        name = reading.open(user_stream(row.actor), "name", actor.name if actor else None).value
        group = reading.open_in_chat(row.chat, "name", chat.name if chat else None).value
        message = messages.get((row.chat, row.message)) if row.message is not None else None
        title = " · ".join(one for one in (name, group) if one)
        said.append(Line(_cut(title) or None, _text(reading, row, message)))
    return said


def _text(reading: Reading, row: Notification, message: Message | None) -> str:
    if message is None:
        return "You were added to a group"
    text = reading.open_in_chat(row.chat, "content", message.content).value
    quoted = _cut(text) if text else _NO_TEXT.get(message.kind, f"a message of kind {message.kind}")
    if row.kind != "reaction":
        return quoted
    reaction = message.reactions.get(row.actor)
    return f"{reaction.emoji if reaction else ''} {quoted}".strip()


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= QUOTED else f"{text[: QUOTED - 1]}…"


def counted(kinds: Collection[str]) -> str:
    """How many of each kind, as `2 mentions, 1 reply`."""
    names = {"group_invite": "invitation"}
    parts = []
    for kind in dict.fromkeys(kinds):
        number = sum(other == kind for other in kinds)
        parts.append(f"{number} {names.get(kind, kind)}{'s' if number > 1 else ''}")
    return ", ".join(parts).replace("replys", "replies")
