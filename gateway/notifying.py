"""Commands about what a user is told of; they are made as those of `gateway.writes`."""

import base64
import binascii

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import UNSET

from domain import commands as c
from domain.events import Channel
from domain.ids import user_stream
from gateway import checks, forms
from gateway.problems import invalid_request
from gateway.push_endpoints import BadEndpoint
from gateway.services import Services
from projections.views.notifications import is_row

_AUTH_BYTES = 16


async def read(services: Services, user: str, up_to: str, key: str | None) -> c.Command:
    stream = user_stream(user)
    _, command = services.commander.identify(user, stream, key)
    known = await is_row(checks.reading(services), user, up_to)
    if not known and not await checks.decided(services, command):
        raise invalid_request("up_to", "This is no id of one of your notifications.")
    action = c.ReadNotifications(up_to=up_to)
    return await services.commander.command(user, stream, command, action)


async def put_preferences(
    services: Services, user: str, form: forms.PreferencesForm, key: str | None
) -> c.Command:
    preferences: dict[str, dict[Channel, bool]] = {}
    for kind in form.__struct_fields__:
        channels = getattr(form, kind)
        if channels is not UNSET:
            preferences[kind] = msgspec.to_builtins(channels)
    return await _to_self(services, user, c.PutPreferences(preferences=preferences), key)


async def put_device(
    services: Services, user: str, device: str, form: forms.DeviceForm, key: str | None
) -> c.Command:
    subscription = form.subscription
    try:
        services.policy.push_hosts.take(subscription.endpoint)
    except BadEndpoint as error:
        raise invalid_request("subscription.endpoint", str(error)) from error
    _check_keys(subscription.keys)
    kept = {
        "endpoint": subscription.endpoint,
        "keys": {"p256dh": subscription.keys.p256dh, "auth": subscription.keys.auth},
    }
    action = c.AddDevice(device=device, kind=form.kind, subscription=kept)
    return await _to_self(services, user, action, key)


async def delete_device(services: Services, user: str, device: str, key: str | None) -> c.Command:
    return await _to_self(services, user, c.RemoveDevice(device=device), key)


async def _to_self(
    services: Services, user: str, action: c.AnyAction, key: str | None
) -> c.Command:
    stream = user_stream(user)
    _, command = services.commander.identify(user, stream, key)
    return await services.commander.command(user, stream, command, action)


def _check_keys(keys: forms.SubscriptionKeys) -> None:
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _bytes(keys.p256dh))
    except ValueError as error:
        raise invalid_request(
            "subscription.keys.p256dh", "This is no public key of P-256 in base64url."
        ) from error
    try:
        right = len(_bytes(keys.auth)) == _AUTH_BYTES
    except ValueError:
        right = False
    if not right:
        raise invalid_request("subscription.keys.auth", "These are not 16 bytes in base64url.")


def _bytes(text: str) -> bytes:
    """Raises ValueError."""
    try:
        padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error
