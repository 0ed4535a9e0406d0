"""Chats and their members."""

from collections.abc import Sequence

from msgspec import UNSET

from projections.chats import MEMBERSHIPS, Chat, Membership
from projections.fold import Held
from projections.store.port import Scan
from projections.views import shapes
from projections.views.access import access_to
from projections.views.reading import Reading


async def one(reading: Reading, user: str, chat: str) -> shapes.Chat:
    """A chat with all its members.

    Raises:
        NotFound: `chat_not_found`.
    """
    access = await access_to(reading, user, chat)
    present = await _members(reading, chat)
    await reading.unlock(sealed(access.chat))
    name = reading.open_in_chat(chat, "name", access.chat.name)
    description = reading.open_in_chat(chat, "description", access.chat.description)
    avatar = reading.open_in_chat(chat, "avatar", access.chat.avatar)
    return shapes.Chat(
        id=chat,
        kind=access.chat.kind,
        name=name.value,
        description=description.value,
        avatar=avatar.value,
        history=access.chat.history,
        created_at=access.chat.created_at,
        members=member_shapes(present),
        members_count=len(present),
        erased=name.erased or description.erased or avatar.erased,
    )


async def members(
    reading: Reading,
    user: str,
    chat: str,
    *,
    after: shapes.Place | None = None,
    limit: int = 50,
) -> shapes.Listing[shapes.Member]:
    """Members, longest-standing first. `after` is the `next` of the page before.

    Raises:
        NotFound: `chat_not_found`.
    """
    await access_to(reading, user, chat)
    present = await _members(reading, chat)
    page = [m for m in present if after is None or (m.joined, m.user) > after]
    last = page[limit - 1] if len(page) > limit else None
    return shapes.Listing(
        items=member_shapes(page[:limit]), next=(last.joined, last.user) if last else None
    )


def brief(reading: Reading, chat: Chat, present: Sequence[Membership]) -> shapes.InboxChat:
    """A chat as the inbox has it, given its members; unlock `sealed` before."""
    name = reading.open_in_chat(chat.chat, "name", chat.name)
    avatar = reading.open_in_chat(chat.chat, "avatar", chat.avatar)
    return shapes.InboxChat(
        id=chat.chat,
        kind=chat.kind,
        name=name.value,
        avatar=avatar.value,
        members_count=chat.members_count,
        members=member_shapes(present) if chat.kind == "direct" else UNSET,
        erased=name.erased or avatar.erased,
    )


def sealed(chat: Chat) -> Sequence[Held | None]:
    return (chat.name, chat.description, chat.avatar)


def member_shapes(present: Sequence[Membership]) -> list[shapes.Member]:
    return [shapes.Member(user=m.user, role=m.role, joined_at=m.joined_at) for m in present]


async def _members(reading: Reading, chat: str) -> list[Membership]:
    [found] = await reading.scan(MEMBERSHIPS, [Scan((chat,), along="by_chat")])
    return sorted(found, key=lambda member: (member.joined, member.user))
