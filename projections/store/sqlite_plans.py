"""Which way of a search in SQLite takes the fewest steps."""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from projections.store.sqlite_values import Stored

#: Of a set of up to so many terms each is looked up as a posting, of a longer one the document's
#: own terms are looked through.
FEW = 16
#: A longer set, which is that of a prefix, is read as a run of neighbours.
RUN = 4

# What a search does, in look-ups of a posting: pass over a posting, look through a document's own
# terms, take the next posting from the queue of a walk.
ROW, LOOK_THROUGH, TAKE = 0.2, 3, 3


class Wanted(NamedTuple):
    """A set of terms in their order. Of what is `begun`, the scopes have no others between these,
    and at most so many `postings`, if known."""

    terms: Sequence[Stored]
    begun: bool = False
    postings: int | None = None

    @property
    def few(self) -> bool:
        return len(self.terms) <= FEW

    def picked(self, most: int) -> bool:
        """Whether its terms are looked up one by one, and not read as a run."""
        return len(self.terms) <= (1 if self.begun else most)


class Sample(NamedTuple):
    """How many postings some of the scopes have: of every document, and of each set. There are
    `scale` times as many scopes in all."""

    scale: float
    every: int
    counts: Sequence[int]


def cheapest(
    sets: Sequence[Wanted], sizes: Sequence[int | None], sample: Sample, scopes: int, limit: int
) -> tuple[bool, int]:
    """Whether to walk along the postings of a set or to gather them, and of which set.

    `sizes` say at most how many postings the sets have in all, None where there are too many to
    gather. So the cost of gathering is known, that of a walk only estimated: the share of documents
    that a set has is that in the sample, and sets are taken as independent.
    """
    shares = [min(1.0, max(1, count) / sample.every) for count in sample.counts]
    ways = []
    for n, one in enumerate(sets):
        size = sizes[n]
        others = [other for other in range(len(sets)) if other != n]
        few = [other for other in others if sets[other].few]
        many = [other for other in others if not sets[other].few]
        look_up = sum(len(sets[other].terms) for other in few)
        look_through = LOOK_THROUGH * len(many)
        # In each scope the walk goes as far as the first match, then on to those taken.
        taken = limit / prod(shares[other] for other in many)
        steps = (scopes + taken) / prod(shares[other] for other in few)
        most = sample.scale * sample.counts[n] if size is None else size
        pairs = min(scopes * len(one.terms), most)
        walk = 2 * pairs + min(most, steps) * (ROW + look_up)
        walk += min(most, taken) * (TAKE + look_through)
        ways.append((walk, True, n))
        if size is not None:
            starts = scopes * (len(one.terms) if one.picked(RUN) else 1)
            ways.append((starts + size * (ROW + look_up + look_through), False, n))
    _, walks, driver = min(ways)
    return walks, driver
