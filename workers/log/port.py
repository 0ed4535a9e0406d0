"""The log as its two users see it: those who read events, and the decider that writes them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from domain.commands import Outcome
from domain.decider import Record
from domain.envelope import Envelope
from domain.state import Part
from projections.audit.record import RecordError

PartRef = tuple[str, str]


class LogError(RecordError):
    """The log did not do what it was asked, and nothing of it was done."""


class Conflict(LogError):
    """The log holds a receipt or an event already that the group brings."""


class LogBatch(NamedTuple):
    """A run of one partition: its events or outcomes, and the position after which to go on."""

    partition: str
    end: int
    events: Sequence[Envelope] = ()
    outcomes: Sequence[Outcome] = ()


class EventLog(Protocol):
    """Reading. Positions are of one partition and only rise, with gaps."""

    @property
    def identity(self) -> str:
        """The log's UUID, which checkpoints and clients' positions name."""

    @property
    def partitions(self) -> Sequence[str]: ...

    async def read(self, partition: str, after: int, limit: int) -> LogBatch:
        """The next records after a position, at most `limit`; none at the end."""

    async def wait(self, partition: str, after: int) -> None:
        """Return once the partition holds something after the position."""

    def end(self, partition: str) -> int:
        """The position of the last record."""

    async def read_stream(self, stream: str, after: int, limit: int) -> list[bytes]:
        """The records of a stream after a seq, byte for byte."""

    async def close(self) -> None: ...


class Group(NamedTuple):
    """What a group of commands comes to. All of it is committed, or none.

    `receipts` are of all commands that leave one, `outcomes` of those among them without events.
    """

    records: Sequence[Record]
    receipts: Sequence[Outcome]
    outcomes: Sequence[Outcome]
    changes: Mapping[PartRef, Part]


class Ledger(Protocol):
    """Writing, and what deciding needs: folded states and receipts."""

    async def recall(
        self, parts: Sequence[PartRef], commands: Sequence[str]
    ) -> tuple[dict[PartRef, Part], dict[str, Outcome]]:
        """The parts that there are, and the receipts of these command ids."""

    async def commit(self, group: Group) -> None:
        """Append durably.

        Raises:
            Conflict: nothing was written; the decider did not know all receipts and states.
            LogError: nothing was written.
        """
