"""Blocking: what no longer comes through between two, and what stays as it was."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.servers.clients import connected
from tests.servers.hansard import HansardServer
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


async def block(one: Person, other: Person) -> None:
    done(await one.put(f"/v1/me/blocks/{other.user}"))


async def unblock(one: Person, other: Person) -> None:
    done(await one.delete(f"/v1/me/blocks/{other.user}"))


async def blocked(one: Person) -> list[str]:
    return [item["user"] for item in shown(await one.get("/v1/me/blocks"))["items"]]


def text(content: str = "hello", **more: Any) -> dict[str, Any]:
    return {"kind": "text", "content": content, **more}


class TestTheList:
    async def test_shows_the_newest_first_and_page_by_page(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob", "cid", "dan") as (ann, *others):
            for other in others:
                await block(ann, other)
            page = shown(await ann.get("/v1/me/blocks", params={"limit": 2}))
            assert [item["user"] for item in page["items"]] == [others[2].user, others[1].user]
            assert all(set(item) == {"user", "blocked_at"} for item in page["items"])
            rest = shown(await ann.get("/v1/me/blocks", params={"cursor": page["next"]}))
            assert [item["user"] for item in rest["items"]] == [others[0].user]
            assert rest["next"] is None
            assert await blocked(others[0]) == []

    async def test_has_everyone_once(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            await block(ann, bob)
            first = shown(await ann.get("/v1/me/blocks"))
            await block(ann, bob)
            assert shown(await ann.get("/v1/me/blocks")) == first
            await unblock(ann, bob)
            await unblock(ann, bob)
            assert await blocked(ann) == []
            feed = shown(await ann.get("/v1/me/events"))["items"]
            assert [e["type"] for e in feed[1:]] == ["user.blocked", "user.unblocked"]
            assert feed[1]["data"] == {"user": bob.user}

    async def test_takes_no_strangers_and_not_oneself(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,), strangers(server, "eve") as (eve,):
            for method in ("PUT", "DELETE"):
                for user in (eve.user, "no%20id"):
                    answer = await ann.request(method, f"/v1/me/blocks/{user}")
                    refused(answer, "user_not_found")
            assert fields(await ann.put(f"/v1/me/blocks/{ann.user}")) == ["user"]
            refused(await eve.put(f"/v1/me/blocks/{ann.user}"), "not_registered")
            assert fields(await ann.get("/v1/me/blocks", params={"cursor": "made up"})) == [
                "cursor"
            ]

    async def test_a_repeated_request_answers_as_the_first(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            key = {"Idempotency-Key": "once"}
            done(await ann.put(f"/v1/me/blocks/{bob.user}", headers=key))
            await unblock(ann, bob)
            again = await ann.put(f"/v1/me/blocks/{bob.user}", headers=key)
            assert again.headers["idempotent-replayed"] == "true"
            assert await blocked(ann) == []


@pytest.mark.parametrize("blocker", [0, 1])
class TestADirectChat:
    async def test_takes_nothing_new_from_either(self, server: HansardServer, blocker: int) -> None:
        async with people(server, "ann", "bob") as two:
            ann, bob = two
            chat = await ann.chat(bob, kind="direct")
            seqs = [(await one.say(chat, f"from {one.name}"))["seq"] for one in two]
            await block(two[blocker], two[1 - blocker])
            messages = f"/v1/chats/{chat}/messages"
            later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
            for one, seq in zip(two, seqs, strict=True):
                refused(await one.post(messages, json=text()), "not_allowed")
                refused(await one.post(messages, json=text(scheduled_for=later)), "not_allowed")
                edit = await one.patch(f"{messages}/{seq}", json={"content": "new"})
                refused(edit, "not_allowed")
                react = await one.put(f"{messages}/{seq}/reaction", json={"emoji": "👍"})
                refused(react, "not_allowed")
            assert await ann.contents(chat) == ["from ann", "from bob"]

    async def test_still_takes_marks_and_deletions(
        self, server: HansardServer, blocker: int
    ) -> None:
        async with people(server, "ann", "bob") as two:
            ann, bob = two
            chat = await ann.chat(bob, kind="direct")
            seq = (await ann.say(chat, "hi"))["seq"]
            messages = f"/v1/chats/{chat}/messages"
            shown(await bob.put(f"{messages}/{seq}/reaction", json={"emoji": "👍"}))
            await block(two[blocker], two[1 - blocker])
            done(await bob.put(f"/v1/chats/{chat}/read", json={"up_to": seq}))
            done(await bob.put(f"/v1/chats/{chat}/filing", json={"archived": True}))
            done(await bob.delete(f"{messages}/{seq}/reaction"))
            done(await bob.delete(f"{messages}/{seq}", params={"for": "me"}))
            assert shown(await ann.get(f"{messages}/{seq}"))["status"] == "read"
            done(await ann.delete(f"{messages}/{seq}", params={"for": "everyone"}))

    async def test_goes_on_when_it_ends(self, server: HansardServer, blocker: int) -> None:
        async with people(server, "ann", "bob") as two:
            ann, bob = two
            chat = await ann.chat(bob, kind="direct")
            await block(two[blocker], two[1 - blocker])
            refused(await ann.post(f"/v1/chats/{chat}/messages", json=text()), "not_allowed")
            await unblock(two[blocker], two[1 - blocker])
            await ann.say(chat, "again")
            assert await bob.contents(chat) == ["again"]

    async def test_cannot_be_made_but_is_found(self, server: HansardServer, blocker: int) -> None:
        async with people(server, "ann", "bob") as two:
            ann, bob = two
            await block(two[blocker], two[1 - blocker])
            for one, other in ((ann, bob), (bob, ann)):
                body = {"kind": "direct", "members": [other.user]}
                refused(await one.post("/v1/chats", json=body), "not_allowed")
            await unblock(two[blocker], two[1 - blocker])
            chat = await ann.chat(bob, kind="direct")
            await block(two[blocker], two[1 - blocker])
            body = {"kind": "direct", "members": [bob.user]}
            assert shown(await ann.post("/v1/chats", json=body))["id"] == chat

    async def test_takes_no_frames(self, server: HansardServer, blocker: int) -> None:
        async with people(server, "ann", "bob") as two:
            ann, bob = two
            chat = await ann.chat(bob, kind="direct")
            seq = (await ann.say(chat, "hi"))["seq"]
            async with connected(server, ann.user) as here, connected(server, bob.user) as there:
                await block(two[blocker], two[1 - blocker])
                sent = await here.ask("send", chat=chat, **text())
                assert (sent["op"], sent["code"]) == ("error", "not_allowed")
                reacted = await here.ask("react", chat=chat, seq=seq, emoji="👍")
                assert (reacted["op"], reacted["code"]) == ("error", "not_allowed")
                edited = await here.ask("edit", chat=chat, seq=seq, content="new")
                assert (edited["op"], edited["code"]) == ("error", "not_allowed")
                await here.say("typing", chat=chat, on=True)
                assert (await here.ask("read", chat=chat, up_to=seq))["op"] == "ack"
                # What follows in the same chat shows that nothing of it is still on its way.
                assert (await here.ask("delete", chat=chat, seq=seq, **{"for": "everyone"}))[
                    "op"
                ] == "ack"
                await there.event("message.deleted", stream=f"chats/{chat}")
                assert not [f for f in there.frames if f["op"] in ("typing", "receipt")]
                await unblock(two[blocker], two[1 - blocker])
                await here.say("typing", chat=chat, on=False)
                await here.say("typing", chat=chat, on=True)
                await there.frame(lambda f: f["op"] == "typing")

    async def test_what_was_scheduled_before_fails(
        self, server: HansardServer, blocker: int
    ) -> None:
        async with people(server, "ann", "bob") as two:
            ann, bob = two
            chat = await ann.chat(bob, kind="direct")
            soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
            body = text(scheduled_for=soon)
            schedule = shown(await ann.post(f"/v1/chats/{chat}/messages", json=body), 202)["id"]
            await block(two[blocker], two[1 - blocker])
            failed: dict[str, Any] = {}

            async def is_over() -> bool:
                failed.update(shown(await ann.get(f"/v1/me/scheduled/{schedule}")))
                return failed["status"] not in ("scheduled", "sending")

            await until(is_over)
            assert (failed["status"], failed["code"]) == ("failed", "not_allowed")
            assert await bob.contents(chat) == []


class TestGroups:
    async def test_show_everything_as_before(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob)
            await block(ann, bob)
            seq = (await bob.say(chat, "in the group", mentions=[ann.user]))["seq"]
            reaction = {"emoji": "👍"}
            shown(await ann.put(f"/v1/chats/{chat}/messages/{seq}/reaction", json=reaction))
            assert await ann.contents(chat) == ["in the group"]
            async with connected(server, ann.user) as here, connected(server, bob.user) as there:
                await there.say("typing", chat=chat, on=True)
                await here.frame(lambda f: f["op"] == "typing")
                await there.ask("read", chat=chat, up_to=seq)
                await here.frame(lambda f: f["op"] == "receipt")

    async def test_nobody_brings_in_who_has_blocked_them(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob", "cid") as (ann, bob, cid):
            await block(ann, bob)
            body = {"kind": "group", "members": [cid.user, ann.user], "name": "A group"}
            problem = refused(await bob.post("/v1/chats", json=body), "not_allowed")
            assert [error["field"] for error in problem["errors"]] == ["members.1"]
            chat = await bob.chat(cid)
            users = {"users": [cid.user, ann.user]}
            answer = await bob.post(f"/v1/chats/{chat}/members", json=users)
            problem = refused(answer, "not_allowed")
            assert [error["field"] for error in problem["errors"]] == ["users.1"]
            # Others may, and so may the one who has blocked.
            done_by = await cid.chat(ann, bob)
            assert len(shown(await bob.get(f"/v1/chats/{done_by}"))["members"]) == 3
            await ann.chat(bob)

    async def test_who_is_in_it_already_is_no_obstacle(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob", "cid") as (ann, bob, cid):
            chat = await bob.chat(ann)
            await block(ann, bob)
            users = {"users": [ann.user, cid.user]}
            members = shown(await bob.post(f"/v1/chats/{chat}/members", json=users))["members"]
            assert len(members) == 3


async def test_a_send_accepted_before_is_repeated_after(server: HansardServer) -> None:
    async with people(server, "ann", "bob") as (ann, bob):
        chat = await ann.chat(bob, kind="direct")
        key = {"Idempotency-Key": "before"}
        first = await ann.post(f"/v1/chats/{chat}/messages", json=text(), headers=key)
        await block(bob, ann)
        again = await ann.post(f"/v1/chats/{chat}/messages", json=text(), headers=key)
        assert shown(again, 201)["seq"] == shown(first, 201)["seq"]
        assert again.headers["idempotent-replayed"] == "true"


async def test_sends_at_the_same_time_are_all_checked(server: HansardServer) -> None:
    async with people(server, "ann", "bob", "cid") as (ann, bob, cid):
        closed, free = await ann.chat(bob, kind="direct"), await ann.chat(cid, kind="direct")
        await block(bob, ann)
        answers = await asyncio.gather(
            *(ann.post(f"/v1/chats/{c}/messages", json=text()) for c in (closed, free) * 10)
        )
        assert [answer.status_code for answer in answers] == [403, 201] * 10


async def test_the_record_says_what_the_check_has_seen(server: HansardServer) -> None:
    async with (
        people(server, "ann", "bob") as (ann, bob),
        Person(server, "auditor", "hansard:audit") as auditor,
    ):
        chat = await ann.chat(bob, kind="direct")
        await block(bob, ann)
        await unblock(bob, ann)
        await ann.say(chat, "hello")
        path, stream = "/v1/audit/timeline", f"chats/{chat}"
        events = shown(await auditor.get(path, params={"stream": stream}))["items"]
        seen = {basis["stream"]: basis["seq"] for basis in events[-1]["basis"]}
        assert seen == {f"users/{ann.user}": 1, f"users/{bob.user}": 3}
