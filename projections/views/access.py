"""Who may see what: how a reader belongs to a chat, asked anew for every answer."""

import asyncio
from collections.abc import Collection
from typing import NamedTuple

from projections.chats import CHATS, MEMBERSHIPS, Chat, Membership
from projections.marks import MARKS, Filing, Mark
from projections.store.port import Scan
from projections.views.reading import NotFound, Reading


class Access(NamedTuple):
    """A chat as one of its members has it."""

    chat: Chat
    membership: Membership
    mark: Mark

    @property
    def id(self) -> str:
        return self.chat.chat

    @property
    def user(self) -> str:
        return self.membership.user

    @property
    def floor(self) -> int:
        """The first seq that the member may see anything of."""
        return self.membership.joined if self.chat.history == "since_joined" else 0

    @property
    def read_up_to(self) -> int:
        """The effective mark: what lies after it is unread."""
        return max(self.mark.read_up_to, self.membership.sent, self.membership.joined)

    def filed(self, filing: Filing | None) -> bool | str | None:
        """What a filing of the chat says; what was filed before the latest joining no longer
        holds."""
        holds = filing is not None and filing.basis >= self.membership.joined
        return filing.value if filing is not None and holds else None

    def muted_until(self, now: str) -> str | None:
        """Until when the chat is muted, if it is."""
        until = self.filed(self.mark.muted_until)
        return until if isinstance(until, str) and until > now else None


async def access_to(reading: Reading, user: str, chat: str) -> Access:
    """The chat as the user has it.

    Raises:
        NotFound: `chat_not_found` for who is no member, whether or not there is such a chat.
    """
    found = await accesses(reading, [(user, chat)])
    if not found:
        raise NotFound("chat_not_found")
    return found[user, chat]


async def access_to_all(reading: Reading, user: str) -> list[Access]:
    """Every chat that the user is in now."""
    [memberships] = await reading.scan(MEMBERSHIPS, [Scan((user,), along="by_user")])
    return [*(await accesses(reading, [(user, m.chat) for m in memberships])).values()]


async def accesses(
    reading: Reading, pairs: Collection[tuple[str, str]]
) -> dict[tuple[str, str], Access]:
    """The chats as users have them, by user and chat; those that a user is not in are left out."""
    # The chats first: a membership and a mark read after the chat know of every own message and
    # of every reading that its counts know of, so one's own words are never unread for a moment.
    chats = await reading.get(CHATS, {(chat,) for _, chat in pairs})
    keys = [(user, chat) for user, chat in pairs if (chat,) in chats]
    memberships, marks = await asyncio.gather(
        reading.get(MEMBERSHIPS, keys), reading.get(MARKS, keys)
    )
    return {
        (user, chat): Access(
            chats[chat,],
            membership,
            marks.get((user, chat)) or Mark(seq=0, user=user, chat=chat),
        )
        for user, chat in keys
        if (membership := memberships.get((user, chat))) is not None and membership.present
    }
