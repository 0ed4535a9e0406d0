"""Groups as the decider makes them, without a decider."""

from collections.abc import Sequence

from domain import commands as c
from domain import decider
from domain.commands import Command, Outcome
from domain.decider import Record
from domain.envelope import Envelope
from domain.ids import user_stream
from domain.state import HEAD, Head, Part
from workers.log.port import EventLog, Group, LogBatch, PartRef

TIME = "2024-05-01T00:00:00.000Z"


def naming(number: int, user: str, name: str | None) -> Command:
    """Names a user, which is an event; without a name it is refused."""
    return Command(
        id=f"command-{number}",
        digest=f"digest-{number}",
        stream=user_stream(user),
        actor=user,
        time=TIME,
        action=c.PutProfile(name=name),
    )


class Scribe:
    """Decides on commands and remembers what that makes of their streams."""

    def __init__(self) -> None:
        self.parts: dict[PartRef, Part] = {}
        self.records: list[Record] = []
        self._commands = 0

    def group(self, *names: tuple[str, str | None]) -> Group:
        """A group in which each of these users is given a name, or refused for want of one."""
        before = len(self.records)
        receipts = []
        changes: dict[PartRef, Part] = {}
        for user, name in names:
            self._commands += 1
            command = naming(self._commands, user, name)
            state = {
                part: self.parts[command.stream, part]
                for part in decider.needs(command)
                if (command.stream, part) in self.parts
            }
            verdict = decider.handle(state, None, command)
            self.records += verdict.records
            receipts.append(verdict.outcome)
            changed = {(command.stream, part): new for part, new in verdict.changes.items()}
            changes |= changed
            self.parts |= changed
        refused = [outcome for outcome in receipts if outcome.status == "refused"]
        return Group(self.records[before:], receipts, refused, changes)

    def head(self, user: str) -> int:
        head = self.parts.get((user_stream(user), HEAD))
        return head.seq if isinstance(head, Head) else 0


async def batches(log: EventLog, partition: str, limit: int = 100) -> list[LogBatch]:
    """A partition from its beginning, as a reader meets it who goes on from where each run ends."""
    found: list[LogBatch] = []
    position = 0
    while position < log.end(partition):
        found.append(await log.read(partition, position, limit))
        position = found[-1].end
    return found


def values(found: Sequence[LogBatch]) -> list[Envelope | Outcome]:
    """The events and outcomes of these runs."""
    events = [event for batch in found for event in batch.events]
    return [*events, *(outcome for batch in found for outcome in batch.outcomes)]


async def contents(log: EventLog) -> list[LogBatch]:
    """All that the log holds, by partition, record by record."""
    return [batch for partition in log.partitions for batch in await batches(log, partition, 1)]


async def streams(log: EventLog, limit: int = 100) -> dict[str, list[Envelope]]:
    """The events of each stream in the order in which they are read."""
    found: dict[str, list[Envelope]] = {}
    for partition in log.partitions:
        for batch in await batches(log, partition, limit):
            for envelope in batch.events:
                found.setdefault(envelope.stream, []).append(envelope)
    return found
