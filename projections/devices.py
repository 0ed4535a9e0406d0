"""How each user is told of things: what they prefer, how far they have read, and their devices."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from domain import events as e
from domain.notifications import merged
from projections.fold import Held, Made, ReadModel, Seen, WorkingSet, held
from projections.store.port import Collection, Document, Ref


class Attention(Document, frozen=True):
    """`preferences` are those that were set. Rows up to the place `read_up_to` were read.
    `devices` are the ids of those that there are."""

    user: str
    read_up_to: str = ""
    preferences: dict[str, dict[e.Channel, bool]] = msgspec.field(default_factory=dict)
    devices: tuple[str, ...] = ()


class Device(Document, frozen=True):
    """`subscription` is null once the device was removed."""

    user: str
    device: str
    kind: Literal["webpush"]
    subscription: Held | None = None


ATTENTION = Collection("attention", Attention, ("user",))
DEVICES = Collection("devices", Device, ("user", "device"))


def _needs(seen: Seen, _: WorkingSet) -> Iterable[Ref]:
    match seen.data:
        case e.NotificationsPreferred() | e.NotificationsRead():
            yield ATTENTION, (seen.id,)
        case e.DeviceAdded() | e.DeviceRemoved():
            yield ATTENTION, (seen.id,)
            yield DEVICES, (seen.id, seen.data.device)


def _fold(seen: Seen, docs: WorkingSet) -> Made:
    seq, data = seen.envelope.seq, seen.data
    known = docs.get(ATTENTION, seen.id) or Attention(seq=0, user=seen.id)
    match data:
        case e.NotificationsPreferred():
            preferences = merged(known.preferences, data.preferences)
            yield ATTENTION, msgspec.structs.replace(known, seq=seq, preferences=preferences)
        case e.NotificationsRead():
            yield ATTENTION, msgspec.structs.replace(known, seq=seq, read_up_to=data.up_to)
        case e.DeviceAdded():
            devices = tuple(dict.fromkeys((*known.devices, data.device)))
            yield ATTENTION, msgspec.structs.replace(known, seq=seq, devices=devices)
            yield (
                DEVICES,
                Device(
                    seq=seq,
                    user=seen.id,
                    device=data.device,
                    kind=data.kind,
                    subscription=held(seen, data.subscription),
                ),
            )
        case e.DeviceRemoved():
            devices = tuple(one for one in known.devices if one != data.device)
            yield ATTENTION, msgspec.structs.replace(known, seq=seq, devices=devices)
            device = docs.get(DEVICES, seen.id, data.device)
            assert device is not None
            yield DEVICES, msgspec.structs.replace(device, seq=seq, subscription=None)


MODEL = ReadModel((ATTENTION, DEVICES), _needs, _fold)
