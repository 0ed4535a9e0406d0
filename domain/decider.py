"""One command against one stream: receipts, decision, envelopes, the hash chain. Pure."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, cast

import msgspec

from domain import account, chat, operator
from domain import commands as c
from domain import events as e
from domain.catalogue import WIRE_NAMES, decode_data
from domain.envelope import (
    SPEC_VERSION,
    Basis,
    Envelope,
    chain_next,
    chain_start,
    dataschema,
    encode,
)
from domain.ids import user_stream
from domain.refusals import INTERNAL_ERROR, KEY_REUSED, Refusal, Unchanged
from domain.state import ACCOUNT, HEAD, ROSTER, Changes, Head, Part, State

#: The largest record of the log, in bytes; Kafka's default limit is just above.
MAX_RECORD_BYTES = 1_000_000


class Record(NamedTuple):
    """One event as the log keeps it."""

    envelope: Envelope
    value: bytes


class Verdict(NamedTuple):
    """What a command comes to: its events and the state after them, or an outcome without either.

    `kept` tells whether the outcome is to be recorded as the command's receipt.
    """

    outcome: c.Outcome
    records: tuple[Record, ...] = ()
    changes: Mapping[str, Part] = MappingProxyType({})
    kept: bool = True
    replayed: bool = False


def needs(command: c.Command) -> tuple[str, ...]:
    """The parts of the stream's state that deciding on the command reads."""
    if command.stream.startswith("chats/"):
        return (HEAD, ROSTER, *chat.needs(command.action))
    if command.stream.startswith("users/"):
        return (HEAD, ACCOUNT, *account.needs(command.action))
    return (HEAD,)


def handle(state: State, receipt: c.Outcome | None, command: c.Command) -> Verdict:
    """Decide on a command, given the parts of `needs` and the receipt of its id, if there is one.

    An exception in the decision is a bug and refuses this command alone.
    """
    head = cast(Head | None, state.get(HEAD))
    if receipt is not None:
        if receipt.digest != command.digest:
            return refuse(head, command, KEY_REUSED, kept=False)
        return Verdict(receipt, kept=False, replayed=True)
    now = command.time if head is None else max(command.time, head.time)
    head = head or Head(0, now, chain_start(command.stream))
    try:
        decision = _decide({**state, HEAD: head}, command, now)
        if isinstance(decision, Refusal):
            return refuse(head, command, decision)
        if isinstance(decision, Unchanged):
            return Verdict(_outcome(head, command, "unchanged", now), kept=_leaves_receipt(command))
        return _write(state, head, command, now, decision)
    except Exception:
        return refuse(head, command, INTERNAL_ERROR)


def refuse(
    head: Head | None, command: c.Command, refusal: Refusal, *, kept: bool | None = None
) -> Verdict:
    """The verdict that turns a command down."""
    if kept is None:
        kept = _leaves_receipt(command)
    head = head or Head(0, command.time, "")
    outcome = msgspec.structs.replace(
        _outcome(head, command, "refused", max(command.time, head.time)),
        code=refusal.code,
        detail=refusal.detail,
        field=refusal.field,
    )
    return Verdict(outcome, kept=kept)


def _decide(state: State, command: c.Command, now: str) -> chat.Decision:
    if isinstance(command.action, c.Unreadable):
        return INTERNAL_ERROR
    if command.stream.startswith("chats/"):
        return chat.decide(state, command, now)
    if command.stream.startswith("users/"):
        return account.decide(state, command, now)
    return operator.decide(command)


def _write(
    state: State, head: Head, command: c.Command, now: str, events: Sequence[e.Event]
) -> Verdict:
    working: dict[str, Part] = dict(state)
    changes: Changes = {}
    records: list[Record] = []
    first = head.seq + 1
    ordinal: int | None = None
    for event in events:
        seq = head.seq + 1
        name, version = WIRE_NAMES[type(event)]
        envelope = Envelope(
            specversion=SPEC_VERSION,
            id=f"{command.stream}/{seq}",
            source=f"/{command.stream}",
            type=name,
            dataschema=dataschema(name, version),
            time=now,
            datacontenttype="application/json",
            seq=seq,
            actor=command.actor,
            commandid=command.id,
            commanddigest=command.digest,
            prev=head.prev,
            basis=_basis(command, event),
            originaltime=_original(command, now),
            causationid=command.causationid,
            correlationid=command.correlationid,
            traceparent=command.traceparent,
            data=msgspec.Raw(msgspec.json.encode(event)),
        )
        value = encode(envelope)
        if len(value) > MAX_RECORD_BYTES:
            raise ValueError("the record is too large")
        if isinstance(event, e.MessageSent):
            ordinal = event.ordinal
        head = Head(seq, now, chain_next(value), ordinal or head.ordinal)
        records.append(Record(envelope, value))
        changed = evolve(working, command.stream, event, seq, command)
        working.update(changed)
        changes.update(changed)
    changes[HEAD] = head
    outcome = c.Outcome(
        command=command.id,
        digest=command.digest,
        stream=command.stream,
        status="accepted",
        time=now,
        seq=head.seq,
        first=first,
        ordinal=ordinal,
    )
    return Verdict(outcome, tuple(records), changes, kept=_leaves_receipt(command))


def evolve(
    state: Mapping[str, Part], stream: str, event: e.Event, seq: int, command: c.Command | Envelope
) -> Changes:
    """The parts of a stream's state that an event changes."""
    if stream.startswith("chats/"):
        return chat.evolve(state, event, seq, command.actor)
    if stream.startswith("users/"):
        return account.evolve(state, event, command.basis)
    return {}


def replay(
    state: State, record: Record, known: c.Outcome | None
) -> tuple[Changes, c.Outcome | None]:
    """What a record of the log makes of its stream's state, and of its command's receipt.

    `known` is the receipt as the records before it leave it. Null when the command leaves none.
    """
    envelope = record.envelope
    event = decode_data(envelope)
    head = cast(Head | None, state.get(HEAD))
    ordinal = event.ordinal if isinstance(event, e.MessageSent) else None
    changes = evolve(state, envelope.stream, event, envelope.seq, envelope)
    changes[HEAD] = Head(
        envelope.seq,
        envelope.time,
        chain_next(record.value),
        ordinal or (head.ordinal if head is not None else 0),
    )
    if isinstance(event, e.ChatRead | e.ChatDelivered):
        return changes, None
    return changes, c.Outcome(
        command=envelope.commandid,
        digest=envelope.commanddigest,
        stream=envelope.stream,
        status="accepted",
        time=envelope.time,
        seq=envelope.seq,
        first=known.first if known is not None else envelope.seq,
        ordinal=ordinal or (known.ordinal if known is not None else None),
    )


def _basis(command: c.Command, event: e.Event) -> tuple[Basis, ...]:
    """What was seen for this event: of many members added at once each keeps their own."""
    if not isinstance(event, e.MemberAdded):
        return command.basis
    return tuple(seen for seen in command.basis if seen.stream == user_stream(event.user))


def _leaves_receipt(command: c.Command) -> bool:
    return not isinstance(command.action, c.REPEATABLE)


def _original(command: c.Command, now: str) -> str | None:
    return command.time if command.rights == "operator" and command.time < now else None


def _outcome(head: Head, command: c.Command, status: str, now: str) -> c.Outcome:
    return c.Outcome(
        command=command.id,
        digest=command.digest,
        stream=command.stream,
        status=cast("c.OutcomeStatus", status),
        time=now,
        seq=head.seq,
    )
