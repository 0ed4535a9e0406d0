"""Messages: sending, reading, changing, deleting, reactions, marks and receipts."""

from typing import Any

import pytest

from tests.servers.hansard import HansardServer
from tests.system.rest_support import done, fields, people, refused, shown


class TestSending:
    async def test_shows_the_message(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob, kind="direct")
            body = {"kind": "text", "content": "Hi", "metadata": {"mood": ["good", 1.5, None]}}
            answer = await ann.post(f"/v1/chats/{chat}/messages", json=body)
            message = shown(answer, 201)
            assert message == {
                "chat": chat,
                "seq": 2,
                "ordinal": 1,
                "sender": ann.user,
                "kind": "text",
                "content": "Hi",
                "metadata": {"mood": ["good", 1.5, None]},
                "reply_to": None,
                "mentions": [],
                "reactions": [],
                "reaction_counts": {},
                "status": "sent",
                "sent_at": message["sent_at"],
                "edited_at": None,
                "deleted_at": None,
                "expires_at": None,
            }
            assert answer.headers["location"] == f"/v1/chats/{chat}/messages/2"
            assert shown(await bob.get(answer.headers["location"])) == message

    async def test_quotes_what_it_answers(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob)
            question = await ann.say(chat, "Why?")
            answer = await bob.say(chat, "Because.", reply_to=question["seq"])
            assert answer["reply_to"] == {
                "seq": question["seq"],
                "sender": ann.user,
                "kind": "text",
                "content": "Why?",
            }

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"content": " 🏳️‍🌈\n"},
            {"metadata": {}},
            {"metadata": {"n": 10**30, "x": 1e300, "deep": [[[[[{}]]]]]}},
            {"mentions": ["x", "y", "x"], "expires_in": 3600},
            {"kind": "location", "metadata": {"location": {"lat": 1, "lng": -0.5}}},
            {"kind": "location", "content": "", "metadata": {"location": {"lat": 1, "lng": 2}}},
            {"reply_to": 2},
        ],
    )
    async def test_shows_what_reading_it_shows(
        self, server: HansardServer, fields: dict[str, Any]
    ) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob)
            await ann.say(chat, "The first")
            body = {"kind": "text", "content": "Hi"} | fields
            answer = await ann.post(f"/v1/chats/{chat}/messages", json=body)
            read = await bob.get(answer.headers["location"])
            assert shown(answer, 201) == shown(read)
            assert answer.content == read.content

    async def test_keeps_mentions_once(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            message = await ann.say(await ann.chat(), "Hi", mentions=["x", "y", "x"])
            assert message["mentions"] == ["x", "y"]

    async def test_takes_a_location(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            place = {"location": {"lat": 52.5, "lng": 13.4, "address": "Berlin"}}
            message = await ann.say(await ann.chat(), "", kind="location", metadata=place)
            assert message["metadata"] == place

    async def test_ends_when_it_says(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            message = await ann.say(await ann.chat(), "Soon gone", expires_in=31_536_000)
            assert message["expires_at"][:4] > message["sent_at"][:4]

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"kind": "system"}, "kind"),
            ({"content": None}, "content"),
            ({"content": ""}, "content"),
            ({"content": "x" * 8193}, "content"),
            ({"content": "a\0b"}, "body"),
            ({"content": 1}, "content"),
            ({"metadata": []}, "metadata"),
            ({"metadata": {"x": "y" * 4096}}, "metadata"),
            ({"metadata": {"a": [[[[[[[[1]]]]]]]]}}, "metadata"),
            ({"metadata": {"\0": 1}}, "body"),
            ({"reply_to": 0}, "reply_to"),
            ({"reply_to": 2**63}, "reply_to"),
            ({"reply_to": "1"}, "reply_to"),
            ({"mentions": ["a b"]}, "mentions.0"),
            ({"mentions": [f"u{n}" for n in range(1025)]}, "mentions"),
            ({"expires_in": 0}, "expires_in"),
            ({"expires_in": 31_536_001}, "expires_in"),
            ({"expires_in": 1.5}, "expires_in"),
            ({"sender": "ann"}, "sender"),
            ({"kind": "location"}, "metadata.location"),
            ({"kind": "location", "metadata": {"location": {"lat": 91, "lng": 0}}}, None),
            ({"kind": "location", "metadata": {"location": {"lat": 0}}}, None),
            ({"kind": "image"}, "metadata.media"),
            ({"kind": "image", "metadata": {"media": "m", "file_name": "x"}}, None),
        ],
    )
    async def test_wrong_fields_are_named(
        self, server: HansardServer, change: dict[str, Any], field: str | None
    ) -> None:
        async with people(server, "ann") as (ann,):
            body = {"kind": "text", "content": "Hi"} | change
            named = fields(await ann.post(f"/v1/chats/{await ann.chat()}/messages", json=body))
            assert named == [field] if field else named[0].startswith("metadata.")

    async def test_of_media_needs_an_own_item(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            body = {"kind": "image", "content": "", "metadata": {"media": "no-such"}}
            answer = await ann.post(f"/v1/chats/{await ann.chat()}/messages", json=body)
            problem = refused(answer, "media_not_found", 422)
            assert problem["errors"][0]["field"] == "metadata.media"

    async def test_answers_only_messages_of_the_chat(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            at = f"/v1/chats/{await ann.chat()}/messages"
            # 1 is the chat's creation, which shows as a system message.
            for seq in (1, 99):
                body = {"kind": "text", "content": "Hi", "reply_to": seq}
                refused(await ann.post(at, json=body), "unknown_message")


class TestReading:
    async def test_goes_by_pages_of_ascending_messages(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            chat = await ann.chat()
            said = [(await ann.say(chat, f"{n}"))["seq"] for n in range(7)]
            at = f"/v1/chats/{chat}/messages"

            async def page(**query: int) -> tuple[list[str], Any]:
                found = shown(await ann.get(at, params={"limit": 3, **query}))
                return [one["content"] for one in found["items"]], found

            newest, found = await page()
            assert newest == ["4", "5", "6"]
            older, found = await page(before=found["next"])
            assert older == ["1", "2", "3"]
            oldest, found = await page(before=found["next"])
            assert (oldest, found["next"]) == (["chat.created", "0"], None)
            later, found = await page(after=said[1])
            assert later == ["2", "3", "4"]
            latest, found = await page(after=found["next"])
            assert (latest, found["next"]) == (["5", "6"], None)
            around, found = await page(around=said[3])
            assert around == ["2", "3", "4"]
            assert (await page(before=found["next"]))[0] == ["chat.created", "0", "1"]
            assert (await page(after=found["newer"]))[0] == ["5", "6"]

    async def test_shows_what_happened_to_the_chat(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat()
            shown(await ann.post(f"/v1/chats/{chat}/members", json={"users": [bob.user]}))
            page = shown(await ann.get(f"/v1/chats/{chat}/messages"))
            joined = page["items"][-1]
            assert (joined["kind"], joined["content"]) == ("system", "member.added")
            assert (joined["ordinal"], joined["metadata"]) == (None, {"user": bob.user})

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ({"limit": "0"}, "limit"),
            ({"limit": "-1"}, "limit"),
            ({"limit": "many"}, "limit"),
            ({"limit": ""}, "limit"),
            ({"before": "-1"}, "before"),
            ({"before": str(2**63)}, "before"),
            ({"after": "x"}, "after"),
            ({"around": "1.5"}, "around"),
            ({"before": "1", "after": "1"}, "query"),
            ({"limit": "1\0"}, "query"),
        ],
    )
    async def test_wrong_parameters_are_named(
        self, server: HansardServer, query: dict[str, str], field: str
    ) -> None:
        async with people(server, "ann") as (ann,):
            at = f"/v1/chats/{await ann.chat()}/messages"
            assert fields(await ann.get(at, params=query)) == [field]

    async def test_a_large_limit_is_cut_and_unknown_parameters_are_passed_over(
        self, server: HansardServer
    ) -> None:
        async with people(server, "ann") as (ann,):
            chat = await ann.chat()
            query = {"limit": "9" * 30, "unknown": "x"}
            assert await ann.contents(chat, **query) == []

    async def test_what_names_no_message_is_404(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            at = f"/v1/chats/{await ann.chat()}/messages"
            for seq in ("2", "0", "01", "-1", "x", "1.0", "%D9%A1", str(2**63), "9" * 30):
                refused(await ann.get(f"{at}/{seq}"), "message_not_found")

    async def test_under_since_joined_nothing_older_is_seen(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(history="since_joined")
            old = await ann.say(chat, "old")
            shown(await ann.post(f"/v1/chats/{chat}/members", json={"users": [bob.user]}))
            await ann.say(chat, "new")
            at = f"/v1/chats/{chat}/messages/{old['seq']}"
            assert await bob.contents(chat) == ["new"]
            refused(await bob.get(at), "message_not_found")
            refused(await bob.delete(at, params={"for": "me"}), "message_not_found")
            mark = {"up_to": old["seq"]}
            refused(await bob.put(f"/v1/chats/{chat}/read", json=mark), "unknown_message")


class TestEditing:
    async def test_is_for_the_sender_and_kept_in_history(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob)
            seq = (await ann.say(chat, "first"))["seq"]
            at = f"/v1/chats/{chat}/messages/{seq}"
            refused(await bob.patch(at, json={"content": "mine"}), "not_allowed")
            for content in ("second", "third"):
                edited = shown(await ann.patch(at, json={"content": content}))
                assert edited["content"] == content
                assert edited["edited_at"] >= edited["sent_at"]
            versions = shown(await bob.get(f"{at}/history", params={"limit": 1}))
            assert [one["content"] for one in versions["items"]] == ["first"]
            cursor = {"cursor": versions["next"]}
            versions = shown(await bob.get(f"{at}/history", params=cursor))
            assert [one["content"] for one in versions["items"]] == ["second"]
            assert versions["next"] is None

    async def test_of_an_expiring_message(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            chat = await ann.chat()
            seq = (await ann.say(chat, "first", expires_in=3600))["seq"]
            at = f"/v1/chats/{chat}/messages/{seq}"
            assert shown(await ann.patch(at, json={"content": "second"}))["content"] == "second"

    async def test_needs_some_text(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            chat = await ann.chat()
            at = f"/v1/chats/{chat}/messages/{(await ann.say(chat, 'x'))['seq']}"
            assert fields(await ann.patch(at, json={"content": ""})) == ["content"]
            assert fields(await ann.patch(at, json={})) == ["content"]
            assert fields(await ann.patch(at, json={"content": "x", "kind": "text"})) == ["kind"]

    async def test_of_what_is_no_message_or_gone(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            chat = await ann.chat()
            at = f"/v1/chats/{chat}/messages"
            body = {"content": "x"}
            refused(await ann.patch(f"{at}/1", json=body), "message_not_found")
            refused(await ann.patch(f"{at}/99", json=body), "message_not_found")
            seq = (await ann.say(chat, "x"))["seq"]
            done(await ann.delete(f"{at}/{seq}", params={"for": "everyone"}))
            refused(await ann.patch(f"{at}/{seq}", json=body), "message_deleted")


class TestDeleting:
    async def test_for_everyone_leaves_the_place(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob", "cid") as (ann, bob, cid):
            chat = await ann.chat(bob, cid)
            seq = (await bob.say(chat, "oops"))["seq"]
            at = f"/v1/chats/{chat}/messages/{seq}"
            refused(await cid.delete(at, params={"for": "everyone"}), "not_allowed")
            done(await ann.delete(at, params={"for": "everyone"}))
            deleted = shown(await cid.get(at))
            assert (deleted["content"], deleted["metadata"]) == (None, None)
            assert deleted["deleted_at"] is not None
            assert shown(await cid.get(f"{at}/history"))["items"] == []
            done(await bob.delete(at, params={"for": "everyone"}))

    async def test_for_oneself_hides_it(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob)
            seq = (await ann.say(chat, "noise"))["seq"]
            at = f"/v1/chats/{chat}/messages/{seq}"
            done(await bob.delete(at, params={"for": "me"}))
            refused(await bob.get(at), "message_not_found")
            refused(await bob.delete(at, params={"for": "me"}), "message_not_found")
            assert await bob.contents(chat) == []
            assert await ann.contents(chat) == ["noise"]

    async def test_says_for_whom(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            chat = await ann.chat()
            at = f"/v1/chats/{chat}/messages/{(await ann.say(chat, 'x'))['seq']}"
            assert fields(await ann.delete(at)) == ["for"]
            assert fields(await ann.delete(at, params={"for": "all"})) == ["for"]

    async def test_of_a_system_message_is_404(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            at = f"/v1/chats/{await ann.chat()}/messages/1"
            for scope in ("everyone", "me"):
                refused(await ann.delete(at, params={"for": scope}), "message_not_found")


class TestReactions:
    async def test_are_one_per_user(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob)
            at = f"/v1/chats/{chat}/messages/{(await ann.say(chat, 'x'))['seq']}/reaction"
            shown(await ann.put(at, json={"emoji": "👍"}))
            shown(await bob.put(at, json={"emoji": "👍"}))
            message = shown(await bob.put(at, json={"emoji": "❤️"}))
            assert message["reaction_counts"] == {"👍": 1, "❤️": 1}
            assert {one["user"]: one["emoji"] for one in message["reactions"]} == {
                ann.user: "👍",
                bob.user: "❤️",
            }
            done(await bob.delete(at))
            done(await bob.delete(at))
            assert shown(await ann.get(at.removesuffix("/reaction")))["reaction_counts"] == {
                "👍": 1
            }

    @pytest.mark.parametrize("emoji", ["", " ", "a b", "x" * 33, None, 1, "👍\0"])
    async def test_are_short(self, server: HansardServer, emoji: object) -> None:
        async with people(server, "ann") as (ann,):
            chat = await ann.chat()
            at = f"/v1/chats/{chat}/messages/{(await ann.say(chat, 'x'))['seq']}/reaction"
            assert fields(await ann.put(at, json={"emoji": emoji})) in (["emoji"], ["body"])

    async def test_need_a_message_that_stands(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            chat = await ann.chat()
            at = f"/v1/chats/{chat}/messages"
            body = {"emoji": "👍"}
            refused(await ann.put(f"{at}/1/reaction", json=body), "message_not_found")
            seq = (await ann.say(chat, "x"))["seq"]
            done(await ann.delete(f"{at}/{seq}", params={"for": "everyone"}))
            refused(await ann.put(f"{at}/{seq}/reaction", json=body), "message_deleted")


class TestMarks:
    async def test_make_receipts(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob, kind="direct")
            seq = (await ann.say(chat, "x"))["seq"]
            at = f"/v1/chats/{chat}"
            one = f"{at}/messages/{seq}"
            done(await bob.put(f"{at}/delivered", json={"up_to": seq}))
            assert shown(await ann.get(one))["status"] == "delivered"
            [receipt] = shown(await ann.get(f"{one}/receipts"))["items"]
            assert (receipt["user"], receipt["read_at"]) == (bob.user, None)
            done(await bob.put(f"{at}/read", json={"up_to": seq}))
            assert shown(await ann.get(one))["status"] == "read"
            [receipt] = shown(await ann.get(f"{one}/receipts"))["items"]
            assert receipt["delivered_at"] <= receipt["read_at"]
            marks = {r["user"]: r for r in shown(await ann.get(f"{at}/receipts"))["items"]}
            assert marks[bob.user]["read_up_to"] == seq

    async def test_only_rise(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob)
            first, second = [(await ann.say(chat, "x"))["seq"] for _ in range(2)]
            for up_to in (second, first, second):
                done(await bob.put(f"/v1/chats/{chat}/read", json={"up_to": up_to}))
            assert (await bob.inbox())[0]["read_up_to"] == second

    async def test_name_a_message(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            chat = await ann.chat()
            for mark in ("read", "delivered"):
                at = f"/v1/chats/{chat}/{mark}"
                # 1 is the chat's creation.
                for up_to in (1, 99, 2**63 - 1):
                    refused(await ann.put(at, json={"up_to": up_to}), "unknown_message")
                for wrong in (0, -1, 2**63, "1", None, 1.5):
                    assert fields(await ann.put(at, json={"up_to": wrong})) == ["up_to"]
                assert fields(await ann.put(at, json={})) == ["up_to"]
