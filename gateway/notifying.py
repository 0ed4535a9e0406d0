"""Commands about what a user is told of; they are made as those of `gateway.writes`."""

import base64
import binascii
from collections.abc import Callable

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import UNSET

from domain import commands as c
from domain.events import Channel
from domain.ids import user_stream
from gateway import checks, forms
from gateway.auth import Principal
from gateway.email_links import is_of
from gateway.problems import invalid_request
from gateway.push_endpoints import BadEndpoint
from gateway.services import Services
from projections.profiles import PROFILES
from projections.views.notifications import is_row
from projections.views.people import verified_address

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


async def vouched(services: Services, principal: Principal | None) -> c.Command | None:
    """The command that records an address as verified, if the token says that it is the user's and
    that is news."""
    if principal is None or principal.email is None or not principal.email_verified:
        return None
    claimed = principal.email
    return await _verified(
        services, principal.user, lambda own: own.casefold() == claimed.casefold()
    )


async def followed(services: Services, token: str) -> c.Command | None:
    """The command that records an address as verified, whose link was followed; None if it is
    verified already.

    Raises:
        Problem: `invalid_request` for what is no link of the user's present address.
    """
    proof = services.email_links.read(token, services.clock())
    if proof is not None:
        address, verified = await _address(services, proof.user)
        if address is not None and is_of(proof, address):
            if verified is not None:
                return None
            return await _verified(services, proof.user, lambda own: is_of(proof, own))
    raise invalid_request("token", "This link has expired, or is for another address.")


async def _verified(
    services: Services, user: str, proven: Callable[[str], bool]
) -> c.Command | None:
    address, verified = await _address(services, user)
    if address is None or verified is not None or not proven(address):
        return None
    stream = user_stream(user)
    _, command = services.commander.identify(user, stream, None)
    action = c.VerifyEmail(email=address)
    return await services.commander.command(user, stream, command, action, rights="system")


async def _address(services: Services, user: str) -> tuple[str | None, str | None]:
    """A user's address, and the same once it was verified."""
    reading = checks.reading(services)
    profile = (await reading.get(PROFILES, [(user,)])).get((user,))
    if profile is None:
        return None, None
    await reading.unlock((profile.email, profile.verified_email))
    address = reading.open(user_stream(user), "email", profile.email).value
    return address, verified_address(reading, profile)


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
