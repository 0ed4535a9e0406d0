"""Tokens checked by the keys of a real JWKS endpoint."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gateway.auth import (
    JWKS_FRESH_SECONDS,
    JWKS_PAUSE_SECONDS,
    Authenticator,
    JwksKeys,
    Unauthenticated,
)
from gateway.problems import Problem

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Issuer:
    """Publishes what stands in `answer`, and counts how often it was asked."""

    def __init__(self) -> None:
        self.answer = b'{"keys": []}'
        self.status = 200
        self.asked = 0
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                self.send_response(issuer.status)
                self.send_header("Content-Length", str(len(issuer.answer)))
                self.end_headers()
                self.wfile.write(issuer.answer)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"

    def publish(self, *documents: dict[str, Any]) -> None:
        self.answer = json.dumps({"keys": documents}).encode()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


RSA_KEY, OTHER_RSA_KEY = (rsa.generate_private_key(65537, 2048) for _ in range(2))
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def published(key: Key, kid: str | None, **members: Any) -> dict[str, Any]:
    document: dict[str, Any]
    if isinstance(key, rsa.RSAPrivateKey):
        document = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        document = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return document | ({} if kid is None else {"kid": kid}) | members


def signed(key: Key, kid: str | None, algorithm: str | None = None) -> str:
    default = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    claims = {"sub": "ann", "exp": int(time.time()) + 600}
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode(claims, key, algorithm or default, headers=headers)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def checker(issuer: Issuer, clock: Clock) -> AsyncIterator[Authenticator]:
    checker = Authenticator(JwksKeys(issuer.url, clock=clock))
    yield checker
    await checker.aclose()


async def refused(checker: Authenticator, token: str) -> Problem:
    with structlog.testing.capture_logs(), pytest.raises(Problem) as caught:
        await checker.authenticate(token)
    return caught.value


async def test_both_algorithms(checker: Authenticator, issuer: Issuer) -> None:
    issuer.publish(published(RSA_KEY, "r"), published(EC_KEY, "e"))
    assert (await checker.authenticate(signed(RSA_KEY, "r"))).user == "ann"
    assert (await checker.authenticate(signed(EC_KEY, "e"))).user == "ann"
    assert issuer.asked == 1


async def test_many_first_requests_ask_once(checker: Authenticator, issuer: Issuer) -> None:
    issuer.publish(published(RSA_KEY, "r"))
    token = signed(RSA_KEY, "r")
    await asyncio.gather(*(checker.authenticate(token) for _ in range(20)))
    assert issuer.asked == 1


async def test_rotation(checker: Authenticator, issuer: Issuer, clock: Clock) -> None:
    issuer.publish(published(RSA_KEY, "old"))
    old, new = signed(RSA_KEY, "old"), signed(OTHER_RSA_KEY, "new")
    await checker.authenticate(old)

    issuer.publish(published(OTHER_RSA_KEY, "new"))
    assert isinstance(await refused(checker, new), Unauthenticated)
    assert issuer.asked == 1  # an unknown key id asks again only after a pause

    clock.now += JWKS_PAUSE_SECONDS
    assert (await checker.authenticate(new)).user == "ann"
    assert issuer.asked == 2
    assert isinstance(await refused(checker, old), Unauthenticated)


async def test_a_withdrawn_key_is_noticed_when_the_keys_are_old(
    checker: Authenticator, issuer: Issuer, clock: Clock
) -> None:
    issuer.publish(published(RSA_KEY, "old"))
    token = signed(RSA_KEY, "old")
    await checker.authenticate(token)
    issuer.publish(published(OTHER_RSA_KEY, "new"))

    clock.now += JWKS_FRESH_SECONDS - 1
    await checker.authenticate(token)
    assert issuer.asked == 1
    clock.now += 1
    assert isinstance(await refused(checker, token), Unauthenticated)


@pytest.mark.parametrize(
    ("status", "answer"),
    [(500, b""), (200, b"not json"), (200, b"[]"), (200, b'{"keys": []}'), (200, b'{"keys": 7}')],
)
async def test_without_keys_nobody_can_be_told(
    checker: Authenticator, issuer: Issuer, clock: Clock, status: int, answer: bytes
) -> None:
    issuer.status, issuer.answer = status, answer
    token = signed(RSA_KEY, "r")
    problem = await refused(checker, token)
    assert (problem.status, problem.code) == (503, "unavailable")
    assert problem.headers == {"Retry-After": "10"}
    assert (await refused(checker, token)).code == "unavailable"
    assert issuer.asked == 1

    issuer.status = 200
    issuer.publish(published(RSA_KEY, "r"))
    clock.now += JWKS_PAUSE_SECONDS
    assert (await checker.authenticate(token)).user == "ann"


async def test_an_unreachable_endpoint(clock: Clock) -> None:
    issuer = Issuer()
    issuer.close()
    checker = Authenticator(JwksKeys(issuer.url, clock=clock))
    assert (await refused(checker, signed(RSA_KEY, "r"))).code == "unavailable"
    await checker.aclose()


async def test_known_keys_stay_good_while_the_endpoint_is_away(
    checker: Authenticator, issuer: Issuer, clock: Clock
) -> None:
    issuer.publish(published(RSA_KEY, "r"))
    await checker.authenticate(signed(RSA_KEY, "r"))
    issuer.status = 503
    clock.now += JWKS_FRESH_SECONDS
    with structlog.testing.capture_logs() as logs:
        assert (await checker.authenticate(signed(RSA_KEY, "r"))).user == "ann"
    assert [entry["event"] for entry in logs] == ["jwks_fetch_failed"]
    assert (await refused(checker, signed(OTHER_RSA_KEY, "x"))).code == "unavailable"


async def test_a_token_without_a_key_id_means_the_only_key(
    checker: Authenticator, issuer: Issuer, clock: Clock
) -> None:
    issuer.publish(published(RSA_KEY, None))
    assert (await checker.authenticate(signed(RSA_KEY, None))).user == "ann"
    issuer.publish(published(RSA_KEY, "a"), published(OTHER_RSA_KEY, "b"))
    clock.now += JWKS_FRESH_SECONDS
    assert isinstance(await refused(checker, signed(RSA_KEY, None)), Unauthenticated)


@pytest.mark.parametrize(
    ("document", "algorithm"),
    [
        (published(RSA_KEY, "k", use="enc"), "RS256"),
        (published(RSA_KEY, "k", alg="RS512"), "RS512"),
        (published(RSA_KEY, "k"), "RS512"),
        (published(RSA_KEY, "k"), "PS256"),
    ],
)
async def test_keys_and_algorithms_that_do_not_count(
    checker: Authenticator, issuer: Issuer, document: dict[str, Any], algorithm: str
) -> None:
    issuer.publish(document)
    assert isinstance(await refused(checker, signed(RSA_KEY, "k", algorithm)), Unauthenticated)


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_a_key_that_is_too_short_does_not_count(
    checker: Authenticator, issuer: Issuer
) -> None:
    weak = rsa.generate_private_key(65537, 1024)
    issuer.publish(published(weak, "k"))
    assert isinstance(await refused(checker, signed(weak, "k")), Unauthenticated)


async def test_a_published_secret_does_not_count(checker: Authenticator, issuer: Issuer) -> None:
    secret = "c2VjcmV0IGVub3VnaCBieXRlcyBmb3IgYSBIUzI1NiBrZXk"
    issuer.publish({"kty": "oct", "kid": "k", "k": secret})
    token = jwt.encode(
        {"sub": "ann", "exp": int(time.time()) + 600},
        jwt.PyJWK({"kty": "oct", "k": secret}),
        "HS256",
        headers={"kid": "k"},
    )
    assert isinstance(await refused(checker, token), Unauthenticated)


@pytest.mark.parametrize("token", ["", "x", "a.b.c"])
async def test_what_is_no_token_asks_nobody(
    checker: Authenticator, issuer: Issuer, token: str
) -> None:
    assert isinstance(await refused(checker, token), Unauthenticated)
    assert issuer.asked == 0
