"""Who asks: tokens, registration, profiles."""

import time
from typing import Any

import httpx
import jwt
import pytest

from tests.servers.hansard import HansardServer
from tests.system.rest_support import Person, fields, people, refused, shown, strangers

SECRET_OF_NOBODY = "x" * 40


def signed(claims: dict[str, Any], secret: str = SECRET_OF_NOBODY, algorithm: str = "HS256") -> str:
    return jwt.encode(claims, secret, algorithm=algorithm)


async def with_token(person: Person, token: str) -> httpx.Response:
    return await person.get("/v1/me", headers={"Authorization": f"Bearer {token}"})


class TestTokens:
    async def test_without_one_every_resource_is_closed(self, server: HansardServer) -> None:
        async with httpx.AsyncClient(base_url=server.url, verify=False) as nobody:
            for path in ("/v1/me", "/v1/chats", "/v1/users/x", "/v1/search/users?q=ab"):
                answer = await nobody.get(path)
                refused(answer, "unauthenticated")
                assert answer.headers["www-authenticate"] == "Bearer"

    @pytest.mark.parametrize(
        "header", ["", "Bearer", "Basic YTpi", "Bearer a b", f"Bearer {'x' * 20_000}"]
    )
    async def test_that_is_none_is_401(self, server: HansardServer, header: str) -> None:
        async with strangers(server, "ann") as (ann,):
            refused(await ann.get("/v1/me", headers={"Authorization": header}), "unauthenticated")

    async def test_of_another_secret_is_401(self, server: HansardServer) -> None:
        async with strangers(server, "ann") as (ann,):
            forged = signed({"sub": ann.user, "exp": time.time() + 600})
            refused(await with_token(ann, forged), "unauthenticated")

    async def test_without_a_signature_is_401(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            unsigned = signed({"sub": ann.user, "exp": time.time() + 600}, "", "none")
            refused(await with_token(ann, unsigned), "unauthenticated")
            header, claims, _ = server.token(ann.user).split(".")
            refused(await with_token(ann, f"{header}.{claims}."), "unauthenticated")

    async def test_that_has_expired_is_401(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            expired = server.token(ann.user, -1)
            refused(await with_token(ann, expired), "unauthenticated")

    async def test_without_an_end_is_401(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            endless = signed({"sub": ann.user}, server.secret().strip())
            refused(await with_token(ann, endless), "unauthenticated")

    @pytest.mark.parametrize("sub", ["", "a b", "ä", "a/b", "a" * 129, "a\n", "a\0"])
    async def test_of_no_user_id_is_401(self, server: HansardServer, sub: str) -> None:
        async with strangers(server, "ann") as (ann,):
            token = signed({"sub": sub, "exp": time.time() + 600}, server.secret().strip())
            refused(await with_token(ann, token), "unauthenticated")

    async def test_of_an_address_is_422(self, server: HansardServer) -> None:
        async with strangers(server, "ann") as (ann,):
            token = signed({"sub": "a@b.c", "exp": time.time() + 600}, server.secret().strip())
            refused(await with_token(ann, token), "id_is_personal")


class TestRegistration:
    async def test_comes_before_everything_else(self, server: HansardServer) -> None:
        async with strangers(server, "ann") as (ann,):
            refused(await ann.get("/v1/me"), "not_registered")
            refused(await ann.get("/v1/chats"), "not_registered")
            refused(await ann.post("/v1/chats", content=b"nonsense"), "not_registered")
            assert fields(await ann.put("/v1/me", json={})) == ["name"]
            shown(await ann.put("/v1/me", json={"name": "Ann"}))
            assert shown(await ann.get("/v1/chats"))["items"] == []

    async def test_gives_the_profile(self, server: HansardServer) -> None:
        async with strangers(server, "ann") as (ann,):
            body = {"name": "Ann", "email": "ann@example.org"}
            made = await ann.put("/v1/me", json=body)
            profile = shown(made)
            registered_at = profile["registered_at"]
            assert profile == {
                "id": ann.user,
                "name": "Ann",
                "avatar": None,
                "registered_at": registered_at,
                "email": "ann@example.org",
            }
            assert made.headers["hansard-position"]
            assert shown(await ann.get("/v1/me")) == profile


class TestProfile:
    async def test_fields_left_out_stay_and_null_clears(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            shown(await ann.put("/v1/me", json={"email": "ann@example.org"}))
            profile = shown(await ann.put("/v1/me", json={"name": "Anna"}))
            assert (profile["name"], profile["email"]) == ("Anna", "ann@example.org")
            assert shown(await ann.put("/v1/me", json={"email": None}))["email"] is None

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"name": None}, "name"),
            ({"name": ""}, "name"),
            ({"name": "x" * 129}, "name"),
            ({"name": 1}, "name"),
            ({"name": ["x"]}, "name"),
            ({"name": "a\0b"}, "body"),
            ({"email": "no address"}, "email"),
            ({"email": "x" * 250 + "@b.org"}, "email"),
            ({"avatar": "a b"}, "avatar"),
            ({"id": "another"}, "id"),
            ({"name": "Ann", "admin": True}, "admin"),
        ],
    )
    async def test_wrong_fields_are_named(
        self, server: HansardServer, body: dict[str, Any], field: str
    ) -> None:
        async with people(server, "ann") as (ann,):
            assert fields(await ann.put("/v1/me", json=body)) == [field]

    async def test_an_avatar_is_an_own_image(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            problem = refused(
                await ann.put("/v1/me", json={"avatar": "no-such"}), "media_not_found", 422
            )
            assert problem["errors"][0]["field"] == "avatar"


class TestUsers:
    async def test_are_shown_without_their_address(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            shown(await bob.put("/v1/me", json={"email": "bob@example.org"}))
            seen = shown(await ann.get(f"/v1/users/{bob.user}"))
            assert seen["name"] == "bob"
            assert "email" not in seen

    async def test_who_are_none_are_404(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            for user in ("nobody", "a%20b", "%00", "x" * 200, "%ff"):
                refused(await ann.get(f"/v1/users/{user}"), "user_not_found")

    async def test_come_in_the_order_asked_for(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            ids = ",".join((bob.user, "nobody", ann.user, bob.user))
            found = shown(await ann.get("/v1/users", params={"ids": ids}))
            assert [one["id"] for one in found["items"]] == [bob.user, ann.user]
            assert found["next"] is None

    async def test_are_asked_for_at_most_100_at_once(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            assert fields(await ann.get("/v1/users")) == ["ids"]
            hundred = ",".join(f"u{n}" for n in range(100))
            assert shown(await ann.get("/v1/users", params={"ids": hundred}))["items"] == []
            assert fields(await ann.get("/v1/users", params={"ids": f"{hundred},u"})) == ["ids"]
