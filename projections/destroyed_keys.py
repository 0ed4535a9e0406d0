"""Which keys the log says were destroyed: applied to the keyring on every start, for one that was
put back from a backup still has them."""

from domain import events as e
from domain.catalogue import WIRE_NAMES
from projections.fold import Made, ReadModel, Seen, WorkingSet, nothing_more
from projections.store.port import Collection, Document


class DestroyedKey(Document, frozen=True):
    key: str
    stream: str


DESTROYED_KEYS = Collection("destroyed_keys", DestroyedKey, ("key", "stream"))


#: The wire names of the events that destroy keys.
TYPES = frozenset(WIRE_NAMES[cls][0] for cls in (e.MessageExpired, e.UserErased))


def destroyed_by(data: e.Event) -> list[str]:
    """The ids of the keys that go with an event."""
    match data:
        case e.MessageExpired(key=str(key)):
            return [key]
        case e.UserErased(keys=keys):
            return keys
    return []


def _fold(seen: Seen, _: WorkingSet) -> Made:
    for key in destroyed_by(seen.data):
        stream = seen.envelope.stream
        yield DESTROYED_KEYS, DestroyedKey(seq=seen.envelope.seq, key=key, stream=stream)


MODEL = ReadModel((DESTROYED_KEYS,), nothing_more, _fold)
