"""Web Push: RFC 8030, encrypted by RFC 8291, the sender named by RFC 8292 (VAPID).

Endpoints come from users. Nothing is sent but by https, to an address that may be reached; the
connection goes to the address that was looked at, no redirect is followed, and nothing but the head
of the answer is read.
"""

import asyncio
import socket
import ssl
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from py_vapid import Vapid02, VapidException
from pywebpush import WebPusher, WebPushException

from domain import instants
from gateway.push_endpoints import HTTPS_PORT, BadEndpoint, PushHosts, is_public
from workers.notifier.channel import TAKEN, Sent

#: What a push service must take, in bytes of text before encryption: 4,096 less what that adds.
MAX_PAYLOAD = 3_900
TIMEOUT = 10.0
#: The longest a push service may make one wait, in seconds.
LONGEST_PAUSE = 3_600
#: How long a signed claim is used, and how long it is good, in seconds.
_CLAIM_USED = 3_600
_CLAIM_GOOD = 12 * 3_600


def public_key(key: bytes) -> str:
    """What browsers subscribe with, in base64url, for a private key of 32 bytes."""
    public = ec.derive_private_key(int.from_bytes(key), ec.SECP256R1()).public_key()
    raw = public.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


class WebPush:
    """Sends to push services under one VAPID key."""

    def __init__(
        self,
        key: bytes,
        subject: str,
        hosts: PushHosts,
        clock: Callable[[], str],
        *,
        trusted: ssl.SSLContext | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        """`key` is the private key, 32 bytes. `subject` tells push services whom to ask: a mailto:
        or https: URL. `trusted` holds the certificates trusted instead of the usual ones."""
        self._vapid = Vapid02.from_raw(urlsafe_b64encode(key))
        # Its own check takes host names without a dot for wrong.
        self._vapid.conf["no-strict"] = True
        self._subject = subject
        self._hosts = hosts
        self._clock = clock
        self._timeout = timeout
        self._claims: dict[str, tuple[dict[str, str], str]] = {}
        self._client = httpx.AsyncClient(
            verify=trusted or httpx.create_ssl_context(),
            timeout=timeout,
            limits=httpx.Limits(max_connections=256, max_keepalive_connections=32),
            trust_env=False,
        )

    async def send(
        self, subscription: Mapping[str, Any], payload: bytes, *, topic: str, ttl: int, urgency: str
    ) -> Sent:
        """Hand a message to the push service of a subscription.

        Args:
            subscription: endpoint and keys, as the browser gave them.
            payload: at most `MAX_PAYLOAD` bytes.
            topic: up to 32 characters of base64url. Of the messages of one topic that a device has
                not got yet the push service keeps the last alone.
            ttl: how many seconds the push service keeps it for a device that is away.
            urgency: as in RFC 8030, section 5.3.
        """
        try:
            endpoint = subscription["endpoint"]
            host, port = self._hosts.take(endpoint)
            body: bytes = WebPusher(subscription).encode(payload)["body"]
            claim = self._claim(
                f"https://{host}" if port == HTTPS_PORT else f"https://{host}:{port}"
            )
        except (
            BadEndpoint,
            VapidException,
            WebPushException,
            KeyError,
            TypeError,
            ValueError,
        ) as error:
            return Sent("refused", f"bad subscription: {type(error).__name__}")
        headers = {
            **claim,
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "Host": host if port == HTTPS_PORT else f"{host}:{port}",
            "TTL": str(ttl),
            "Topic": topic,
            "Urgency": urgency,
        }
        try:
            async with asyncio.timeout(self._timeout):
                addresses = await self._addresses(host, port)
                if not addresses:
                    return Sent("refused", "no public address")
                url = httpx.URL(endpoint).copy_with(port=port)
                return await self._post(url, host, addresses, headers, body)
        except (httpx.HTTPError, OSError) as error:
            return Sent("later", type(error).__name__)
        except (httpx.InvalidURL, UnicodeError) as error:
            return Sent("refused", type(error).__name__)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
        if self._hosts.lists(host, port):
            return addresses
        return [address for address in addresses if is_public(address)]

    async def _post(
        self,
        endpoint: httpx.URL,
        host: str,
        addresses: Sequence[str],
        headers: Mapping[str, str],
        body: bytes,
    ) -> Sent:
        for address in addresses:
            # The name is looked up once: a second answer could be another.
            request = self._client.build_request(
                "POST",
                endpoint.copy_with(host=address),
                headers=headers,
                content=body,
                extensions={"sni_hostname": host},
            )
            try:
                response = await self._client.send(request, stream=True)
            except httpx.ConnectError:
                if address == addresses[-1]:
                    raise
                continue
            await response.aclose()
            return self._understood(response)
        raise AssertionError("no address")

    def _understood(self, response: httpx.Response) -> Sent:
        status = response.status_code
        if 200 <= status < 300:
            return TAKEN
        if status in (404, 410):
            return Sent("gone", str(status))
        if status in (408, 425, 429) or status >= 500:
            return Sent("later", str(status), self._pause(response.headers.get("retry-after")))
        return Sent("refused", str(status))

    def _pause(self, retry_after: str | None) -> int | None:
        if retry_after is None:
            return None
        try:
            if retry_after.strip().isdecimal():
                pause = int(retry_after)
            else:
                until = parsedate_to_datetime(retry_after)
                pause = int((until - instants.to_datetime(self._clock())).total_seconds())
        except (TypeError, ValueError):
            return None
        return min(max(pause, 0), LONGEST_PAUSE)

    def _claim(self, origin: str) -> dict[str, str]:
        """The headers that name the sender to a push service."""
        now = self._clock()
        known = self._claims.get(origin)
        if known is not None and now < known[1]:
            return known[0]
        expires = instants.to_millis(now) // 1000 + _CLAIM_GOOD
        headers: dict[str, str] = self._vapid.sign(
            {"aud": origin, "sub": self._subject, "exp": expires}
        )
        if len(self._claims) >= 1024:
            self._claims.clear()
        self._claims[origin] = (headers, instants.later(now, _CLAIM_USED))
        return headers
