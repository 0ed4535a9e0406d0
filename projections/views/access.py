"""Who may see what: how a reader belongs to a chat, asked anew for every answer."""

from collections.abc import Sequence
from typing import NamedTuple

from projections.chats import CHATS, MEMBERSHIPS, Chat, Membership
from projections.marks import MARKS, Mark
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


async def access_to(reading: Reading, user: str, chat: str) -> Access:
    """The chat as the user has it.

    Raises:
        NotFound: `chat_not_found` for who is no member, whether or not there is such a chat.
    """
    found = await accesses_to(reading, user, [chat])
    if not found:
        raise NotFound("chat_not_found")
    return found[0]


async def access_to_all(reading: Reading, user: str) -> list[Access]:
    """Every chat that the user is in now."""
    [memberships] = await reading.scan(MEMBERSHIPS, [Scan((user,), along="by_user")])
    return await accesses_to(reading, user, [membership.chat for membership in memberships])


async def accesses_to(reading: Reading, user: str, ids: Sequence[str]) -> list[Access]:
    """Those of these chats that the user is in now."""
    # The chats first: a membership and a mark read after the chat know of every own message and
    # of every reading that its counts know of, so one's own words are never unread for a moment.
    chats = await reading.get(CHATS, [(chat,) for chat in ids])
    keys = [(user, chat.chat) for chat in chats.values()]
    memberships = await reading.get(MEMBERSHIPS, keys)
    marks = await reading.get(MARKS, keys)
    return [
        Access(chat, membership, marks.get(key) or Mark(seq=0, user=user, chat=chat.chat))
        for key, chat in zip(keys, chats.values(), strict=True)
        if (membership := memberships.get(key)) is not None and membership.present
    ]
