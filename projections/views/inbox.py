"""The inbox: a user's chats, pinned first, then by activity, each with what is new in it."""

from collections.abc import Sequence
from typing import NamedTuple

from projections.messages import MESSAGES, Message
from projections.store.port import Scan
from projections.views import shapes
from projections.views.access import Access, access_to_all
from projections.views.chats import brief, sealed
from projections.views.reading import Reading
from projections.views.rendering import Rendering
from projections.views.unread import unread
from projections.views.visibility import Run, hidden, visible


class _Filed(NamedTuple):
    """A chat with its filing as it holds now."""

    access: Access
    pinned: bool
    archived: bool
    muted_until: str | None

    @property
    def place(self) -> tuple[bool, str, str]:
        return (self.pinned, self.access.chat.active_at, self.access.id)


async def page(
    reading: Reading,
    user: str,
    *,
    archived: bool | None = None,
    after: shapes.Place | None = None,
    limit: int = 50,
) -> shapes.Listing[shapes.InboxRow]:
    """A page of the inbox; with `archived` given only the chats that are, or that are not.

    `after` is the `next` of the page before: (pinned, activity, chat).
    """
    filed = [_filed(access, reading.now) for access in await access_to_all(reading, user)]
    wanted = sorted(
        (
            one
            for one in filed
            if (archived is None or one.archived == archived)
            and (after is None or one.place < after)
        ),
        key=lambda one: one.place,
        reverse=True,
    )
    rows = wanted[:limit]
    return shapes.Listing(
        items=await _rows(reading, rows),
        next=rows[-1].place if len(wanted) > limit else None,
    )


def _filed(access: Access, now: str) -> _Filed:
    return _Filed(
        access,
        pinned=access.filed(access.mark.pinned) is True,
        archived=access.filed(access.mark.archived) is True,
        muted_until=access.muted_until(now),
    )


async def _rows(reading: Reading, filed: Sequence[_Filed]) -> list[shapes.InboxRow]:
    accesses = {one.access.id: one.access for one in filed}
    last = await _last_messages(reading, list(accesses.values()))
    counts = await unread(reading, list(accesses.values()))
    direct = [a.id for a in accesses.values() if a.chat.kind == "direct"]
    rendering = await Rendering.of(reading, accesses, list(last.values()), direct)
    await reading.unlock(
        [*rendering.sealed(), *(f for a in accesses.values() for f in sealed(a.chat))]
    )
    rows = []
    for access, pinned, archived, muted_until in filed:
        message = last.get(access.id)
        roll = rendering.rolls.get(access.id)
        rows.append(
            shapes.InboxRow(
                chat=brief(reading, access.chat, roll.members if roll else ()),
                last_message=rendering.show(message) if message else None,
                unread=counts[access.id],
                pinned=pinned,
                archived=archived,
                muted_until=muted_until,
                read_up_to=access.read_up_to,
            )
        )
    return rows


async def _last_messages(reading: Reading, accesses: Sequence[Access]) -> dict[str, Message]:
    """The newest message of each chat that its member can still see, by chat.

    A deleted one can be seen as deleted; one that has expired, is hidden or too old can't.
    """
    by_chat = {a.id: a for a in accesses}
    newest = [(a.id, a.chat.last_message) for a in accesses if a.chat.last_message >= a.floor]
    messages = await reading.get(MESSAGES, newest)
    unseen = await hidden(reading, by_chat, newest)

    def shows(message: Message) -> bool:
        return message.deleted_at is not None or not reading.gone(message)

    last = {
        message.chat: message
        for place, message in messages.items()
        if place not in unseen and shows(message)
    }
    others = [
        Run(
            by_chat[chat],
            Scan(
                (chat,),
                along="by_ordinal",
                above=by_chat[chat].floor - 1,
                below=newest_seq,
                newest=True,
            ),
        )
        for chat, newest_seq in newest
        if chat not in last
    ]
    found = await visible(reading, others, 1, shows)
    return last | {message.chat: message for answer in found for message in answer}
