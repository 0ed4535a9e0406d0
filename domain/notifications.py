"""What a user is told of and how: preferences, devices, the read mark, the proven address."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal, cast, get_args

import msgspec

from domain import commands as c
from domain import events as e
from domain.refusals import UNCHANGED, Refusal, Unchanged, invalid, not_allowed
from domain.state import NOTIFYING, Changes, Notifying, State

Kind = Literal["mention", "reply", "reaction", "group_invite", "message"]
KINDS: tuple[Kind, ...] = get_args(Kind)
CHANNELS: tuple[e.Channel, ...] = get_args(e.Channel)

#: Each of them is told of everything, so their number is bounded.
MAX_DEVICES = 20

_UNWANTED_AT_FIRST = frozenset((("reaction", "email"), ("message", "email")))

Preferences = Mapping[str, Mapping[e.Channel, bool]]
OfNotifications = (
    c.PutPreferences | c.ReadNotifications | c.AddDevice | c.RemoveDevice | c.VerifyEmail
)
Decision = Sequence[e.Event] | Refusal | Unchanged


def wants(preferences: Preferences, kind: str, channel: e.Channel) -> bool:
    """Whether a user with these preferences is told of such things this way."""
    wanted = preferences.get(kind, {}).get(channel)
    return (kind, channel) not in _UNWANTED_AT_FIRST if wanted is None else wanted


def fingerprint(subscription: e.Sealable) -> str:
    """What tells a subscription, as it stands in the log, from the one that took its place."""
    return hashlib.sha256(msgspec.json.encode(subscription)).hexdigest()[:32]


def decide(state: State, action: OfNotifications, command: c.Command) -> Decision:
    known = _known(state)
    match action:
        case c.PutPreferences():
            return _put_preferences(known, action)
        case c.ReadNotifications():
            if action.up_to <= known.read_up_to:
                return UNCHANGED
            return [e.NotificationsRead(up_to=action.up_to)]
        case c.AddDevice():
            if action.device not in known.devices and len(known.devices) >= MAX_DEVICES:
                return invalid("device", f"A user has at most {MAX_DEVICES} devices.")
            return [
                e.DeviceAdded(
                    device=action.device, kind=action.kind, subscription=action.subscription
                )
            ]
        case c.RemoveDevice():
            subscribed = known.devices.get(action.device)
            # Another subscription may have taken the place of the one that no longer works.
            if subscribed is None or action.fingerprint not in (None, subscribed):
                return UNCHANGED
            return [e.DeviceRemoved(device=action.device)]
    if command.rights != "system":
        return not_allowed("An address is verified by a token or a link.")
    return [e.EmailVerified(email=action.email)]


def _put_preferences(known: Notifying, action: c.PutPreferences) -> Decision:
    changed: dict[str, dict[e.Channel, bool]] = {}
    for kind, channels in action.preferences.items():
        for channel, wanted in channels.items():
            if wants(known.preferences, kind, channel) != wanted:
                changed.setdefault(kind, {})[channel] = wanted
    return [e.NotificationsPreferred(preferences=changed)] if changed else UNCHANGED


def merged(
    known: Preferences, changed: Mapping[str, Mapping[e.Channel, bool]]
) -> dict[str, dict[e.Channel, bool]]:
    """Preferences after a change that names only what is new."""
    return {kind: {**known.get(kind, {}), **changed.get(kind, {})} for kind in {**known, **changed}}


def evolve(state: State, event: e.Event) -> Changes:
    known = _known(state)
    match event:
        case e.NotificationsPreferred():
            preferences = merged(known.preferences, event.preferences)
            return {NOTIFYING: msgspec.structs.replace(known, preferences=preferences)}
        case e.NotificationsRead():
            return {NOTIFYING: msgspec.structs.replace(known, read_up_to=event.up_to)}
        case e.DeviceAdded():
            devices = {**known.devices, event.device: fingerprint(event.subscription)}
            return {NOTIFYING: msgspec.structs.replace(known, devices=devices)}
        case e.DeviceRemoved():
            devices = {one: at for one, at in known.devices.items() if one != event.device}
            return {NOTIFYING: msgspec.structs.replace(known, devices=devices)}
    return {}


def _known(state: State) -> Notifying:
    return cast(Notifying, state.get(NOTIFYING, Notifying()))
