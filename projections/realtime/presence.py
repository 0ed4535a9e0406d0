"""Who is present, for as long as somebody says so again and again. It is kept nowhere else.

A user has an entry for every gateway they are connected to, and may have a wish: how to be seen,
whatever their devices say. Each ends by itself when it is not renewed. They are seen as offline
without any entry, else as they wish, else as the first of busy, online, away, offline that an entry
says.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

Status = Literal["online", "away", "busy", "offline"]
#: Of what several say of one user, the first of these counts.
PRECEDENCE: Sequence[Status] = ("busy", "online", "away", "offline")

#: Seconds for which an entry or a wish holds unless it is renewed.
HOLDS = 60.0
#: The part of that after which one who has lapsed is named again, unless that was told.
TOLD_WITHIN = 1 / 6


class Change(NamedTuple):
    """A user is now seen with this status, and was with another before. `seq` rises from change to
    change of a user."""

    user: str
    status: Status
    seq: int


class PresenceBoard(Protocol):
    """Every change is returned once, to one of those who ask. All of them raise `RealtimeError`
    when nobody can tell what was done; it may be done again."""

    async def put(self, gateway: str, statuses: Mapping[str, Status | None]) -> Sequence[Change]:
        """Make or renew the entries of users at a gateway, and renew their wishes; None ends the
        entry. The wish `online` ends when an entry changes."""

    async def wish(self, user: str, status: Status) -> Sequence[Change]:
        """Set how a user wants to be seen. Without any entry that makes one, which nobody
        renews."""

    async def read(self, users: Sequence[str]) -> dict[str, Status]:
        """How each of these users is seen."""

    async def lapsed(self, limit: int) -> Sequence[Change]:
        """Those whose last entry has ended unnoticed, at most so many. They are named again after
        a while, until `told`."""

    async def told(self, users: Sequence[str]) -> None:
        """These have lapsed, and it was told."""

    async def close(self) -> None: ...
