"""A stream in memory, driven through `domain.decider.handle` as a decider would drive it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from domain import decider
from domain.commands import Action, Command, Outcome, Rights
from domain.decider import Record, Verdict
from domain.envelope import Basis
from domain.state import Part, decode_part, encode_part

START = datetime(2024, 1, 1, tzinfo=UTC)
Event = tuple[str, dict[str, Any]]


def at(seconds: float) -> str:
    """The instant so long after the start of every test."""
    return (START + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")[:23] + "Z"


def events_of(records: tuple[Record, ...] | list[Record]) -> list[Event]:
    """Wire names and data, read from the bytes without any code of the project."""
    envelopes = [json.loads(record.value) for record in records]
    return [(envelope["type"], envelope["data"]) for envelope in envelopes]


class Stream:
    """One stream: its folded state, receipts and records, and a clock that goes on by itself."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state: dict[str, Part] = {}
        self.receipts: dict[str, Outcome] = {}
        self.records: list[Record] = []
        self.seconds = 0.0
        self._commands = 0

    def command(
        self,
        action: Action,
        actor: str,
        rights: Rights = "client",
        *,
        time: str | None = None,
        id: str | None = None,
        digest: str = "digest",
        basis: tuple[Basis, ...] = (),
    ) -> Command:
        self._commands += 1
        self.seconds += 1
        return Command(
            id=id or f"command-{self._commands}",
            digest=digest,
            stream=self.name,
            actor=actor,
            time=time or at(self.seconds),
            action=action,  # type: ignore[arg-type]  # the union of all classes of Action
            rights=rights,
            basis=basis,
        )

    def handle(self, command: Command) -> Verdict:
        """Decide with the needed parts alone, and keep what comes of it.

        The verdict must be the same with the whole state; parts pass through their stored form.
        """
        receipt = self.receipts.get(command.id)
        needed = {part: self.state[part] for part in decider.needs(command) if part in self.state}
        verdict = decider.handle(needed, receipt, command)
        assert verdict == decider.handle(self.state, receipt, command)
        self.state |= {
            part: decode_part(encode_part(changed)) for part, changed in verdict.changes.items()
        }
        self.records += verdict.records
        if verdict.kept or verdict.records:
            self.receipts[command.id] = verdict.outcome
        return verdict

    def do(self, action: Action, actor: str, rights: Rights = "client", **more: Any) -> Verdict:
        return self.handle(self.command(action, actor, rights, **more))

    def writes(
        self, action: Action, actor: str, rights: Rights = "client", **more: Any
    ) -> list[Event]:
        """The events of a command that must be accepted."""
        verdict = self.do(action, actor, rights, **more)
        assert verdict.outcome.status == "accepted", verdict.outcome
        assert verdict.outcome.seq == len(self.records)
        assert verdict.outcome.first == len(self.records) - len(verdict.records) + 1
        return events_of(verdict.records)

    def refuses(
        self, action: Action, actor: str, rights: Rights = "client", **more: Any
    ) -> str | None:
        """The code of a command that must be refused and write nothing."""
        verdict = self.do(action, actor, rights, **more)
        assert verdict.outcome.status == "refused", events_of(verdict.records)
        assert (verdict.records, dict(verdict.changes)) == ((), {})
        return verdict.outcome.code

    def leaves(self, action: Action, actor: str, rights: Rights = "client", **more: Any) -> bool:
        """Whether a command changes nothing, having been right."""
        verdict = self.do(action, actor, rights, **more)
        return verdict.outcome.status == "unchanged" and not verdict.records + tuple(
            verdict.changes
        )

    @property
    def events(self) -> list[Event]:
        return events_of(self.records)
