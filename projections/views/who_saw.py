"""Who had a message, and who read it, and when first: for auditors, whoever is in the chat now."""

from collections.abc import Sequence

from projections.chats import CHATS, MEMBERSHIPS, Membership
from projections.marks import MARKS
from projections.messages import MESSAGES
from projections.store.port import Scan
from projections.views import shapes
from projections.views.reading import NotFound, Reading
from projections.views.receipts import reached_at, wrote_at


async def page(
    reading: Reading, chat: str, seq: int, *, after: shapes.Place | None = None, limit: int = 50
) -> shapes.Listing[shapes.Saw]:
    """Everyone but the sender who is in the chat or has ever left a mark in it, by id. `after` is
    the `next` of the page before.

    A mark reaches everything before it, so it tells of a message that its user could see: under
    `since_joined` one that came before the latest joining was seen only by marks before that.

    Raises:
        NotFound: `chat_not_found`, `message_not_found`.
    """
    found = (await reading.get(CHATS, [(chat,)])).get((chat,))
    if found is None:
        raise NotFound("chat_not_found")
    message = (await reading.get(MESSAGES, [(chat, seq)])).get((chat, seq))
    if message is None or message.ordinal is None:
        raise NotFound("message_not_found")
    [marks] = await reading.scan(MARKS, [Scan((chat,), along="by_chat")])
    [present] = await reading.scan(MEMBERSHIPS, [Scan((chat,), along="by_chat")])
    users = sorted(({m.user for m in marks} | {m.user for m in present}) - {message.sender})
    start = str(after[0]) if after is not None else ""
    wanted = [user for user in users if user > start]
    shown = wanted[:limit]
    members = await reading.get(MEMBERSHIPS, [(user, chat) for user in shown])
    return shapes.Listing(
        items=await _saw(reading, list(members.values()), seq, found.history == "since_joined"),
        next=(shown[-1],) if len(wanted) > limit else None,
    )


async def _saw(
    reading: Reading, members: Sequence[Membership], seq: int, since_joined: bool
) -> list[shapes.Saw]:
    read = await reached_at(reading, members, "read", seq)
    delivered = await reached_at(reading, members, "delivered", seq)
    wrote = await wrote_at(reading, [m for m in members if m.sent > seq], seq)

    def first(member: Membership, *times: dict[str, str]) -> str | None:
        at = min((by[member.user] for by in times if member.user in by), default=None)
        unseen = since_joined and member.joined > seq
        return None if at is not None and unseen and at >= member.joined_at else at

    return [
        shapes.Saw(
            user=member.user,
            member=member.present,
            delivered_at=first(member, read, delivered, wrote),
            read_at=first(member, read),
        )
        for member in sorted(members, key=lambda member: member.user)
    ]
