"""Rate limits, tokens for development, browsers, health, documents."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.servers.hansard import HansardServer
from tests.system.rest_support import done, people, refused, shown, strangers

SITE = "https://chat.example.org"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HansardServer]:
    """A server with windows so long that a test lies within one, and with a site of its own."""
    environ = {
        "HANSARD_RATE_WRITES": "6/hour",
        "HANSARD_RATE_READS": "4/hour",
        "HANSARD_RATE_UNAUTHENTICATED": "3/hour",
        "HANSARD_TRUSTED_PROXIES": "127.0.0.1",
        "HANSARD_CORS_ORIGINS": SITE,
        "HANSARD_JWT_SECRET": "a secret of the operator, long enough",
    }
    running = HansardServer(Path(tmp_path_factory.mktemp("strict")) / "data", environ).start()
    yield running
    running.stop()


class TestLimits:
    async def test_of_reads_and_writes_are_apart(self, strict: HansardServer) -> None:
        async with people(strict, "ann") as (ann,):
            for remaining in (3, 2, 1, 0):
                answer = await ann.get("/v1/me")
                shown(answer)
                assert answer.headers["ratelimit-policy"] == '"reads";q=4;w=3600'
                assert answer.headers["ratelimit"].startswith(f'"reads";r={remaining};t=')
            answer = await ann.get("/v1/me")
            refused(answer, "rate_limited")
            assert 0 < int(answer.headers["retry-after"]) <= 3600
            assert answer.headers["ratelimit"].startswith('"reads";r=0;')
            answer = await ann.put("/v1/me", json={"name": "Ann"})
            shown(answer)
            assert answer.headers["ratelimit-policy"] == '"writes";q=6;w=3600'

    async def test_come_with_problems_too(self, strict: HansardServer) -> None:
        async with people(strict, "ann") as (ann,):
            for answer in (
                await ann.get("/v1/chats/nothing"),
                await ann.put("/v1/me", content=b"nonsense"),
            ):
                assert answer.is_client_error
                assert answer.headers["ratelimit"]
                assert answer.headers["ratelimit-policy"]

    async def test_count_401_answers_by_address(self, strict: HansardServer) -> None:
        async with httpx.AsyncClient(base_url=strict.url, verify=False) as nobody:
            for address in ("203.0.113.7", "203.0.113.8"):
                headers = {"X-Forwarded-For": f"198.51.100.1, {address}"}
                for _ in range(3):
                    answer = await nobody.get("/v1/me", headers=headers)
                    refused(answer, "unauthenticated")
                    assert answer.headers["ratelimit-policy"].startswith('"unauthenticated"')
                answer = await nobody.get("/v1/me", headers=headers)
                refused(answer, "rate_limited")
                assert answer.headers["retry-after"]
            # A valid token is let in from there all the same.
            async with people(strict, "ann") as (ann,):
                shown(await ann.get("/v1/me", headers=headers))

    async def test_of_sends_grow_with_the_group(self, strict: HansardServer) -> None:
        async with strangers(strict, "ann") as (ann,):
            shown(await ann.put("/v1/me", json={"name": "Ann"}))
            chat = await ann.chat()
            at = f"/v1/chats/{chat}/messages"
            answer = await ann.post(at, json={"kind": "text", "content": "Hi"})
            assert answer.headers["ratelimit"].startswith('"writes";r=3;')
            answer = await ann.post(
                "/v1/chats/elsewhere/messages", json={"kind": "text", "content": "Hi"}
            )
            refused(answer, "chat_not_found")
            assert answer.headers["ratelimit"].startswith('"writes";r=2;')


class TestDevelopmentTokens:
    async def test_are_for_own_pages_only(self, fresh_server: HansardServer) -> None:
        async with httpx.AsyncClient(base_url=fresh_server.url, verify=False) as page:

            async def ask(user: str = "ann", **headers: str) -> httpx.Response:
                return await page.post("/v1/dev/token", json={"user": user}, headers=headers)

            token = shown(await ask(Origin=fresh_server.url))["token"]
            bearer = {"Authorization": f"Bearer {token}"}
            refused(await page.get("/v1/chats", headers=bearer), "not_registered")
            local = f"localhost:{fresh_server.port}"
            shown(await ask(Host=local, Origin=f"http://{local}"))
            refused(await ask(), "not_allowed")
            refused(await ask(Origin="null"), "not_allowed")
            refused(await ask(Origin=SITE), "not_allowed")
            refused(await ask(Origin=f"http://{local}"), "not_allowed")
            evil = f"evil.example:{fresh_server.port}"
            refused(await ask(Host=evil, Origin=f"http://{evil}"), "not_allowed")
            refused(await ask(Host="", Origin="http://"), "not_allowed")
            refused(await ask("a@b.c", Origin=fresh_server.url), "id_is_personal")
            refused(await ask("a b", Origin=fresh_server.url), "invalid_request")

    async def test_are_not_there_with_a_secret_of_the_operator(self, strict: HansardServer) -> None:
        async with httpx.AsyncClient(base_url=strict.url, verify=False) as page:
            answer = await page.post(
                "/v1/dev/token", json={"user": "ann"}, headers={"Origin": strict.url}
            )
            refused(answer, "not_found")


class TestBrowsers:
    async def test_of_the_site_are_let_in(self, strict: HansardServer) -> None:
        async with httpx.AsyncClient(base_url=strict.url, verify=False) as browser:
            preflight = await browser.options(
                "/v1/chats/x/messages",
                headers={
                    "Origin": SITE,
                    "Access-Control-Request-Method": "POST",
                    "Access-Control-Request-Headers": (
                        "authorization, content-type, idempotency-key, hansard-position"
                    ),
                },
            )
            assert preflight.status_code == 200
            assert preflight.headers["access-control-allow-origin"] == SITE
            answer = await browser.get("/v1/nothing", headers={"Origin": SITE})
            refused(answer, "not_found")
            assert answer.headers["access-control-allow-origin"] == SITE
            exposed = answer.headers["access-control-expose-headers"].split(", ")
            assert set(exposed) == {
                "Hansard-Position",
                "Idempotency-Key",
                "Idempotent-Replayed",
                "Retry-After",
                "RateLimit",
                "RateLimit-Policy",
                "Location",
            }
            assert "access-control-allow-credentials" not in answer.headers

    async def test_of_others_are_not(self, strict: HansardServer, server: HansardServer) -> None:
        for url in (strict.url, server.url):
            async with httpx.AsyncClient(base_url=url, verify=False) as browser:
                answer = await browser.get("/healthz", headers={"Origin": "https://evil.example"})
                assert "access-control-allow-origin" not in answer.headers


class TestHealth:
    async def test_is_shown_without_a_token(self, server: HansardServer) -> None:
        async with httpx.AsyncClient(base_url=server.url, verify=False) as operator:
            assert shown(await operator.get("/healthz")) == {"status": "ok"}
            ready = shown(await operator.get("/readyz"))
            assert (ready["status"], ready["stale_streams"]) == ("ready", 0)
            assert (await operator.head("/healthz")).status_code == 200

    async def test_is_measured(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            chat = await ann.chat()
            done(await ann.put(f"/v1/chats/{chat}/filing", json={"pinned": True}))
            await ann.get("/no/such/path")
            metrics = await ann.get("/metrics")
            found = {m.name: m for m in text_string_to_metric_families(metrics.text)}
            routes = {s.labels["route"] for s in found["hansard_http_answers"].samples}
            assert {"/v1/chats/{chat}/filing", "/v1/me", ""} <= routes
            assert not any(chat in route for route in routes)
            assert found["hansard_stale_streams"].samples[0].value == 0
            assert "hansard_projection_lag_seconds" in found
            assert ann.user not in metrics.text


class TestDocuments:
    async def test_are_served(self, server: HansardServer) -> None:
        async with httpx.AsyncClient(base_url=server.url, verify=False) as reader:
            assert shown(await reader.get("/openapi.json"))["openapi"] == "3.1.0"
            assert shown(await reader.get("/asyncapi.json"))["asyncapi"] == "3.0.0"
            docs = await reader.get("/docs")
            assert docs.status_code == 200
            assert "/openapi.json" in docs.text
