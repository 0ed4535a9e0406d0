import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.auth import (
    Authenticator,
    Principal,
    SharedSecret,
    Unauthenticated,
    bearer_token,
    mint,
)

SECRET = "a secret of enough bytes for HS256"
# Later than any run of the tests ends.
SOON = int(time.time()) + 86_400


def signed(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    given = {"sub": "ann", "exp": SOON} | claims
    return jwt.encode(
        {name: value for name, value in given.items() if value is not None}, secret, algorithm
    )


def forged(header: dict[str, str], claims: dict[str, Any], key: bytes | None) -> str:
    """A token put together by hand, as an attacker would, past the checks of the library."""

    def part(content: bytes) -> bytes:
        return base64.urlsafe_b64encode(content).rstrip(b"=")

    body = part(json.dumps(header).encode()) + b"." + part(json.dumps(claims).encode())
    tag = b"" if key is None else hmac.digest(key, body, hashlib.sha256)
    return (body + b"." + part(tag)).decode()


def authenticator(**options: Any) -> Authenticator:
    return Authenticator(SharedSecret(SECRET), **options)


async def refusal(token: str, **options: Any) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as caught:
        await authenticator(**options).authenticate(token)
    return caught.value


async def test_a_valid_token_names_its_user() -> None:
    assert await authenticator().authenticate(signed()) == Principal(
        user="ann", scopes=frozenset(), expires_at=SOON, email=None, email_verified=False
    )


async def test_claims_that_matter_are_kept() -> None:
    token = signed(scope="hansard:audit x", email="ann@example.org", email_verified=True)
    principal = await authenticator().authenticate(token)
    assert principal.scopes == {"hansard:audit", "x"}
    assert (principal.email, principal.email_verified) == ("ann@example.org", True)


async def test_claims_of_another_form_give_no_rights() -> None:
    token = signed(scope=["hansard:audit"], email=7, email_verified="true")
    principal = await authenticator().authenticate(token)
    assert principal.scopes == frozenset()
    assert (principal.email, principal.email_verified) == (None, False)


@pytest.mark.parametrize(
    "token",
    [
        signed(exp=int(time.time())),
        signed(exp=int(time.time()) - 3600),
        signed(exp=None),
        signed(exp="soon"),
        signed(exp=float("nan")),
        signed(nbf=SOON),
        signed(sub=None),
        signed("another secret of enough bytes too"),
        signed(SECRET * 2, "HS512"),
        signed()[:-2],
        signed() + ".x",
        forged({"alg": "none"}, {"sub": "ann", "exp": SOON}, None),
        forged({"alg": "None"}, {"sub": "ann", "exp": SOON}, SECRET.encode()),
        forged({}, {"sub": "ann", "exp": SOON}, SECRET.encode()),
        forged({"alg": "HS256"}, {"sub": 7, "exp": SOON}, SECRET.encode()),
        "",
        "x",
        "a.b.c",
        "é.é.é",
        "\ud800.\ud800.\ud800",
        "x" * 100_000,
    ],
)
async def test_a_wrong_token_is_401(token: str) -> None:
    error = await refusal(token)
    assert (error.status, error.code) == (401, "unauthenticated")
    assert error.headers == {"WWW-Authenticate": "Bearer"}


async def test_a_token_issued_by_a_faster_clock_is_good() -> None:
    assert (await authenticator().authenticate(signed(iat=SOON))).user == "ann"


async def test_an_end_of_time_beyond_the_calendar_is_cut() -> None:
    principal = await authenticator().authenticate(signed(exp=1e300))
    assert principal.expires_at == 253_402_300_799


@pytest.mark.parametrize("name", ["iss", "aud"])
async def test_issuer_and_audience_are_checked_when_configured(name: str) -> None:
    option = {"iss": "issuer", "aud": "audience"}[name]
    checks = {option: "https://id.example.org"}
    good = signed(**{name: "https://id.example.org"})
    assert (await authenticator(**checks).authenticate(good)).user == "ann"
    assert (await authenticator().authenticate(good)).user == "ann"
    for token in (signed(), signed(**{name: "https://evil.example.org"})):
        assert (await refusal(token, **checks)).code == "unauthenticated"


@pytest.mark.parametrize("user", ["", "a b", "a/b", "a\n", "ü", "a" * 129, "a\0"])
async def test_a_user_id_of_another_form_is_401(user: str) -> None:
    assert (await refusal(signed(sub=user))).status == 401


@pytest.mark.parametrize("user", ["a", "A.b_c:d-9", "a" * 128])
async def test_user_ids(user: str) -> None:
    assert (await authenticator().authenticate(signed(sub=user))).user == user


async def test_an_address_is_refused_unless_allowed() -> None:
    token = signed(sub="ann@example.org")
    error = await refusal(token)
    assert (error.status, error.code, error.headers) == (422, "id_is_personal", {})
    allowed = await authenticator(allow_address_ids=True).authenticate(token)
    assert allowed.user == "ann@example.org"


class PublicKeys:
    """The keys of someone who publishes one, without the fetching."""

    def __init__(self, key: jwt.PyJWK) -> None:
        self.algorithms = ["RS256", "ES256"]
        self.lasting = False
        self._key = key

    async def key_for(self, _: str) -> jwt.PyJWK:
        return self._key

    async def aclose(self) -> None:
        pass


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
async def test_a_public_key_is_no_secret(algorithm: str) -> None:
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    if algorithm == "RS256":
        private = rsa.generate_private_key(65537, 2048)
        document = jwt.algorithms.RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
    else:
        private = ec.generate_private_key(ec.SECP256R1())
        document = jwt.algorithms.ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
    checker = Authenticator(PublicKeys(jwt.PyJWK(document)))
    claims = {"sub": "ann", "exp": SOON}
    assert (await checker.authenticate(jwt.encode(claims, private, algorithm))).user == "ann"

    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    confused = forged({"alg": "HS256"}, claims, pem)
    relabelled = forged({"alg": "ES256" if algorithm == "RS256" else "RS256"}, claims, pem)
    unsigned = forged({"alg": "none"}, claims, None)
    for token in (confused, relabelled, unsigned):
        with pytest.raises(Unauthenticated):
            await checker.authenticate(token)


async def test_a_shared_secret_takes_no_asymmetric_token() -> None:
    token = jwt.encode({"sub": "ann", "exp": SOON}, rsa.generate_private_key(65537, 2048), "RS256")
    assert (await refusal(token)).detail == "The token is signed with another algorithm."


async def test_a_remembered_token_ends_at_its_time() -> None:
    now = time.time()
    checker = Authenticator(SharedSecret(SECRET), clock=lambda: now)
    token = signed()
    first = await checker.authenticate(token)
    assert await checker.authenticate(token) is first
    now = SOON
    with pytest.raises(Unauthenticated, match="expired"):
        await checker.authenticate(token)


async def test_a_refused_token_is_not_remembered() -> None:
    checker = authenticator()
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            await checker.authenticate(signed("another secret of enough bytes too"))


async def test_of_too_many_tokens_the_least_used_is_forgotten() -> None:
    checker = authenticator(remembered_tokens=2)
    ann, bob, eve = (signed(sub=user) for user in ("ann", "bob", "eve"))
    first_ann, first_bob = [await checker.authenticate(token) for token in (ann, bob)]
    assert await checker.authenticate(ann) is first_ann
    await checker.authenticate(eve)
    assert await checker.authenticate(ann) is first_ann
    assert await checker.authenticate(bob) is not first_bob


def test_a_short_secret_is_reported() -> None:
    with structlog.testing.capture_logs() as logs:
        SharedSecret("short")
    assert [entry["event"] for entry in logs] == ["jwt_secret_too_short"]
    assert "short" not in str({**logs[0], "event": ""})


async def test_a_minted_token_is_good() -> None:
    token = mint(SECRET, "ann", 60, scopes=["hansard:audit"], issuer="me", audience="us")
    checker = authenticator(issuer="me", audience="us")
    principal = await checker.authenticate(token)
    assert (principal.user, principal.scopes) == ("ann", frozenset({"hansard:audit"}))
    assert time.time() < principal.expires_at <= time.time() + 60


@pytest.mark.parametrize("user", ["", "a b"])
def test_a_token_for_nobody_is_not_minted(user: str) -> None:
    with pytest.raises(ValueError, match="a user id is"):
        mint(SECRET, user, 60)


@pytest.mark.parametrize("header", ["Bearer abc", "bearer abc", "BEARER   abc "])
def test_the_token_of_a_header(header: str) -> None:
    assert bearer_token(header) == "abc"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "abc"])
def test_a_header_without_a_token(header: str | None) -> None:
    with pytest.raises(Unauthenticated) as caught:
        bearer_token(header)
    assert caught.value.status == 401
