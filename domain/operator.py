"""What people with special rights did, as they did it: this stream only keeps the record."""

from collections.abc import Sequence

from domain import commands as c
from domain import events as e
from domain.refusals import Refusal, invalid, not_allowed


def decide(command: c.Command) -> Sequence[e.Event] | Refusal:
    if command.rights != "operator":
        return not_allowed("Only an operator writes here.")
    match command.action:
        case c.NoteImport(source=source, lines=lines):
            return [e.DataImported(source=source, lines=lines)]
    return invalid("do", "An operator's stream does not take this action.")
