"""What became of the commands that wrote no event."""

from domain.commands import Outcome
from projections.store.port import Collection, Document


class OutcomeDocument(Document, frozen=True):
    command: str
    outcome: Outcome


OUTCOMES = Collection("outcomes", OutcomeDocument, ("command",))


def document(outcome: Outcome) -> OutcomeDocument:
    # An outcome never changes, so any seq guards it; 0 is that of no event.
    return OutcomeDocument(seq=max(outcome.seq, 1), command=outcome.command, outcome=outcome)
