"""How many messages a reader has not read: exact, counted anew, without reading them one by one.

The ordinals tell how many messages lie after the effective mark. Of those, what does not count is
taken off: deleted, expired, hidden, and one's own scheduled ones. The chat and the mark remember
how far up there are any of these, so that mostly nothing is asked.
"""

from collections.abc import Sequence

from projections.hidden import HIDDEN
from projections.messages import MESSAGES, Message
from projections.store.port import Scan
from projections.views.access import Access
from projections.views.reading import Reading


async def unread(reading: Reading, accesses: Sequence[Access]) -> dict[str, int]:
    """The number of unread messages by chat."""
    behind = [a for a in accesses if a.read_up_to < a.chat.last_message]
    before = await _ordinals(reading, behind)
    removed, others = await _taken_off(reading, behind)
    counts = {
        a.id: max(0, a.chat.ordinal - before[a.id] - removed.get(a.id, 0) - len(others[a.id]))
        for a in behind
    }
    return {a.id: counts.get(a.id, 0) for a in accesses}


async def _ordinals(reading: Reading, accesses: Sequence[Access]) -> dict[str, int]:
    """How many messages lie up to the effective mark of each."""
    joined = {
        a.id: a.membership.joined_ordinal for a in accesses if a.read_up_to == a.membership.joined
    }
    marked = {a.id: a.read_up_to for a in accesses if a.id not in joined}
    messages = await reading.get(MESSAGES, marked.items())
    known = {m.chat: m.ordinal for m in messages.values() if m.ordinal is not None}
    # A mark need not stand at a message: then the last one before it counts.
    between = [chat for chat in marked if chat not in known]
    scans = [
        Scan((chat,), along="by_ordinal", below=marked[chat] + 1, newest=True, limit=1)
        for chat in between
    ]
    answers = await reading.scan(MESSAGES, scans)
    last = {chat: sum(m.ordinal or 0 for m in a) for chat, a in zip(between, answers, strict=True)}
    return joined | known | last


async def _taken_off(
    reading: Reading, accesses: Sequence[Access]
) -> tuple[dict[str, int], dict[str, dict[int, Message]]]:
    """What does not count, of one moment: what is removed between two questions would be taken off
    twice or not at all."""
    removed = await _removed(reading, accesses)
    moving = [a for a in accesses if _may_be_removed(a)]
    while True:
        others = await _not_counted(reading, accesses)
        by_now = await _removed(reading, moving)
        if by_now.items() <= removed.items():
            return removed, others
        removed |= by_now


def _may_be_removed(access: Access) -> bool:
    """Whether something of what is looked for by itself can since have been deleted or expired."""
    chat, hidden_up_to = access.chat, access.mark.hidden_up_to
    return max(chat.expiring_up_to, chat.scheduled_up_to, hidden_up_to) > access.read_up_to


async def _removed(reading: Reading, accesses: Sequence[Access]) -> dict[str, int]:
    """How many messages after each mark are known to be deleted or expired."""
    some = [a for a in accesses if a.chat.removed_up_to > a.read_up_to or _may_be_removed(a)]
    scans = [_after_mark(a, Scan((a.id,), along="removed")) for a in some]
    counts = await reading.count(MESSAGES, scans)
    return {a.id: count for a, count in zip(some, counts, strict=True)}


async def _not_counted(
    reading: Reading, accesses: Sequence[Access]
) -> dict[str, dict[int, Message]]:
    """The other messages after each mark that do not count, by seq: own ones, expired without
    the event having come, hidden. Each once, whatever it is."""
    scans = [
        _after_mark(a, Scan((a.id, a.user), along="scheduled"))
        for a in accesses
        if a.chat.scheduled_up_to > a.read_up_to
    ]
    scans += [
        # No instant lies between this one and one with something after it.
        Scan((a.id,), along="expiring", below=f"{reading.now}~")
        for a in accesses
        if a.chat.expiring_up_to > a.read_up_to
    ]
    hidden = await reading.scan(
        HIDDEN,
        [
            _after_mark(a, Scan((a.user, a.id)))
            for a in accesses
            if a.mark.hidden_up_to > a.read_up_to
        ],
    )
    found = [m for answer in await reading.scan(MESSAGES, scans) for m in answer]
    known = {(m.chat, m.message) for m in found}
    places = {(h.chat, h.message) for answer in hidden for h in answer}
    found += (await reading.get(MESSAGES, places - known)).values()
    by_chat = {a.id: a for a in accesses}
    not_counted: dict[str, dict[int, Message]] = {a.id: {} for a in accesses}
    for message in found:
        access = by_chat[message.chat]
        unread = access.read_up_to < message.message <= access.chat.last_message
        if unread and message.ordinal is not None and not message.gone:
            not_counted[message.chat][message.message] = message
    return not_counted


def _after_mark(access: Access, scan: Scan) -> Scan:
    # No further than the chat as it was read: what has come since is not in its count either.
    return scan._replace(above=access.read_up_to, below=access.chat.last_message + 1)
