"""What people with special rights did, as they did it: this stream only keeps the record."""

from collections.abc import Sequence

from domain import commands as c
from domain import events as e
from domain.ids import operator_stream
from domain.refusals import Refusal, invalid, not_allowed

#: Who may leave which record.
_RIGHTS: dict[type[c.Action], tuple[c.Rights, ...]] = {
    c.NoteReading: ("moderator", "auditor", "operator"),
    c.NoteRemoval: ("moderator", "operator"),
    c.OrderSuspension: ("moderator", "operator"),
    c.LiftSuspension: ("moderator", "operator"),
    c.NoteImport: ("operator",),
}


def decide(command: c.Command) -> Sequence[e.Event] | Refusal:
    action = command.action
    allowed = _RIGHTS.get(type(action))
    if command.rights == "client" or command.stream != operator_stream(command.actor):
        return not_allowed("Only an operator writes here.")
    if allowed is None:
        return invalid("do", "An operator's stream does not take this action.")
    if command.rights not in allowed:
        return not_allowed("This needs other rights.")
    match action:
        case c.NoteReading(what=what, of=of, as_of=as_of):
            return [e.RecordRead(what=what, of=of, as_of=as_of)]
        case c.NoteRemoval(chat=chat, message=message):
            return [e.MessageRemoved(chat=chat, message=message)]
        case c.OrderSuspension(user=user):
            return [e.SuspensionOrdered(user=user)]
        case c.LiftSuspension(user=user):
            return [e.SuspensionLifted(user=user)]
        case c.NoteImport(source=source, lines=lines):
            return [e.DataImported(source=source, lines=lines)]
    raise AssertionError(action)
