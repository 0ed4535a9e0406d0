"""Moderators and operators: suspending people, and deleting anywhere."""

import asyncio
import json
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.servers.audit import read_log
from tests.servers.clients import Connection, connected, opened
from tests.servers.hansard import UNLIMITED, HansardServer
from tests.system.import_support import hansard
from tests.system.rest_support import (
    Person,
    done,
    fields,
    people,
    refused,
    shown,
    strangers,
)
from tests.waiting import until

MODERATE = "hansard:moderate"
#: Within these seconds a suspension holds everywhere.
WITHIN = 5.0


def suspension(user: str) -> str:
    return f"/v1/moderation/users/{user}/suspension"


async def kept_out(person: Person, since: float) -> None:
    """Requests are refused in time, and stay so."""
    while (answer := await person.get("/v1/me")).status_code != 403:
        assert time.monotonic() - since < WITHIN
        await asyncio.sleep(0.05)
    refused(answer, "suspended")
    for method, path in (("GET", "/v1/chats"), ("PUT", "/v1/me"), ("GET", "/v1/me/blocks")):
        refused(await person.request(method, path, json={}), "suspended")


async def cut_off(connection: Connection) -> None:
    assert (await connection.closed())[0] == 4401
    assert connection.frames[-1]["op"] == "error"
    assert connection.frames[-1]["code"] == "suspended"


class TestSuspension:
    async def test_closes_every_way_in_within_five_seconds(self, server: HansardServer) -> None:
        async with AsyncExitStack() as stack:
            [ann, bob] = await stack.enter_async_context(people(server, "ann", "bob"))
            mod = await stack.enter_async_context(Person(server, "mod", MODERATE))
            chat = await ann.chat(bob)
            sockets = [await stack.enter_async_context(connected(server, ann.user)) for _ in "ab"]
            shown(await ann.get("/v1/me"))
            since = time.monotonic()
            done(await mod.post(suspension(ann.user), json={"reason": "spam"}))
            for socket in sockets:
                await cut_off(socket)
            assert time.monotonic() - since < WITHIN
            await kept_out(ann, since)
            async with opened(server) as late:
                await late.say("hello", token=server.token(ann.user))
                await cut_off(late)
            # Others see and do as before.
            await bob.say(chat, "still here")
            done(await mod.delete(suspension(ann.user)))
            assert await ann.contents(chat) == ["still here"]
            events = shown(await ann.get("/v1/me/events"))["items"]
            types = [(e["type"], e["actor"], e["data"]) for e in events[1:]]
            assert types == [
                ("user.suspended", mod.user, {"reason": "spam"}),
                ("user.resumed", mod.user, {}),
            ]

    async def test_twice_is_once(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,), Person(server, "mod", MODERATE) as mod:
            done(await mod.delete(suspension(ann.user)))
            key = {"Idempotency-Key": "k"}
            done(await mod.post(suspension(ann.user), json={}, headers=key))
            again = await mod.post(suspension(ann.user), json={}, headers=key)
            assert again.headers["idempotent-replayed"] == "true"
            done(await mod.post(suspension(ann.user), json={}))
            done(await mod.delete(suspension(ann.user)))
            events = shown(await ann.get("/v1/me/events"))["items"]
            assert [e["type"] for e in events[1:]] == ["user.suspended", "user.resumed"]

    async def test_takes_the_scope(self, server: HansardServer) -> None:
        async with (
            people(server, "ann", "bob") as (ann, bob),
            Person(server, "aud", "hansard:audit") as auditor,
        ):
            for one in (bob, auditor):
                refused(await one.post(suspension(ann.user), json={}), "not_allowed")
                refused(await one.delete(suspension(ann.user)), "not_allowed")
            shown(await ann.get("/v1/me"))

    async def test_of_nobody_and_with_wrong_bodies(self, server: HansardServer) -> None:
        async with (
            people(server, "ann") as (ann,),
            strangers(server, "eve") as (eve,),
            Person(server, "mod", MODERATE) as mod,
        ):
            for user in (eve.user, "no%20id"):
                refused(await mod.post(suspension(user), json={}), "user_not_found")
                refused(await mod.delete(suspension(user)), "user_not_found")
            wrong: list[tuple[Any, str]] = [
                ({"why": "x"}, "why"),
                ({"reason": 7}, "reason"),
                ({"reason": ""}, "reason"),
                ({"reason": "x" * 2049}, "reason"),
            ]
            for body, field in wrong:
                assert fields(await mod.post(suspension(ann.user), json=body)) == [field]

    async def test_holds_for_moderators_too(self, server: HansardServer) -> None:
        async with Person(server, "one", MODERATE) as one, Person(server, "two", MODERATE) as two:
            shown(await one.put("/v1/me", json={"name": "One"}))
            since = time.monotonic()
            done(await two.post(suspension(one.user), json={}))
            await kept_out(one, since)
            refused(await one.delete(suspension(one.user)), "suspended")


class TestTheTerminal:
    async def test_asks_the_server_that_runs(self, fresh_server: HansardServer) -> None:
        async with (
            people(fresh_server, "ann") as (ann,),
            connected(fresh_server, ann.user) as socket,
        ):
            environ = fresh_server.environ
            told = await asyncio.to_thread(
                hansard, environ, "suspend", ann.user, "--reason", "spam"
            )
            since = time.monotonic()
            assert told.stdout == f"{ann.user} is suspended\n"
            await cut_off(socket)
            await kept_out(ann, since)
            told = await asyncio.to_thread(hansard, environ, "resume", ann.user, "--json")
            assert json.loads(told.stdout) == {"user": ann.user, "suspended": False}
            shown(await ann.get("/v1/me"))
        fresh_server.stop()
        log = read_log(fresh_server.folder)
        noted = [(e["type"], e["data"]) for e in log["operators/terminal"]]
        assert noted == [
            ("suspension.ordered", {"user": ann.user}),
            ("suspension.lifted", {"user": ann.user}),
        ]

    async def test_closes_every_way_in_too(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,), connected(server, ann.user) as socket:
            await asyncio.to_thread(hansard, server.environ, "suspend", ann.user)
            since = time.monotonic()
            await cut_off(socket)
            await kept_out(ann, since)
            await asyncio.to_thread(hansard, server.environ, "resume", ann.user)

            async def let_in() -> bool:
                return (await ann.get("/v1/me")).status_code == 200

            await until(let_in)

    async def test_writes_itself_where_none_runs(self, fresh_server: HansardServer) -> None:
        async with people(fresh_server, "ann") as (ann,):
            fresh_server.stop()
            hansard(fresh_server.environ, "suspend", ann.user)
            fresh_server.start()
            refused(await ann.get("/v1/me"), "suspended")
            fresh_server.stop()
            hansard(fresh_server.environ, "resume", ann.user)
            fresh_server.start()
            shown(await ann.get("/v1/me"))

    @pytest.mark.parametrize("running", [True, False])
    def test_says_in_one_line_what_is_wrong(
        self, fresh_server: HansardServer, running: bool
    ) -> None:
        if not running:
            fresh_server.stop()
        ended = hansard(fresh_server.environ, "suspend", "nobody", code=2)
        assert ended.stderr == "hansard: nobody: There is no such user.\n"

    def test_finds_no_server_elsewhere(self, fresh_server: HansardServer) -> None:
        elsewhere = "http://127.0.0.1:9"
        ended = hansard(fresh_server.environ, "suspend", "ann", "--url", elsewhere, code=2)
        assert ended.stderr == f"hansard: no server answers at {elsewhere}\n"

    def test_needs_a_token_where_others_make_them(self, tmp_path: Path) -> None:
        home = HansardServer(tmp_path / "data", UNLIMITED)
        environ = home.environ | {"HANSARD_JWT_JWKS_URL": "https://id.example.org/keys"}
        ended = hansard(environ, "suspend", "ann", "--url", home.url, code=2)
        assert "--token" in ended.stderr


class TestDeletingAnywhere:
    async def test_leaves_a_record(self, fresh_server: HansardServer) -> None:
        async with (
            people(fresh_server, "ann", "bob") as (ann, bob),
            Person(fresh_server, "mod", MODERATE) as mod,
        ):
            chat = await ann.chat(bob, kind="direct", history="all")
            seq = (await ann.say(chat, "bad"))["seq"]
            path = f"/v1/chats/{chat}/messages/{seq}"
            key = {"Idempotency-Key": "k"}
            for _ in range(2):
                done(await mod.delete(path, params={"for": "everyone"}, headers=key))
            done(await mod.delete(path, params={"for": "everyone"}))
            assert await bob.contents(chat) == [None]
            refused(await mod.get(path), "not_registered")
            shown(await mod.put("/v1/me", json={"name": "Mod"}))
            refused(await mod.get(path), "chat_not_found")
            async with connected(fresh_server, mod.user, MODERATE) as socket:
                seq = (await ann.say(chat, "worse"))["seq"]
                ack = await socket.ask("delete", chat=chat, seq=seq, **{"for": "everyone"})
                assert ack["op"] == "ack"
            # An ack does not wait for the read models; a read with its position does.
            at = {"Hansard-Position": ack["position"]}
            shown(await bob.get(f"/v1/chats/{chat}", headers=at))
            assert await bob.contents(chat) == [None, None]
            fresh_server.stop()
            log = read_log(fresh_server.folder)
            assert [(e["type"], e["data"]["chat"]) for e in log[f"operators/{mod.user}"]] == [
                ("message.removed", chat)
            ] * 2
            deleted = [e for e in log[f"chats/{chat}"] if e["type"] == "message.deleted"]
            assert [e["actor"] for e in deleted] == [mod.user] * 2

    async def test_of_ones_own_is_nothing_special(self, fresh_server: HansardServer) -> None:
        async with (
            people(fresh_server, "ann") as (ann,),
            Person(fresh_server, "mod", MODERATE) as mod,
        ):
            shown(await mod.put("/v1/me", json={"name": "Mod"}))
            chat = await mod.chat(ann)
            for who in (mod, ann):
                seq = (await who.say(chat, "x"))["seq"]
                path = f"/v1/chats/{chat}/messages/{seq}"
                done(await mod.delete(path, params={"for": "everyone"}))
            fresh_server.stop()
            assert f"operators/{mod.user}" not in read_log(fresh_server.folder)

    async def test_takes_the_scope_and_a_message(self, server: HansardServer) -> None:
        async with (
            people(server, "ann", "bob", "eve") as (ann, bob, eve),
            Person(server, "mod", MODERATE) as mod,
        ):
            chat = await ann.chat(bob)
            seq = (await ann.say(chat, "x"))["seq"]
            everyone = {"for": "everyone"}
            path = f"/v1/chats/{chat}/messages"
            refused(await eve.delete(f"{path}/{seq}", params=everyone), "chat_not_found")
            refused(await bob.delete(f"{path}/{seq}", params=everyone), "not_allowed")
            refused(await mod.delete(f"{path}/1", params=everyone), "message_not_found")
            refused(await mod.delete(f"{path}/99", params=everyone), "message_not_found")
            nowhere = f"/v1/chats/nowhere/messages/{seq}"
            refused(await mod.delete(nowhere, params=everyone), "chat_not_found")
            refused(await mod.delete(f"{path}/{seq}", params={"for": "me"}), "chat_not_found")
            assert await bob.contents(chat) == ["x"]
