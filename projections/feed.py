"""The replayable feed: every event of a chat or user as clients see it, still sealed."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from domain import events as e
from domain.catalogue import SEALED_FIELDS
from projections.fold import Made, ReadModel, Seen, WorkingSet, nothing_more
from projections.messages import MESSAGES, message_of
from projections.schedules import SCHEDULES, ends_schedule
from projections.store.port import Collection, Document, Index, Ref


class FeedItem(Document, frozen=True):
    """`at` is the event's seq; `message` the message it is about, itself for a sending.

    `data` is the event's data as in the log, or what redaction leaves of it.
    """

    stream: str
    at: int
    type: str
    time: str
    actor: str
    command: str
    digest: str
    data: msgspec.Raw
    message: int | None = None
    redacted: bool = False


FEED = Collection("feed", FeedItem, ("stream", "at"), (Index("by_command", ("command", "at")),))

_REDACTION_KEEPS = ("message", "ordinal", "kind")


def redact(data: msgspec.Raw) -> msgspec.Raw:
    """What anyone may still see of an event about a message that they may not see."""
    fields: dict[str, Any] = msgspec.json.decode(data)
    kept = {name: fields[name] for name in _REDACTION_KEEPS if name in fields}
    return msgspec.Raw(msgspec.json.encode(kept))


def _withdrawn(seen: Seen, docs: WorkingSet) -> Sequence[int]:
    """The seqs of the events whose text goes with this one."""
    if isinstance(seen.data, e.MessageDeleted | e.MessageExpired):
        message = docs.get(MESSAGES, seen.id, seen.data.message)
        return () if message is None else (message.message, *message.edits)
    ended = ends_schedule(seen.data)
    schedule = None if ended is None else docs.get(SCHEDULES, ended)
    return () if schedule is None else schedule.events


def _then(seen: Seen, docs: WorkingSet) -> Iterable[Ref]:
    stream = seen.envelope.stream
    yield from ((FEED, (stream, at)) for at in _withdrawn(seen, docs))


def _fold(seen: Seen, docs: WorkingSet) -> Made:
    envelope, data = seen.envelope, seen.data
    message = envelope.seq if isinstance(data, e.MessageSent) else message_of(data)
    yield (
        FEED,
        FeedItem(
            seq=envelope.seq,
            stream=envelope.stream,
            at=envelope.seq,
            type=envelope.type,
            time=envelope.time,
            actor=envelope.actor,
            command=envelope.commandid,
            digest=envelope.commanddigest,
            data=envelope.data,
            message=message if envelope.source.startswith("/chats/") else None,
        ),
    )
    for at in _withdrawn(seen, docs):
        item = docs.get(FEED, envelope.stream, at)
        if item is not None and item.type in SEALED_FIELDS:
            yield (
                FEED,
                msgspec.structs.replace(
                    item, seq=envelope.seq, data=redact(item.data), redacted=True
                ),
            )


MODEL = ReadModel((FEED,), nothing_more, _fold, _then)
