"""Questions to the record, over REST: what was said, shown and seen, and whether it is whole."""

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.servers.audit import read_log
from tests.servers.hansard import HansardServer
from tests.system.rest_support import Person, done, fields, people, refused, shown

AUDIT = "hansard:audit"
PATHS: dict[str, dict[str, Any]] = {
    "timeline": {"stream": "chats/x"},
    "as-of": {"user": "ann", "at": "2024-01-01T00:00:00Z"},
    "who-saw": {"chat": "x", "seq": 1},
    "verify": {"stream": "chats/x"},
    "checkpoints": {},
}


def auditor(server: HansardServer) -> Person:
    return Person(server, "auditor", AUDIT)


async def ask(one: Person, what: str, **query: Any) -> Any:
    return shown(await one.get(f"/v1/audit/{what}", params=query))


async def all_pages(one: Person, what: str, **query: Any) -> list[Any]:
    page = await ask(one, what, **query)
    items = list(page["items"])
    while page["next"] is not None:
        page = await ask(one, what, cursor=page["next"], **query)
        items += page["items"]
    return items


def moment() -> str:
    """An instant after everything so far, and before everything to come."""
    now = datetime.now(UTC)
    while datetime.now(UTC) < now + timedelta(milliseconds=2):
        pass
    return (now + timedelta(milliseconds=1)).isoformat()


class TestEveryQuestion:
    @pytest.mark.parametrize("what", PATHS)
    async def test_needs_the_scope(self, server: HansardServer, what: str) -> None:
        async with (
            people(server, "ann") as (ann,),
            Person(server, "mod", "hansard:moderate") as mod,
        ):
            for one in (ann, mod):
                answer = await one.get(f"/v1/audit/{what}", params=PATHS[what])
                refused(answer, "not_allowed")

    @pytest.mark.parametrize(
        ("what", "wrong", "field"),
        [
            ("timeline", {"stream": None}, "stream"),
            ("timeline", {"stream": "topics/x"}, "stream"),
            ("timeline", {"stream": "chats/../x"}, "stream"),
            ("timeline", {"from": "yesterday"}, "from"),
            ("timeline", {"to": "2024-01-01"}, "to"),
            ("timeline", {"limit": 0}, "limit"),
            ("timeline", {"cursor": "made up"}, "cursor"),
            ("as-of", {"user": None}, "user"),
            ("as-of", {"at": None}, "at"),
            ("as-of", {"at": "9999-01-01T00:00:00Z"}, "at"),
            ("as-of", {"cursor": "made up"}, "cursor"),
            ("who-saw", {"seq": 0}, "seq"),
            ("who-saw", {"chat": None}, "chat"),
            ("verify", {"seq": 1}, "hash"),
            ("verify", {"hash": "0" * 64}, "seq"),
            ("verify", {"hash": "xyz"}, "hash"),
            ("checkpoints", {"cursor": "made up"}, "cursor"),
        ],
    )
    async def test_wrong_ones(
        self, server: HansardServer, what: str, wrong: dict[str, Any], field: str
    ) -> None:
        async with auditor(server) as one:
            given = {n: v for n, v in (PATHS[what] | wrong).items() if v is not None}
            assert fields(await one.get(f"/v1/audit/{what}", params=given)) == [field]

    async def test_stands_in_the_record(self, fresh_server: HansardServer) -> None:
        async with people(fresh_server, "ann", "bob") as (ann, bob), auditor(fresh_server) as one:
            chat = await ann.chat(bob)
            seq = (await ann.say(chat, "hi"))["seq"]
            at = moment()
            stream = f"chats/{chat}"
            await ask(one, "timeline", stream=stream)
            await ask(one, "as-of", user=bob.user, at=at)
            await ask(one, "as-of", user=bob.user, at=at, chat=chat)
            await ask(one, "who-saw", chat=chat, seq=seq)
            await ask(one, "verify", stream=stream)
            await ask(one, "checkpoints")
            refused(
                await one.get("/v1/audit/who-saw", params={"chat": chat, "seq": 99}),
                "message_not_found",
            )
            own = await ask(one, "timeline", stream=f"operators/{one.user}")
            fresh_server.stop()
            events = read_log(fresh_server.folder)[f"operators/{one.user}"]
            assert {e["type"] for e in events} == {"record.read"}
            then = at[:23] + "Z"
            assert [e["data"] for e in events] == [
                {"what": "timeline", "of": stream},
                {"what": "as-of inbox", "of": f"users/{bob.user}", "as_of": then},
                {"what": f"as-of {stream}", "of": f"users/{bob.user}", "as_of": then},
                {"what": "who-saw", "of": f"{stream}/{seq}"},
                {"what": "verify", "of": stream},
                {"what": "checkpoints"},
                {"what": "who-saw", "of": f"{stream}/99"},
                {"what": "timeline", "of": f"operators/{one.user}"},
            ]
            # The question itself is there before it is answered.
            assert [item["data"] for item in own["items"]] == [e["data"] for e in events]


class TestTimeline:
    async def test_shows_what_was_deleted(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob), auditor(server) as one:
            chat = await ann.chat(bob)
            seq = (await ann.say(chat, "first"))["seq"]
            path = f"/v1/chats/{chat}/messages/{seq}"
            shown(await ann.patch(path, json={"content": "second"}))
            done(await ann.delete(path, params={"for": "everyone"}))
            events = await all_pages(one, "timeline", stream=f"chats/{chat}", limit=1)
            assert [(e["seq"], e["type"]) for e in events] == [
                (1, "chat.created"),
                (2, "message.sent"),
                (3, "message.edited"),
                (4, "message.deleted"),
            ]
            assert [e["data"].get("content") for e in events] == [None, "first", "second", None]
            assert [e["prev"] for e in events[1:]] == [e["hash"] for e in events[:-1]]
            assert events[0]["data"]["name"] == "A group"

    async def test_between_two_instants(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob), auditor(server) as one:
            chat = await ann.chat(bob)
            moments = [moment()]
            for n in range(9):
                await ann.say(chat, str(n))
                moments.append(moment())
            stream = f"chats/{chat}"
            for start, end in ((0, 9), (3, 5), (4, 4), (8, 9)):
                query = {"from": moments[start], "to": moments[end]}
                events = await all_pages(one, "timeline", stream=stream, limit=2, **query)
                expected = [str(n) for n in range(start, end)]
                assert [e["data"]["content"] for e in events] == expected
            late = await ask(one, "timeline", stream=stream, **{"from": moments[-1]})
            assert late == {"items": [], "next": None}
            assert (await ask(one, "timeline", stream="chats/nowhere"))["items"] == []


class TestAsOf:
    async def test_shows_what_was_shown(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob), auditor(server) as one:
            chat = await ann.chat(bob)
            seqs = [(await ann.say(chat, text))["seq"] for text in ("first", "second", "third")]
            done(await bob.put(f"/v1/chats/{chat}/read", json={"up_to": seqs[0]}))
            messages = f"/v1/chats/{chat}/messages"
            live = {
                "inbox": shown(await bob.get("/v1/chats")),
                "chat": shown(await bob.get(f"/v1/chats/{chat}")),
                "messages": shown(await bob.get(messages, params={"limit": 3})),
            }
            at = moment()
            shown(await ann.patch(f"{messages}/{seqs[1]}", json={"content": "changed"}))
            done(await ann.delete(f"{messages}/{seqs[0]}", params={"for": "everyone"}))
            done(await bob.delete(f"/v1/chats/{chat}/members/{bob.user}"))
            refused(await bob.get(messages), "chat_not_found")
            then = await ask(one, "as-of", user=bob.user, at=at, chat=chat, limit=3)
            assert (then["chat"], then["messages"]) == (live["chat"], live["messages"])
            assert then["inbox"] is None
            inbox = await ask(one, "as-of", user=bob.user, at=at)
            assert inbox["inbox"] == live["inbox"]
            place = live["messages"]["next"]
            older = await ask(one, "as-of", user=bob.user, at=at, chat=chat, before=place)
            assert [m["kind"] for m in older["messages"]["items"]] == ["system"]
            refused(
                await one.get(
                    "/v1/audit/as-of",
                    params={"user": bob.user, "at": moment(), "chat": chat},
                ),
                "chat_not_found",
            )

    async def test_the_inbox_has_pages(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob), auditor(server) as one:
            chats = [await ann.chat(bob) for _ in range(3)]
            asked = {"user": ann.user, "at": moment(), "limit": 2}
            first = await ask(one, "as-of", **asked)
            rest = await ask(one, "as-of", cursor=first["inbox"]["next"], **asked)
            rows = first["inbox"]["items"] + rest["inbox"]["items"]
            assert [row["chat"]["id"] for row in rows] == chats[::-1]
            assert rest["inbox"]["next"] is None

    async def test_of_nobody(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,), auditor(server) as one:
            early = {"user": ann.user, "at": "2020-01-01T00:00:00Z"}
            refused(await one.get("/v1/audit/as-of", params=early), "user_not_found")
            nowhere = {"user": ann.user, "at": moment(), "chat": "nowhere"}
            refused(await one.get("/v1/audit/as-of", params=nowhere), "chat_not_found")


class TestWhoSaw:
    async def test_tells_when_also_of_those_who_left(self, server: HansardServer) -> None:
        async with (
            people(server, "ann", "bob", "cid", "dan") as (ann, bob, cid, dan),
            auditor(server) as one,
        ):
            chat = await ann.chat(bob, cid, dan)
            seq = (await ann.say(chat, "hi"))["seq"]
            done(await bob.put(f"/v1/chats/{chat}/delivered", json={"up_to": seq}))
            done(await cid.put(f"/v1/chats/{chat}/read", json={"up_to": seq}))
            done(await cid.delete(f"/v1/chats/{chat}/members/{cid.user}"))
            done(await ann.delete(f"/v1/chats/{chat}/messages/{seq}", params={"for": "everyone"}))
            saw = {
                item["user"]: (item["member"], bool(item["delivered_at"]), bool(item["read_at"]))
                for item in await all_pages(one, "who-saw", chat=chat, seq=seq, limit=1)
            }
            assert saw == {
                bob.user: (True, True, False),
                cid.user: (False, True, True),
                dan.user: (True, False, False),
            }

    async def test_of_no_message(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob), auditor(server) as one:
            chat = await ann.chat(bob)
            for place, code in (((chat, 1), "message_not_found"), (("x", 1), "chat_not_found")):
                answer = await one.get(
                    "/v1/audit/who-saw", params={"chat": place[0], "seq": place[1]}
                )
                refused(answer, code)


class TestIntegrity:
    async def test_a_whole_stream_and_a_kept_checkpoint(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob), auditor(server) as one:
            chat = await ann.chat(bob)
            stream = f"chats/{chat}"
            kept = {c["stream"]: c for c in await all_pages(one, "checkpoints", limit=100)}
            assert {stream, f"users/{ann.user}"} <= kept.keys()
            await ann.say(chat, "more")
            found = await ask(one, "verify", stream=stream)
            assert (found["ok"], found["fault"], found["seq"], found["next"]) == (
                True,
                None,
                2,
                None,
            )
            [head] = [c for c in await all_pages(one, "checkpoints") if c["stream"] == stream]
            assert (head["seq"], head["hash"]) == (2, found["hash"])
            place = {"seq": kept[stream]["seq"], "hash": kept[stream]["hash"]}
            assert (await ask(one, "verify", stream=stream, **place))["ok"]
            wrong = await ask(one, "verify", stream=stream, seq=2, hash=place["hash"])
            assert (wrong["ok"], wrong["fault"]) == (False, f"{stream}/2 was changed")
            beyond = await ask(one, "verify", stream=stream, seq=3, hash=place["hash"])
            assert beyond["fault"] == f"{stream}/3 is missing"

    async def test_shows_what_was_touched(self, fresh_server: HansardServer) -> None:
        async with people(fresh_server, "ann", "bob") as (ann, bob), auditor(fresh_server) as one:
            chat = await ann.chat(bob)
            stream = f"chats/{chat}"
            for text in ("one", "two", "three"):
                await ann.say(chat, text)
            kept = {c["stream"]: c for c in await all_pages(one, "checkpoints")}[stream]
            fresh_server.stop()
            with sqlite3.connect(fresh_server.folder / "log.db") as log:
                [(state,)] = log.execute(
                    "SELECT state FROM stored_events"
                    " WHERE originator_id = ? AND originator_version = 2",
                    (stream,),
                ).fetchall()
                event = json.loads(state)
                event["actor"] = bob.user
                touched = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
                log.execute(
                    "UPDATE stored_events SET state = ?"
                    " WHERE originator_id = ? AND originator_version = 2",
                    (touched, stream),
                )
                log.execute(
                    "DELETE FROM stored_events WHERE originator_id = ? AND originator_version = 1",
                    (f"users/{bob.user}",),
                )
                log.execute(
                    "UPDATE stored_events SET state = ? WHERE originator_id = ?",
                    (b"nonsense", f"users/{ann.user}"),
                )
            log.close()
            fresh_server.start()
            found = await ask(one, "verify", stream=stream)
            assert (found["ok"], found["seq"]) == (False, 2)
            assert found["fault"] == f"{stream}/3: what comes before it was changed"
            place = {"seq": kept["seq"], "hash": kept["hash"]}
            assert not (await ask(one, "verify", stream=stream, **place))["ok"]
            refused(
                await one.get("/v1/audit/timeline", params={"stream": f"users/{ann.user}"}),
                "unavailable",
            )
            gone = await ask(one, "verify", stream=f"users/{bob.user}")
            assert gone["fault"] == f"users/{bob.user}/1 is missing"
