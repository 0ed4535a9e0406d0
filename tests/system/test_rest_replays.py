"""Requests made again, positions, cursors."""

import asyncio
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.servers.hansard import HansardServer
from tests.system.rest_support import Person, done, fields, people, refused, shown

HELLO = {"kind": "text", "content": "Hello"}


def key() -> dict[str, str]:
    return {"Idempotency-Key": uuid4().hex}


def same(first: httpx.Response, again: httpx.Response) -> None:
    """A repeated request answers as the first did, and says that it was repeated."""
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.status_code == first.status_code
    assert again.content == first.content
    for header in ("idempotency-key", "hansard-position", "location"):
        assert again.headers.get(header) == first.headers.get(header)


class TestKeys:
    async def test_are_given_back_and_made(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            given = await ann.put("/v1/me", json={}, headers={"Idempotency-Key": "my-key"})
            assert given.headers["idempotency-key"] == "my-key"
            made = [await ann.put("/v1/me", json={"name": "Ann"}) for _ in range(2)]
            keys = {answer.headers["idempotency-key"] for answer in made}
            assert len(keys) == 2
            refused_one = await ann.put("/v1/me", json={"name": 1})
            assert refused_one.headers["idempotency-key"]

    @pytest.mark.parametrize("wrong", ["", "x" * 256, "a b", "ä"])
    async def test_are_visible_ascii(self, server: HansardServer, wrong: str) -> None:
        async with people(server, "ann") as (ann,):
            headers = {b"Idempotency-Key": wrong.encode("latin-1")}
            answer = await ann.request("PUT", "/v1/me", json={}, headers=headers)
            assert fields(answer) == ["Idempotency-Key"]

    async def test_of_the_largest_size_are_taken(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            headers = {"Idempotency-Key": "~" * 255}
            shown(await ann.put("/v1/me", json={"name": "Ann"}, headers=headers))

    async def test_repeat_every_kind_of_write(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat()
            at = f"/v1/chats/{chat}"
            one = f"{at}/messages/{(await ann.say(chat, 'Hi'))['seq']}"
            group = {"kind": "group", "members": [bob.user]}
            direct = {"kind": "direct", "members": [bob.user]}
            writes: list[tuple[str, str, object]] = [
                ("PUT", "/v1/me", {"name": "Anna"}),
                ("POST", "/v1/chats", group),
                ("POST", "/v1/chats", direct),
                ("PATCH", at, {"name": "Other"}),
                ("POST", f"{at}/members", {"users": [bob.user]}),
                ("PUT", f"{at}/members/{bob.user}", {"role": "admin"}),
                ("PUT", f"{at}/filing", {"pinned": True}),
                ("POST", f"{at}/messages", HELLO),
                ("PATCH", one, {"content": "Ho"}),
                ("PUT", f"{one}/reaction", {"emoji": "👍"}),
                ("DELETE", f"{one}/reaction", None),
                ("DELETE", f"{one}?for=me", None),
                ("DELETE", f"{one}?for=everyone", None),
                ("DELETE", f"{at}/members/{bob.user}", None),
            ]
            for method, path, body in writes:
                headers = key()
                first = await ann.request(method, path, json=body, headers=headers)
                assert first.is_success, first.text
                same(first, await ann.request(method, path, json=body, headers=headers))
            assert len(await ann.inbox()) == 3

    async def test_repeat_refusals(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob)
            headers = key()
            first = await bob.patch(f"/v1/chats/{chat}", json={"name": "x"}, headers=headers)
            refused(first, "not_allowed")
            again = await bob.patch(f"/v1/chats/{chat}", json={"name": "x"}, headers=headers)
            same(first, again)

    async def test_hold_whatever_has_become_of_what_was_checked(
        self, server: HansardServer
    ) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob)
            seq = (await ann.say(chat, "Hi"))["seq"]
            at = f"/v1/chats/{chat}"
            hides, files = key(), key()
            first = await bob.delete(f"{at}/messages/{seq}", params={"for": "me"}, headers=hides)
            filed = await bob.put(f"{at}/filing", json={"pinned": True}, headers=files)
            done(await bob.delete(f"{at}/members/{bob.user}"))
            same(
                first,
                await bob.delete(f"{at}/messages/{seq}", params={"for": "me"}, headers=hides),
            )
            same(filed, await bob.put(f"{at}/filing", json={"pinned": True}, headers=files))

    async def test_are_good_for_one_request(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob)
            at = f"/v1/chats/{chat}/messages"
            headers = key()
            shown(await ann.post(at, json=HELLO, headers=headers), 201)
            other = HELLO | {"content": "Bye"}
            refused(await ann.post(at, json=other, headers=headers), "idempotency_key_reused")
            # Someone else's key, and another chat's, are other keys.
            shown(await bob.post(at, json=other, headers=headers), 201)
            elsewhere = f"/v1/chats/{await ann.chat()}/messages"
            shown(await ann.post(elsewhere, json=other, headers=headers), 201)
            assert await ann.contents(chat) == ["Hello", "Bye"]

    async def test_make_one_of_many_at_once(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            chat = await ann.chat()
            headers = key()
            at = f"/v1/chats/{chat}/messages"
            answers = await asyncio.gather(
                *(ann.post(at, json=HELLO, headers=headers) for _ in range(10))
            )
            assert len({shown(answer, 201)["seq"] for answer in answers}) == 1
            assert await ann.contents(chat) == ["Hello"]

    async def test_outlive_a_crash(self, tmp_path: Path) -> None:
        server = HansardServer(tmp_path / "data").start()
        try:
            async with people(server, "ann", "bob") as (ann, bob):
                chat = await ann.chat(bob)
                keys = key(), key(), key()
                group = {"kind": "group", "members": [bob.user], "name": "Another"}
                at = f"/v1/chats/{chat}"
                before = (
                    await ann.post(f"{at}/messages", json=HELLO, headers=keys[0]),
                    await ann.post("/v1/chats", json=group, headers=keys[1]),
                    await bob.patch(at, json={"name": "x"}, headers=keys[2]),
                )
                page = shown(await ann.get("/v1/chats", params={"limit": 1}))
                position = before[0].headers["hansard-position"]
                server.kill()
                server.start()
                after = (
                    await ann.post(f"{at}/messages", json=HELLO, headers=keys[0]),
                    await ann.post("/v1/chats", json=group, headers=keys[1]),
                    await bob.patch(at, json={"name": "x"}, headers=keys[2]),
                )
                for first, again in zip(before, after, strict=True):
                    same(first, again)
                # Positions and cursors stay good, too.
                read = await bob.get(at, headers={"Hansard-Position": position})
                assert shown(read)["id"] == chat
                rest = await ann.get("/v1/chats", params={"limit": 1, "cursor": page["next"]})
                assert [row["chat"]["id"] for row in shown(rest)["items"]] == [chat]
        finally:
            server.stop()


class TestPositions:
    async def test_come_with_writes_and_are_taken_by_reads(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob)
            at = f"/v1/chats/{chat}/messages"
            positions = [
                (await ann.post(at, json=HELLO)).headers["hansard-position"] for _ in range(16)
            ]
            read = await bob.get(at, headers={"Hansard-Position": ", ".join(positions)})
            assert len([m for m in shown(read)["items"] if m["kind"] == "text"]) == 16
            refused(
                await bob.get(
                    at, headers={"Hansard-Position": ",".join([*positions, positions[0]])}
                ),
                "bad_position",
            )

    @pytest.mark.parametrize("position", ["x", "AAAA", "ä", "x,y", "=" * 100, "a" * 5000])
    async def test_that_were_made_up_are_400(self, server: HansardServer, position: str) -> None:
        async with people(server, "ann") as (ann,):
            headers = {b"Hansard-Position": position.encode()}
            refused(await ann.get("/v1/me", headers=headers), "bad_position")
            refused(await ann.request("PUT", "/v1/me", json={}, headers=headers), "bad_position")

    async def test_of_another_log_are_400(self, server: HansardServer, tmp_path: Path) -> None:
        other = HansardServer(tmp_path / "data").start()
        try:
            async with people(other, "eve") as (eve,):
                position = (await eve.put("/v1/me", json={"name": "E"})).headers["hansard-position"]
        finally:
            other.stop()
        async with people(server, "ann") as (ann,):
            headers = {"Hansard-Position": position}
            refused(await ann.get("/v1/me", headers=headers), "bad_position")

    async def test_are_not_given_with_refusals(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat()
            answer = await bob.post(f"/v1/chats/{chat}/messages", json=HELLO)
            refused(answer, "chat_not_found")
            assert "hansard-position" not in answer.headers


class TestCursors:
    async def test_are_for_one_user_and_query(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chats = [await ann.chat(bob) for _ in range(2)]
            cursor = shown(await ann.get("/v1/chats", params={"limit": 1}))["next"]

            async def wrong(person: Person, path: str, **query: str) -> None:
                answer = await person.get(path, params={"cursor": cursor, **query})
                assert fields(answer) == ["cursor"]

            await wrong(bob, "/v1/chats")
            await wrong(ann, "/v1/chats", archived="false")
            await wrong(ann, f"/v1/chats/{chats[0]}/members")
            await wrong(ann, "/v1/search/messages", q="zebra")
            shown(await ann.get("/v1/chats", params={"cursor": cursor}))

    @pytest.mark.parametrize("cursor", ["", "x", "AAAA", "bnVsbA", "ä", "a" * 5000])
    async def test_that_were_made_up_are_422(self, server: HansardServer, cursor: str) -> None:
        async with people(server, "ann") as (ann,):
            chat = await ann.chat()
            for path in ("/v1/chats", f"/v1/chats/{chat}/members"):
                assert fields(await ann.get(path, params={"cursor": cursor})) == ["cursor"]
