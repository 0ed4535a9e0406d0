"""Who hears of a user's presence and profile: those with whom they share a direct chat or a small
group."""

from collections.abc import Collection

from domain.ids import chat_stream
from projections.chats import CHATS, MEMBERSHIPS
from projections.store.port import ReadStore, Scan

#: Members of a group up to which it belongs to its members' circles.
MAX_MEMBERS = 50


async def circles(store: ReadStore, users: Collection[str]) -> dict[str, list[str]]:
    """The streams of the direct chats and small groups that each of these users is in now."""
    if not users:
        return {}
    found = await store.scan(MEMBERSHIPS, [Scan((user,), along="by_user") for user in users])
    chats = await store.get(CHATS, {(m.chat,) for memberships in found for m in memberships})
    small = {chat.chat for chat in chats.values() if chat.members_count <= MAX_MEMBERS}
    return {
        user: [chat_stream(m.chat) for m in memberships if m.chat in small]
        for user, memberships in zip(users, found, strict=True)
    }
