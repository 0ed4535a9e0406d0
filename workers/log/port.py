"""The log as its two users see it: those who read events, and the decider that writes them."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import msgspec

from domain.commands import Command, Outcome
from domain.decider import Record
from domain.envelope import Envelope
from domain.state import Part
from projections.audit.record import RecordError

PartRef = tuple[str, str]


class LogError(RecordError):
    """The log did not do what it was asked, and nothing of it was done."""


class Fenced(LogError):
    """Another process has become the single writer: this one has to let go and ask anew."""


class Conflict(LogError):
    """The log rejects the group for its content: it holds a receipt or an event already that the
    group brings, or a record is none that it takes."""


class Migration(msgspec.Struct, frozen=True):
    """What making or examining a log came to. Faults name what is not as it should be."""

    identity: str
    partitions: int
    made: list[str]
    faults: list[str]


class LogBatch(NamedTuple):
    """A run of one partition: its events or outcomes, and the position after which to go on."""

    partition: str
    end: int
    events: Sequence[Envelope] = ()
    outcomes: Sequence[Outcome] = ()


class EventLog(Protocol):
    """Reading. Positions are of one partition and only rise, with gaps.

    All that talks to a log raises `LogError` when it does not answer; the same may be asked again.
    """

    @property
    def identity(self) -> str:
        """The log's UUID, which checkpoints and clients' positions name."""

    @property
    def partitions(self) -> Sequence[str]: ...

    def partition_of(self, stream: str) -> str:
        """Where the events of a stream stand."""

    def reader(self) -> "EventLog":
        """The same log for one more who reads along from positions of its own."""

    def shares(self, name: str) -> AsyncGenerator[Sequence[str], None]:
        """The partitions that fall to this process among all that share the work of this name, anew
        at every change. Until the others know of a change two may have the same."""

    async def read(self, partition: str, after: int, limit: int) -> LogBatch:
        """The next records after a position, at most `limit`; none at the end that is known. The
        batch may end further on than its last record does."""

    async def wait(self, partition: str, after: int) -> None:
        """Return once the partition holds something after the position."""

    async def ends(self) -> dict[str, int]:
        """The positions that everything readers can see by now lies before, by partition. What was
        acknowledged a moment ago may not be seen yet: on Kafka its markers are still to be written.
        """

    async def acknowledged(self) -> dict[str, int]:
        """The positions that everything acknowledged to anybody so far lies before. Beyond `ends`
        there may be what is committed and can't be read yet."""

    def end(self, partition: str) -> int:
        """The end of a partition, as far as it is known here."""

    async def read_stream(self, stream: str, after: int, limit: int) -> list[bytes]:
        """The records of a stream after a seq, byte for byte. May read all that stands before."""

    async def close(self) -> None:
        """Close it for all its readers."""


class Group(NamedTuple):
    """What a group of commands comes to. All of it is committed, or none.

    `receipts` are of all commands that leave one, `outcomes` of those among them without events.
    `upto` is the place, in the queue of commands, of the last one that this and all groups before
    it have decided.
    """

    records: Sequence[Record]
    receipts: Sequence[Outcome]
    outcomes: Sequence[Outcome]
    changes: Mapping[PartRef, Part]
    upto: int = 0


@runtime_checkable
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


@runtime_checkable
class SharedLog(EventLog, Protocol):
    """A log that several processes write and read."""

    @property
    def event_partitions(self) -> Sequence[str]:
        """Those that hold events."""

    async def read_records(
        self, partition: str, after: int, limit: int
    ) -> tuple[Sequence[tuple[str, bytes]], int]:
        """The next records after a position, byte for byte, each with the stream that it is of, and
        the position after them."""

    async def clocks(self) -> dict[int, float]:
        """By how many seconds the clock of the decider of each partition was ahead of the brokers'
        lately, give or take the time that a command waits; without those that had no commands."""


class EmbeddedLog(EventLog, Ledger, Protocol):
    """A log that is written and read in one process."""


class ReplyTo(NamedTuple):
    """Where the reply to a command goes: a mailbox of realtime, and the number of the question."""

    mailbox: str
    number: int


class Asked(NamedTuple):
    """A command in its queue. `place` is that after it."""

    command: Command
    place: int
    reply_to: ReplyTo | None


class Tenure(Ledger, Protocol):
    """A partition whose single writer this process is, until it is fenced or its log fails."""

    @property
    def partition(self) -> int: ...

    async def next(self, limit: int) -> list[Asked]:
        """The next commands, once there are any.

        Raises:
            LogError: the tenure is over.
        """

    async def waiting(self, limit: int) -> list[Asked]:
        """Those after them that are there already."""


class CommandLog(Protocol):
    """The queue of commands between gateways and deciders."""

    async def put(self, command: Command, reply_to: ReplyTo) -> None:
        """Append durably.

        Raises:
            LogError: whether it was appended is not known.
        """

    async def hold(self, work: Callable[[Tenure], Awaitable[None]]) -> None:
        """Until cancelled, have the work done for every partition that falls to this process.

        The work ends with the `LogError` of its tenure, or is cancelled when the partition goes to
        another process.
        """

    async def close(self) -> None: ...
