"""Scheduled messages over REST and WebSocket: made, listed, changed, cancelled, sent."""

import time
from typing import Any

import pytest

from domain.ids import command_id, schedule_id
from domain.instants import later
from tests.servers.audit import read_log
from tests.servers.clients import connected, make_chat, register, rest
from tests.servers.hansard import HansardServer
from tests.system.rest_support import (
    Person,
    ahead,
    done,
    fields,
    people,
    refused,
    shown,
)
from tests.waiting import until

AT = "/v1/me/scheduled"
HI = {"kind": "text", "content": "Hi"}


FAR = 3600.0


async def schedule(person: Person, chat: str, seconds: float = FAR, **change: Any) -> Any:
    """The schedule that was made."""
    body = HI | {"scheduled_for": ahead(seconds)} | change
    return shown(await person.post(f"/v1/chats/{chat}/messages", json=body), 202)


async def listed(person: Person, **query: Any) -> list[str]:
    items = shown(await person.get(AT, params=query))["items"]
    return [one["id"] for one in items]


async def ended(person: Person, schedule: Any) -> Any:
    """The schedule once it was sent or has failed."""
    found = schedule

    async def fired() -> bool:
        nonlocal found
        found = shown(await person.get(f"{AT}/{schedule['id']}"))
        return found["status"] in ("sent", "failed")

    await until(fired)
    return found


class TestScheduling:
    async def test_is_answered_with_the_schedule_and_where_it_is(
        self, server: HansardServer
    ) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob)
            due = ahead(FAR)
            body = {
                **HI,
                "metadata": {"a": 1},
                "mentions": [bob.user],
                "reply_to": (await bob.say(chat, "Well?"))["seq"],
                "expires_in": 60,
                "scheduled_for": due,
            }
            answer = await ann.post(
                f"/v1/chats/{chat}/messages", json=body, headers={"Idempotency-Key": "k"}
            )
            made = shown(answer, 202)
            id = schedule_id(command_id(ann.user, f"users/{ann.user}", "k"))
            assert made == {
                "id": id,
                "chat": chat,
                "status": "scheduled",
                **body,
                "seq": None,
                "code": None,
            }
            assert answer.headers["Location"] == f"{AT}/{id}"
            assert answer.headers["Hansard-Position"]
            assert shown(await ann.get(f"{AT}/{id}")) == made
            assert shown(await ann.get(AT)) == {"items": [made], "next": None}
            assert await listed(bob) == []
            refused(await bob.get(f"{AT}/{id}"), "schedule_not_found")
            # Nobody sees anything of it before its time.
            assert await bob.contents(chat) == ["Well?"]

    async def test_takes_any_form_of_an_instant(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            chat = await ann.chat()
            year = time.gmtime().tm_year
            made = await schedule(ann, chat, scheduled_for=f"{year}-12-31T23:59:59.5+00:00")
            assert made["scheduled_for"] == f"{year}-12-31T23:59:59.500Z"

    async def test_lies_ahead_but_not_too_far(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            at = f"/v1/chats/{await ann.chat()}/messages"
            for due in (ahead(-0.001), "2020-01-01T00:00:00Z"):
                answer = await ann.post(at, json=HI | {"scheduled_for": due})
                problem = refused(answer, "due_in_past")
                assert [error["field"] for error in problem["errors"]] == ["scheduled_for"]
                assert "Location" not in answer.headers
            for due in (ahead(366 * 86_400), "9999-12-31T23:59:59Z", "tomorrow", ""):
                answer = await ann.post(at, json=HI | {"scheduled_for": due})
                assert fields(answer) == ["scheduled_for"]

    async def test_is_checked_as_sending_is(self, server: HansardServer) -> None:
        async with people(server, "ann", "eve") as (ann, eve):
            chat = await ann.chat()
            at = f"/v1/chats/{chat}/messages"
            due = {"scheduled_for": ahead(FAR)}
            refused(await eve.post(at, json=HI | due), "chat_not_found")
            refused(await ann.post(at, json=HI | due | {"reply_to": 1}), "unknown_message")
            refused(await ann.post(at, json=HI | due | {"reply_to": 99}), "unknown_message")
            assert fields(await ann.post(at, json=HI | due | {"content": ""})) == ["content"]
            image = {"kind": "image", "metadata": {"media": "no-such"}}
            refused(await ann.post(at, json=HI | due | image), "media_not_found", 422)
            assert await listed(ann) == []

    async def test_once_under_one_key(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            chat = await ann.chat()
            at, key = f"/v1/chats/{chat}/messages", {"Idempotency-Key": "k"}
            body = HI | {"scheduled_for": ahead(FAR)}
            first = await ann.post(at, json=body, headers=key)
            again = await ann.post(at, json=body, headers=key)
            assert shown(again, 202) == shown(first, 202)
            assert again.headers["Idempotent-Replayed"] == "true"
            other = await ann.post(at, json=body | {"content": "x"}, headers=key)
            refused(other, "idempotency_key_reused")
            # The same key counts for another stream when it sends at once.
            shown(await ann.post(at, json=HI, headers=key), 201)
            done(await ann.delete(f"{AT}/{first.json()['id']}"))
            assert shown(await ann.post(at, json=body, headers=key), 202)["status"] == "cancelled"

    async def test_by_frame_is_acknowledged_with_the_schedule(self, server: HansardServer) -> None:
        users = ["sched-ann", "sched-bob"]
        await register(server, *users)
        chat = await make_chat(server, *users)
        async with connected(server, users[0]) as one, rest(server, users[0]) as client:
            due = ahead(FAR)
            ack = await one.ask("send", id="s", chat=chat, **HI, scheduled_for=due)
            stream = f"users/{users[0]}"
            command = command_id(users[0], stream, "s")
            assert (ack["op"], ack["chat"], ack["id"]) == ("ack", chat, "s")
            assert ack["schedule"] == schedule_id(command)
            assert "ordinal" not in ack
            event = await one.event("message.scheduled", command=command)
            assert one.frames.index(ack) < one.frames.index(event)
            assert (event["stream"], event["seq"]) == (stream, ack["seq"])
            assert (event["data"]["content"], event["data"]["due"]) == ("Hi", due)
            position = {"Hansard-Position": ack["position"]}
            answer = await client.get(f"{AT}/{ack['schedule']}", headers=position)
            assert answer.json()["status"] == "scheduled"
            assert await one.ask("send", id="s", chat=chat, **HI, scheduled_for=due) == ack
            late = await one.ask("send", chat=chat, **HI, scheduled_for=ahead(-1))
            assert (late["op"], late["code"]) == ("error", "due_in_past")


class TestListing:
    async def test_goes_by_time_in_pages(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            chat = await ann.chat()
            same = ahead(FAR)
            made = [await schedule(ann, chat, FAR + 9)]
            made += [await schedule(ann, chat, scheduled_for=same) for _ in range(3)]
            expected = sorted((one["scheduled_for"], one["id"]) for one in made)
            assert await listed(ann) == [id for _, id in expected]
            found, cursor = [], None
            while True:
                query = {"limit": 1} | ({"cursor": cursor} if cursor else {})
                page = shown(await ann.get(AT, params=query))
                found += [one["id"] for one in page["items"]]
                cursor = page["next"]
                if cursor is None:
                    break
            assert found == [id for _, id in expected]
            assert fields(await ann.get(AT, params={"cursor": "made-up"})) == ["cursor"]


class TestChanging:
    async def test_changes_what_is_given(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob)
            made = await schedule(ann, chat, expires_in=60, mentions=[bob.user])
            at = f"{AT}/{made['id']}"
            changed = shown(await ann.patch(at, json={"content": "Hello"}))
            assert changed == made | {"content": "Hello"}
            due = later(made["scheduled_for"], 60)
            change = {"scheduled_for": due, "mentions": []}
            changed = shown(await ann.patch(at, json=change))
            assert changed == made | {"content": "Hello", **change}
            assert shown(await ann.patch(at, json={})) == changed

    async def test_of_what_is_wrong(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob)
            at = f"{AT}/{(await schedule(ann, chat))['id']}"
            refused(await ann.patch(at, json={"scheduled_for": ahead(-1)}), "due_in_past")
            for change, field in (
                ({"content": ""}, "content"),
                ({"content": None}, "content"),
                ({"scheduled_for": None}, "scheduled_for"),
                ({"scheduled_for": "soon"}, "scheduled_for"),
                ({"scheduled_for": "9999-01-01T00:00:00Z"}, "scheduled_for"),
                ({"chat": chat}, "chat"),
            ):
                assert fields(await ann.patch(at, json=change)) == [field]
            refused(await bob.patch(at, json={"content": "x"}), "schedule_not_found")
            refused(await bob.delete(at), "schedule_not_found")
            for id in ("no-such", "%20"):
                refused(await ann.patch(f"{AT}/{id}", json={}), "schedule_not_found")
                refused(await ann.delete(f"{AT}/{id}"), "schedule_not_found")
                refused(await ann.get(f"{AT}/{id}"), "schedule_not_found")

    async def test_cancelling_ends_it(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            chat = await ann.chat()
            made = await schedule(ann, chat)
            at = f"{AT}/{made['id']}"
            done(await ann.delete(at))
            done(await ann.delete(at))
            assert await listed(ann) == []
            cancelled = shown(await ann.get(at))
            assert (cancelled["status"], cancelled["content"]) == ("cancelled", None)
            refused(await ann.patch(at, json={"content": "x"}), "schedule_not_found")


class TestSending:
    async def test_at_its_time_as_what_it_was_changed_to(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob)
            first = (await bob.say(chat, "Well?"))["seq"]
            made = await schedule(ann, chat, mentions=[bob.user], reply_to=first)
            change = {"content": "Hello", "scheduled_for": ahead(0.3)}
            made = shown(await ann.patch(f"{AT}/{made['id']}", json=change))
            sent = await ended(ann, made)
            assert (sent["status"], sent["content"], sent["code"]) == ("sent", None, None)
            message = shown(await bob.get(f"/v1/chats/{chat}/messages/{sent['seq']}"))
            assert message["sent_at"] >= made["scheduled_for"]
            assert (message["sender"], message["content"]) == (ann.user, "Hello")
            assert message["reply_to"]["seq"] == first
            assert message["mentions"] == [bob.user]
            assert await listed(ann) == []
            for answer in (
                await ann.patch(f"{AT}/{made['id']}", json={"content": "x"}),
                await ann.delete(f"{AT}/{made['id']}"),
            ):
                refused(answer, "schedule_claimed")
            # Others have it to read; sending by the clock reads and receives nothing.
            assert (await bob.inbox())[0]["unread"] == 1
            assert (await ann.inbox())[0]["unread"] == 1
            receipts = shown(await bob.get(f"/v1/chats/{chat}/messages/{first}/receipts"))
            assert receipts["items"] == [{"user": ann.user, "delivered_at": None, "read_at": None}]
            feed = shown(await ann.get("/v1/me/events"))["items"]
            assert [e["type"] for e in feed[-3:]] == [
                "schedule.changed",
                "schedule.claimed",
                "schedule.fired",
            ]
            assert "Hello" not in str(feed)

    async def test_others_see_it_come(self, server: HansardServer) -> None:
        users = ["fired-ann", "fired-bob"]
        await register(server, *users)
        chat = await make_chat(server, *users)
        async with connected(server, users[0]) as ann, connected(server, users[1]) as bob:
            ack = await ann.ask("send", chat=chat, **HI, scheduled_for=ahead(0.2))
            seen = await bob.event("message.sent")
            assert (seen["actor"], seen["data"]["content"]) == (users[0], "Hi")
            assert seen["data"]["schedule"] == ack["schedule"]
            fired = await ann.event("schedule.fired")
            assert fired["data"] == {"schedule": ack["schedule"], "seq": seen["seq"]}
            assert (await ann.event("message.sent"))["seq"] == seen["seq"]

    async def test_of_one_who_has_left_fails(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob)
            made = await schedule(bob, chat, 0.5)
            done(await bob.delete(f"/v1/chats/{chat}/members/{bob.user}"))
            failed = await ended(bob, made)
            assert (failed["status"], failed["code"]) == ("failed", "chat_not_found")
            assert (failed["content"], failed["seq"]) == ("Hi", None)
            assert await listed(bob) == [made["id"]]
            assert await ann.contents(chat) == []
            refused(await bob.delete(f"{AT}/{made['id']}"), "schedule_claimed")

    @pytest.mark.parametrize("sent_before", [0, 1])
    async def test_survives_a_crash(self, fresh_server: HansardServer, sent_before: int) -> None:
        server = fresh_server
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob)
            made = [await schedule(ann, chat, 0.4 + n / 50) for n in range(20)]

            async def enough() -> bool:
                return len(await bob.contents(chat)) >= sent_before

            await until(enough)
            server.kill()
            server.start()
            seqs = [(await ended(ann, one))["seq"] for one in made]
            assert await bob.contents(chat) == ["Hi"] * len(made)
            page = shown(await bob.get(f"/v1/chats/{chat}/messages"))["items"]
            assert sorted(seqs) == [one["seq"] for one in page if one["kind"] == "text"]
            server.stop()
            own = [e["type"] for e in read_log(server.folder)[f"users/{ann.user}"]]
            assert own.count("schedule.claimed") == own.count("schedule.fired") == len(made)
