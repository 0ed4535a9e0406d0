"""How far each user has received and read each chat, and how they filed it."""

from collections.abc import Iterable
from typing import Literal

import msgspec
from msgspec import UNSET

from domain import events as e
from domain.account import chat_basis
from projections.fold import Made, ReadModel, Seen, WorkingSet
from projections.store.port import Collection, Document, Index, Ref


class Filing(msgspec.Struct, frozen=True, array_like=True):
    """A filing's value and the seq of the chat it was set against: it holds while the user's latest
    joining is not newer."""

    value: bool | str | None
    basis: int


class Mark(Document, frozen=True):
    """`hidden_up_to` is the highest message seq the user has hidden, `read_basis` the newest seq
    of the chat that was seen at the last reading."""

    user: str
    chat: str
    delivered_up_to: int = 0
    read_up_to: int = 0
    hidden_up_to: int = 0
    read_basis: int = 0
    pinned: Filing | None = None
    archived: Filing | None = None
    muted_until: Filing | None = None


class MarkStep(Document, frozen=True):
    """One rise of a mark: who reached a message first when is the lowest step at or past it."""

    user: str
    chat: str
    kind: Literal["delivered", "read"]
    up_to: int
    at: str


MARKS = Collection("marks", Mark, ("user", "chat"), (Index("by_chat", ("chat", "user")),))
MARK_STEPS = Collection("mark_steps", MarkStep, ("chat", "user", "kind", "up_to"))


def _needs(seen: Seen, _: WorkingSet) -> Iterable[Ref]:
    match seen.data:
        case e.ChatDelivered() | e.ChatRead() | e.ChatFiled() | e.MessageHidden():
            yield MARKS, (seen.id, seen.data.chat)


def _fold(seen: Seen, docs: WorkingSet) -> Made:
    data, envelope = seen.data, seen.envelope
    change: dict[str, object]
    match data:
        case e.ChatDelivered():
            change = {"delivered_up_to": data.up_to}
            yield MARK_STEPS, _step(seen, "delivered", data)
        case e.ChatRead():
            change = {
                "read_up_to": data.up_to,
                "read_basis": chat_basis(envelope.basis, data.chat),
            }
            yield MARK_STEPS, _step(seen, "read", data)
        case e.ChatFiled():
            basis = chat_basis(envelope.basis, data.chat)
            change = {
                field: Filing(value, basis)
                for field in ("pinned", "archived", "muted_until")
                if (value := getattr(data, field)) is not UNSET
            }
        case e.MessageHidden():
            known = docs.get(MARKS, seen.id, data.chat)
            change = {"hidden_up_to": max(data.message, known.hidden_up_to if known else 0)}
        case _:
            return
    mark = docs.get(MARKS, seen.id, data.chat) or Mark(seq=0, user=seen.id, chat=data.chat)
    yield MARKS, msgspec.structs.replace(mark, seq=envelope.seq, **change)


def _step(
    seen: Seen, kind: Literal["delivered", "read"], data: e.ChatDelivered | e.ChatRead
) -> MarkStep:
    return MarkStep(
        seq=seen.envelope.seq,
        user=seen.id,
        chat=data.chat,
        kind=kind,
        up_to=data.up_to,
        at=seen.envelope.time,
    )


MODEL = ReadModel((MARKS, MARK_STEPS), _needs, _fold)
