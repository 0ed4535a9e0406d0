"""Who asks: JSON Web Tokens (RFC 7519), by a shared secret or by the keys of a JWKS endpoint."""

import asyncio
import hashlib
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import httpx
import jwt
import msgspec
import structlog

from domain import ids
from gateway.problems import Problem

log = structlog.get_logger()

USER_ID = re.compile(ids.USER_ID)

#: The scopes of a token that give rights beyond those of a user.
AUDIT = "hansard:audit"
MODERATE = "hansard:moderate"

JWKS_FRESH_SECONDS = 300
JWKS_PAUSE_SECONDS = 10

_JWKS_TIMEOUT_SECONDS = 3
_HS256_KEY_BYTES = 32
_MAX_TOKEN_CHARACTERS = 16_384
_LAST_SECOND_OF_9999 = 253_402_300_799

_REASONS: Mapping[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: "The token has expired.",
    jwt.ImmatureSignatureError: "The token is not valid yet.",
    jwt.InvalidIssuerError: "The token has another issuer.",
    jwt.InvalidAudienceError: "The token is for another audience.",
    jwt.InvalidAlgorithmError: "The token is signed with another algorithm.",
    jwt.MissingRequiredClaimError: "The token lacks a claim it must have.",
}


class Principal(msgspec.Struct, frozen=True):
    """Who a valid token speaks for; `expires_at` is in seconds since 1970."""

    user: str
    scopes: frozenset[str]
    expires_at: int
    email: str | None
    email_verified: bool


class Unauthenticated(Problem):
    """The token names no user: `unauthenticated`, or `id_is_personal` for an id that is refused."""

    def __init__(self, code: str, detail: str) -> None:
        # RFC 9110, section 15.5.2: a 401 must name the scheme that would do.
        headers = {"WWW-Authenticate": "Bearer"} if code == "unauthenticated" else None
        super().__init__(code, detail, headers=headers)


class Keys(Protocol):
    """The keys that tokens are verified by, and the only algorithms those keys are used with."""

    algorithms: list[str]
    lasting: bool
    """Whether the keys stay the same, so that what was verified once need not be again."""

    async def key_for(self, token: str) -> jwt.PyJWK | str:
        """The key to verify this token by.

        Raises:
            jwt.PyJWTError: there is none.
            Problem: `unavailable`, when that can't be told now.
        """

    async def aclose(self) -> None: ...


class SharedSecret:
    """One secret, for HS256 alone."""

    def __init__(self, secret: str) -> None:
        self.algorithms = ["HS256"]
        self.lasting = True
        self._secret = secret
        if len(secret.encode()) < _HS256_KEY_BYTES:
            # RFC 7518, section 3.2, asks for as many bytes as the hash has.
            log.warning("jwt_secret_too_short", bytes_needed=_HS256_KEY_BYTES)

    async def key_for(self, _: str) -> str:
        return self._secret

    async def aclose(self) -> None:
        pass


class JwksKeys:
    """The signing keys of a JWKS endpoint (RFC 7517), for RS256 and ES256.

    They are fetched again after 5 minutes, and for a key id they lack, but at most every 10 s.
    While the endpoint can't be reached, the keys it gave last stay good.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.algorithms = ["RS256", "ES256"]
        self.lasting = False
        self._url = url
        self._clock = clock
        self._client = httpx.AsyncClient(timeout=_JWKS_TIMEOUT_SECONDS)
        self._lock = asyncio.Lock()
        self._keys: list[jwt.PyJWK] = []
        self._fetched_at = -math.inf
        self._tried_at = -math.inf

    async def key_for(self, token: str) -> jwt.PyJWK:
        kid = jwt.get_unverified_header(token).get("kid")
        key = self._find(kid)
        if key is None or self._clock() - self._fetched_at >= JWKS_FRESH_SECONDS:
            await self._refresh()
            key = self._find(kid)
        if key is not None:
            return key
        if self._fetched_at < self._tried_at:
            raise Problem(
                "unavailable",
                "The keys to check this token can't be fetched now.",
                headers={"Retry-After": str(JWKS_PAUSE_SECONDS)},
            )
        raise jwt.InvalidKeyError("no such key")

    async def aclose(self) -> None:
        await self._client.aclose()

    def _find(self, kid: str | None) -> jwt.PyJWK | None:
        # A token that names no key can only mean the one there is.
        if kid is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.key_id == kid), None)

    async def _refresh(self) -> None:
        async with self._lock:
            if self._clock() - self._tried_at < JWKS_PAUSE_SECONDS:
                return
            try:
                self._keys = await self._fetch()
            except (httpx.HTTPError, jwt.PyJWTError, ValueError) as error:
                log.warning("jwks_fetch_failed", error=repr(error))
                self._tried_at = self._clock()
            else:
                self._tried_at = self._fetched_at = self._clock()

    async def _fetch(self) -> list[jwt.PyJWK]:
        response = await self._client.get(self._url)
        document = response.raise_for_status().json()
        if not isinstance(document, dict):
            raise ValueError("not a JSON Web Key Set")
        return [key for key in jwt.PyJWKSet.from_dict(document) if self._serves(key)]

    def _serves(self, key: jwt.PyJWK) -> bool:
        return (
            key.algorithm_name in self.algorithms
            and key.public_key_use in (None, "sig")
            and key.Algorithm.check_key_length(key.key) is None
        )


class Authenticator:
    """Turns tokens into principals.

    `exp` and `sub` are required; `iss` and `aud` must fit where they are configured. There is no
    leeway: a token is good until its `exp`, by the server's clock.
    """

    def __init__(
        self,
        keys: Keys,
        *,
        issuer: str | None = None,
        audience: str | None = None,
        allow_address_ids: bool = False,
        remembered_tokens: int = 10_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._allow_address_ids = allow_address_ids
        self._remembered_tokens = remembered_tokens
        self._clock = clock
        self._remembered: OrderedDict[bytes, Principal] = OrderedDict()

    async def authenticate(self, token: str) -> Principal:
        """The principal of a valid token.

        Raises:
            Unauthenticated: the token is not valid (401), or its user id is refused (422).
            Problem: `unavailable` when the keys can't be fetched (503).
        """
        if len(token) > _MAX_TOKEN_CHARACTERS or not token.isascii():
            raise Unauthenticated("unauthenticated", "The token is not valid.")
        if not self._keys.lasting:
            return await self._verify(token)
        digest = hashlib.sha256(token.encode()).digest()
        principal = self._remembered.get(digest)
        if principal is None:
            principal = self._remembered[digest] = await self._verify(token)
            if len(self._remembered) > self._remembered_tokens:
                self._remembered.popitem(last=False)
        elif principal.expires_at <= self._clock():
            del self._remembered[digest]
            raise Unauthenticated("unauthenticated", _REASONS[jwt.ExpiredSignatureError])
        else:
            self._remembered.move_to_end(digest)
        return principal

    async def aclose(self) -> None:
        await self._keys.aclose()

    async def _verify(self, token: str) -> Principal:
        try:
            claims = jwt.decode(
                token,
                await self._keys.key_for(token),
                algorithms=self._keys.algorithms,
                issuer=self._issuer,
                audience=self._audience,
                options={
                    "require": ["exp", "sub"],
                    "verify_aud": self._audience is not None,
                    # RFC 7519 gives `iat` no say in whether a token is good.
                    "verify_iat": False,
                },
            )
        except jwt.PyJWTError as error:
            reason = _REASONS.get(type(error), "The token is not valid.")
            raise Unauthenticated("unauthenticated", reason) from error
        return self._principal(claims)

    def _principal(self, claims: dict[str, Any]) -> Principal:
        user = claims["sub"]
        if USER_ID.fullmatch(user) is None:
            raise Unauthenticated("unauthenticated", "The token's `sub` is not a user id.")
        if "@" in user and not self._allow_address_ids:
            raise Unauthenticated(
                "id_is_personal", "A user id must not be an address: it outlives erasure."
            )
        scope, email = claims.get("scope"), claims.get("email")
        return Principal(
            user=user,
            scopes=frozenset(scope.split()) if isinstance(scope, str) else frozenset(),
            expires_at=min(int(claims["exp"]), _LAST_SECOND_OF_9999),
            email=email if isinstance(email, str) else None,
            email_verified=claims.get("email_verified") is True,
        )


def bearer_token(authorization: str | None) -> str:
    """The token of an `Authorization` header (RFC 6750, section 2.1).

    Raises:
        Unauthenticated: there is none.
    """
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("unauthenticated", "Send a token: `Authorization: Bearer …`.")
    return token.strip()


def mint(
    secret: str,
    user: str,
    lifetime: int,
    *,
    scopes: Iterable[str] = (),
    issuer: str | None = None,
    audience: str | None = None,
) -> str:
    """A token for `user` that is good for `lifetime` seconds.

    Raises:
        ValueError: `user` does not have the form of a user id.
    """
    if USER_ID.fullmatch(user) is None:
        raise ValueError("a user id is 1 to 128 of A-Z a-z 0-9 . _ : @ -")
    claims: dict[str, Any] = {"sub": user, "exp": int(time.time()) + lifetime}
    optional = {"scope": " ".join(scopes) or None, "iss": issuer, "aud": audience}
    claims |= {name: value for name, value in optional.items() if value is not None}
    return jwt.encode(claims, secret, algorithm="HS256")
