"""Users: their profile, and how far their stream has been seen."""

from collections.abc import Iterable

import msgspec
from msgspec import UNSET

from domain import events as e
from projections.fold import Held, Made, ReadModel, Seen, WorkingSet, held
from projections.store.port import Collection, Document, Ref


class Profile(Document, frozen=True):
    """`verified_email` is the address that was last shown to be the user's; it may be another than
    that of the profile."""

    user: str
    registered_at: str
    name: Held | None = None
    email: Held | None = None
    avatar: Held | None = None
    verified_email: Held | None = None
    suspended: bool = False
    erased: bool = False


PERSONAL = ("name", "email", "avatar", "verified_email")
PROFILES = Collection("profiles", Profile, ("user",))


def _needs(seen: Seen, _: WorkingSet) -> Iterable[Ref]:
    if seen.envelope.source.startswith("/users/"):
        yield PROFILES, (seen.id,)


def _fold(seen: Seen, docs: WorkingSet) -> Made:
    if not seen.envelope.source.startswith("/users/"):
        return
    data, envelope = seen.data, seen.envelope
    if isinstance(data, e.UserRegistered):
        yield (
            PROFILES,
            Profile(
                seq=envelope.seq,
                user=seen.id,
                registered_at=envelope.time,
                name=held(seen, data.name),
                email=held(seen, data.email),
                avatar=held(seen, data.avatar),
            ),
        )
        return
    known = docs.get(PROFILES, seen.id)
    assert known is not None
    change: dict[str, object] = {}
    match data:
        case e.UserChanged():
            change = {
                field: held(seen, value)
                for field in ("name", "email", "avatar")
                if (value := getattr(data, field)) is not UNSET
            }
        case e.EmailVerified():
            change = {"verified_email": held(seen, data.email)}
        case e.UserErased():
            change = {"erased": True, **dict.fromkeys(PERSONAL)}
        case e.UserSuspended():
            change = {"suspended": True}
        case e.UserResumed():
            change = {"suspended": False}
    yield PROFILES, msgspec.structs.replace(known, seq=envelope.seq, **change)


MODEL = ReadModel((PROFILES,), _needs, _fold)
