"""Reports of messages: who makes them, and who is shown what of them."""

import pytest

from tests.servers.audit import read_log
from tests.servers.hansard import HansardServer
from tests.system.rest_support import Person, done, fields, people, refused, shown

MODERATE = "hansard:moderate"


async def report(person: Person, chat: str, seq: int, reason: str = "It is rude.") -> None:
    path = f"/v1/chats/{chat}/messages/{seq}/report"
    answer = await person.post(path, json={"reason": reason})
    assert (answer.status_code, answer.content) == (202, b"")


class TestReporting:
    async def test_reaches_moderators_and_admins(self, server: HansardServer) -> None:
        async with (
            people(server, "ann", "bob", "cid") as (ann, bob, cid),
            Person(server, "mod", MODERATE) as mod,
        ):
            chat = await ann.chat(bob, cid)
            seq = (await bob.say(chat, "rude"))["seq"]
            await report(cid, chat, seq)
            [item] = shown(await ann.get(f"/v1/chats/{chat}/reports"))["items"]
            assert item.pop("reported_at").endswith("Z")
            expected = {"chat": chat, "seq": seq, "sender": bob.user, "reason": "It is rude."}
            assert item == expected
            assert cid.user not in (await ann.get(f"/v1/chats/{chat}/reports")).text
            items = shown(await mod.get("/v1/audit/reports"))["items"]
            [full] = [item for item in items if item["chat"] == chat]
            assert (full["reporter"], full["reason"]) == (cid.user, "It is rude.")
            assert full["message"]["content"] == "rude"
            assert full["message"]["sender"] == bob.user
            # What was deleted since then is shown to nobody here.
            done(await bob.delete(f"/v1/chats/{chat}/messages/{seq}", params={"for": "everyone"}))
            items = shown(await mod.get("/v1/audit/reports"))["items"]
            [full] = [item for item in items if item["chat"] == chat]
            assert full["message"]["content"] is None
            assert full["message"]["deleted_at"]

    async def test_twice_is_once(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob)
            seq = (await bob.say(chat, "rude"))["seq"]
            await report(ann, chat, seq, "first")
            await report(ann, chat, seq, "second")
            items = shown(await ann.get(f"/v1/chats/{chat}/reports"))["items"]
            assert [item["reason"] for item in items] == ["first"]
            feed = shown(await ann.get("/v1/me/events"))["items"]
            told = [e["data"] for e in feed if e["type"] == "message.reported"]
            assert told == [{"chat": chat, "message": seq, "reason": "first"}]

    async def test_needs_a_message_that_one_sees(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob", "eve") as (ann, bob, eve):
            chat = await ann.chat(bob)
            seq = (await bob.say(chat, "rude"))["seq"]
            why = {"reason": "x"}
            path = f"/v1/chats/{chat}/messages"
            refused(await eve.post(f"{path}/{seq}/report", json=why), "chat_not_found")
            for nothing in (1, 99):
                answer = await ann.post(f"{path}/{nothing}/report", json=why)
                refused(answer, "message_not_found")
            done(await ann.delete(f"{path}/{seq}", params={"for": "me"}))
            refused(await ann.post(f"{path}/{seq}/report", json=why), "message_not_found")

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "reason"),
            ({"reason": None}, "reason"),
            ({"reason": ""}, "reason"),
            ({"reason": "x" * 2049}, "reason"),
            ({"reason": "x", "more": 1}, "more"),
            ([], "body"),
        ],
    )
    async def test_wrong_bodies(self, server: HansardServer, body: object, field: str) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob)
            seq = (await bob.say(chat, "rude"))["seq"]
            answer = await ann.post(f"/v1/chats/{chat}/messages/{seq}/report", json=body)
            assert fields(answer) == [field]

    async def test_the_reason_is_sealed(self, fresh_server: HansardServer) -> None:
        async with people(fresh_server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob)
            seq = (await bob.say(chat, "rude"))["seq"]
            await report(ann, chat, seq, "in confidence")
            fresh_server.stop()
            [event] = [
                e
                for e in read_log(fresh_server.folder)[f"users/{ann.user}"]
                if e["type"] == "message.reported"
            ]
            assert event["data"]["reason"]["sealed"] == f"users/{ann.user}"


class TestAdmins:
    async def test_are_not_shown_reports_of_their_own(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob", "cid") as (ann, bob, cid):
            chat = await ann.chat(bob, cid)
            path = f"/v1/chats/{chat}"
            shown(await ann.put(f"{path}/members/{bob.user}", json={"role": "admin"}))
            seqs = [(await one.say(chat, "rude"))["seq"] for one in (ann, bob, cid)]
            for seq in seqs:
                await report(cid, chat, seq)
            for admin, sees in ((ann, seqs[1:]), (bob, [seqs[0], seqs[2]])):
                items = shown(await admin.get(f"{path}/reports"))["items"]
                assert [item["seq"] for item in items] == sees[::-1]
            page = shown(await ann.get(f"{path}/reports", params={"limit": 1}))
            assert [item["seq"] for item in page["items"]] == [seqs[2]]
            rest = shown(await ann.get(f"{path}/reports", params={"cursor": page["next"]}))
            assert ([item["seq"] for item in rest["items"]], rest["next"]) == ([seqs[1]], None)

    async def test_alone_are_shown_them(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob", "eve") as (ann, bob, eve):
            group, direct = await ann.chat(bob), await ann.chat(bob, kind="direct")
            refused(await bob.get(f"/v1/chats/{group}/reports"), "not_allowed")
            refused(await ann.get(f"/v1/chats/{direct}/reports"), "not_allowed")
            refused(await eve.get(f"/v1/chats/{group}/reports"), "chat_not_found")
            assert shown(await ann.get(f"/v1/chats/{group}/reports"))["items"] == []

    async def test_see_none_from_before_their_joining(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob", "cid") as (ann, bob, cid):
            chat = await ann.chat(bob, history="since_joined")
            early = (await bob.say(chat, "early"))["seq"]
            members = f"/v1/chats/{chat}/members"
            shown(await ann.post(members, json={"users": [cid.user]}))
            shown(await ann.put(f"{members}/{cid.user}", json={"role": "admin"}))
            late = (await bob.say(chat, "late"))["seq"]
            for seq in (early, late):
                await report(ann, chat, seq)
            items = shown(await cid.get(f"/v1/chats/{chat}/reports"))["items"]
            assert [item["seq"] for item in items] == [late]


async def test_moderators_page_through_all(fresh_server: HansardServer) -> None:
    async with (
        people(fresh_server, "ann", "bob") as (ann, bob),
        Person(fresh_server, "mod", MODERATE) as mod,
        Person(fresh_server, "aud", "hansard:audit") as auditor,
    ):
        chat = await ann.chat(bob)
        seqs = [(await bob.say(chat, "rude"))["seq"] for _ in range(3)]
        for seq in seqs:
            await report(ann, chat, seq)
        path = "/v1/audit/reports"
        page = shown(await mod.get(path, params={"limit": 2}))
        rest = shown(await mod.get(path, params={"cursor": page["next"]}))
        found = [item["seq"] for item in page["items"] + rest["items"]]
        assert (found, rest["next"]) == (seqs[::-1], None)
        for one in (ann, auditor):
            refused(await one.get(path), "not_allowed")
        assert fields(await mod.get(path, params={"cursor": "made up"})) == ["cursor"]
        fresh_server.stop()
        log = read_log(fresh_server.folder)
        noted = [(e["type"], e["data"]) for e in log[f"operators/{mod.user}"]]
        assert noted == [("record.read", {"what": "reports"})] * 2
