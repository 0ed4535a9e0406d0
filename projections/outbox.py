"""What the notifier has still to do, and has done. No stream feeds these documents and no replay
makes them anew: `seq` counts the changes of the document itself."""

from typing import Any

from domain.notifications import Kind
from projections.store.port import Collection, Document, Index


class Task(Document, frozen=True, kw_only=True):
    """To be done once it is `due`, as long as it is `waiting`, by whoever follows `partition`.

    `token` is of the one that took it last, who has until `due`; `attempts` counts the takings.
    """

    partition: str
    due: str
    waiting: bool = True
    attempts: int = 0
    token: str = ""


class Push(Task, frozen=True, kw_only=True):
    """One push message to one device, about an event of a chat. `message` as in a notification."""

    chat: str
    event: int
    user: str
    device: str
    kind: Kind
    actor: str
    time: str
    message: int | None = None


class Round(Task, frozen=True, kw_only=True):
    """The members of a chat are to be told of its messages up to the one at `event`.

    `seq` is twice that seq, and one more once it was done: so a newer message always counts, and
    the end of an older round never hides it. `done_at` is when the last one ended.
    """

    chat: str
    event: int
    done_at: str = ""


class Digest(Task, frozen=True, kw_only=True):
    """A user is to be written to. `covered` is the newest id that a mail has told of."""

    user: str
    covered: str = ""
    sent_at: str = ""


class Verification(Task, frozen=True, kw_only=True):
    """A user is to be asked whether an address is theirs; `address` is a keyed hash of it.

    `sending` stands from before the mail is sent until it is known what became of it.
    """

    address: str
    user: str
    sending: bool = False
    sent_at: str = ""


_DUE = (Index("due", ("partition", "due"), where="waiting"),)

PUSHES = Collection("pushes", Push, ("chat", "event", "user", "device"), _DUE)
ROUNDS = Collection("rounds", Round, ("chat",), _DUE)
DIGESTS = Collection("digests", Digest, ("user",), _DUE)
VERIFICATIONS = Collection("verifications", Verification, ("address",), _DUE)

OUTBOX: tuple[Collection[Any], ...] = (PUSHES, ROUNDS, DIGESTS, VERIFICATIONS)
