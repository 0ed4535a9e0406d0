"""What a user is told of: rows of the read model, and for each chat its newest unread message."""

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from domain.notifications import CHANNELS, KINDS, wants
from projections.devices import ATTENTION, Attention
from projections.hidden import HIDDEN
from projections.messages import MESSAGES, Message
from projections.notifications import NOTIFICATIONS, Notification, place
from projections.store.port import Scan
from projections.views import shapes
from projections.views.access import Access, access_to_all, accesses
from projections.views.blocking import unwelcome
from projections.views.reading import Reading
from projections.views.visibility import MAX_CHUNK, Run, visible

#: Behind the place of a message it makes the id of the row that stands for all unread ones. It
#: comes after every character of an id.
_OF_CHAT = "~message"
_ID = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)-(?P<event>\d{19})-(?P<chat>[^~]+)"
    rf"(?P<of_chat>{_OF_CHAT})?"
)


class Told(NamedTuple):
    """A row that stands, as its user has it now."""

    row: Notification
    access: Access
    read: bool


async def page(
    reading: Reading,
    user: str,
    *,
    after: shapes.Place | None = None,
    limit: int = 50,
) -> shapes.Listing[shapes.Notification]:
    """What a user was told of, newest first. `after` is the `next` of the page before."""
    below = str(after[0]) if after is not None else None
    mark = (await attention(reading, [user]))[user].read_up_to
    told = await _rows(reading, user, below, limit + 1)
    rows = [_shown(one.row, one.read) for one in told]
    rows += [_shown(row, row_id(row) <= mark) for row in await _of_chats(reading, user)]
    wanted = sorted(
        (row for row in rows if below is None or row.id < below),
        key=lambda row: row.id,
        reverse=True,
    )
    items = wanted[:limit]
    return shapes.Listing(items=items, next=(items[-1].id,) if len(wanted) > limit else None)


async def newest(reading: Reading, user: str, limit: int) -> list[Notification]:
    """The newest rows of a user, and those of all chats with unread messages."""
    told = await _rows(reading, user, None, limit)
    return [*(one.row for one in told), *await _of_chats(reading, user)]


async def standing(reading: Reading, rows: Sequence[Notification]) -> list[Told]:
    """Those rows, of whatever users, that their users still have, in their order."""
    chats = await accesses(reading, {(row.user, row.chat) for row in rows})
    marks = await attention(reading, {row.user for row in rows})
    about = {(row.chat, row.message) for row in rows if row.message is not None}
    messages = await reading.get(MESSAGES, about)
    unseen = await reading.get(
        HIDDEN,
        {
            (row.user, row.chat, row.message)
            for row in rows
            if row.message is not None
            and (access := chats.get((row.user, row.chat))) is not None
            and row.message <= access.mark.hidden_up_to
        },
    )
    blocked = await unwelcome(reading, {(row.user, row.actor) for row in rows})

    def stands(row: Notification) -> bool:
        access = chats.get((row.user, row.chat))
        if access is None or row.event < access.membership.joined or not row.standing:
            return False
        if (row.user, row.actor) in blocked:
            return False
        if row.message is None:
            return True
        message = messages.get((row.chat, row.message))
        return (
            message is not None
            and not reading.gone(message)
            and row.message >= access.floor
            and (row.user, row.chat, row.message) not in unseen
        )

    return [
        Told(row, access, row.place <= marks[row.user].read_up_to or _read_in_chat(row, access))
        for row in rows
        if stands(row) and (access := chats.get((row.user, row.chat))) is not None
    ]


async def newest_unread(reading: Reading, chats: Sequence[Access]) -> dict[str, Message]:
    """The newest unread message of each chat that has any, by chat; all chats are of one user."""
    runs = [
        Run(
            access,
            Scan(
                (access.id,),
                along="by_ordinal",
                above=access.read_up_to,
                below=access.chat.last_message + 1,
                newest=True,
            ),
        )
        for access in chats
        if access.read_up_to < access.chat.last_message
    ]

    def counts(message: Message) -> bool:
        return message.sender != chats[0].user and not reading.gone(message)

    found = await visible(reading, runs, 1, counts)
    return {message.chat: message for answer in found for message in answer}


async def preferences(reading: Reading, user: str) -> shapes.Preferences:
    """How a user wants to be told of what."""
    known = (await attention(reading, [user]))[user].preferences
    return shapes.Preferences(
        **{
            kind: shapes.Channels(**{channel: wants(known, kind, channel) for channel in CHANNELS})
            for kind in KINDS
        }
    )


async def attention(reading: Reading, users: Collection[str]) -> dict[str, Attention]:
    """What each of these users has set."""
    found = await reading.get(ATTENTION, [(user,) for user in users])
    return {user: found.get((user,)) or Attention(seq=0, user=user) for user in users}


async def is_row(reading: Reading, user: str, id: str) -> bool:
    """Whether this is the id of a row that the user has, or had."""
    parsed = _ID.fullmatch(id)
    if parsed is None:
        return False
    time, chat, event = parsed["time"], parsed["chat"], int(parsed["event"])
    if event >= 2**63:
        return False
    if parsed["of_chat"] is None:
        row = (await reading.get(NOTIFICATIONS, [(user, chat, event)])).get((user, chat, event))
        return row is not None and row.time == time
    access = (await accesses(reading, [(user, chat)])).get((user, chat))
    message = (await reading.get(MESSAGES, [(chat, event)])).get((chat, event))
    return (
        access is not None
        and message is not None
        and message.ordinal is not None
        and message.sent_at == time
        and message.message >= access.floor
    )


async def _of_chats(reading: Reading, user: str) -> list[Notification]:
    unread = await newest_unread(reading, await access_to_all(reading, user))
    return [of_message(user, message) for message in unread.values()]


async def _rows(reading: Reading, user: str, below: str | None, wanted: int) -> list[Told]:
    """The newest rows that stand below a place."""
    found: list[Told] = []
    chunk = wanted
    while True:
        scan = Scan((user,), along="by_user", below=below, newest=True, limit=chunk)
        [rows] = await reading.scan(NOTIFICATIONS, [scan])
        found += await standing(reading, rows)
        if len(rows) < chunk or len(found) >= wanted:
            return found[:wanted]
        below = rows[-1].place
        chunk = min(4 * chunk, MAX_CHUNK)


def _read_in_chat(row: Notification, access: Access) -> bool:
    mark = access.mark
    # What happened to an older message, such as a reaction, is read with it by who saw that much.
    seen_with = (row.message or 0) <= mark.read_up_to and row.event <= mark.read_basis
    return row.event <= max(mark.read_up_to, access.membership.sent) or seen_with


def of_message(user: str, message: Message) -> Notification:
    """A row that tells of a message because it is unread; the read model has none of these."""
    return Notification(
        seq=message.seq,
        user=user,
        chat=message.chat,
        event=message.message,
        place=place(message.sent_at, message.chat, message.message),
        kind="message",
        actor=message.sender,
        time=message.sent_at,
        message=message.message,
    )


def row_id(row: Notification) -> str:
    """What clients know a row by."""
    return row.place + (_OF_CHAT if row.kind == "message" else "")


def _shown(row: Notification, read: bool) -> shapes.Notification:
    return shapes.Notification(
        id=row_id(row),
        kind=row.kind,
        chat=row.chat,
        message=row.message,
        actor=row.actor,
        time=row.time,
        read=read,
    )
