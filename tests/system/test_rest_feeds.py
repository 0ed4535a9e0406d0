"""Feeds and search."""

from typing import Any

import pytest

from tests.servers.hansard import HansardServer
from tests.system.rest_support import done, fields, people, refused, shown


class TestChatFeed:
    async def test_has_every_event_in_order(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob)
            message = await ann.say(chat, "Hi")
            at = f"/v1/chats/{chat}"
            one = f"{at}/messages/{message['seq']}"
            shown(await ann.patch(one, json={"content": "Hello"}))
            shown(await bob.put(f"{one}/reaction", json={"emoji": "👍"}))
            first = shown(await bob.get(f"{at}/events", params={"limit": 3}))
            assert first["next"] == 3
            rest = shown(await bob.get(f"{at}/events", params={"after": first["next"]}))
            assert rest["next"] is None
            events = first["items"] + rest["items"]
            assert [event["seq"] for event in events] == [1, 2, 3, 4]
            assert [event["type"] for event in events] == [
                "chat.created",
                "message.sent",
                "message.edited",
                "reaction.set",
            ]
            sent = events[1]
            assert sent["stream"] == f"chats/{chat}"
            assert (sent["actor"], sent["data"]["content"]) == (ann.user, "Hi")
            assert sent.keys() == {"stream", "seq", "type", "time", "actor", "command", "data"}

    async def test_redacts_what_was_deleted(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob)
            seq = (await ann.say(chat, "secret"))["seq"]
            at = f"/v1/chats/{chat}/messages/{seq}"
            done(await ann.delete(at, params={"for": "everyone"}))
            events = await ann.get(f"/v1/chats/{chat}/events")
            assert "secret" not in events.text
            sent = shown(events)["items"][1]
            assert sent["redacted"] is True
            assert sent["data"] == {"ordinal": 1, "kind": "text"}

    async def test_is_read_from_a_place(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            at = f"/v1/chats/{await ann.chat()}/events"
            beyond = shown(await ann.get(at, params={"after": 10**6, "limit": 10**6}))
            assert beyond == {"items": [], "next": None}
            assert fields(await ann.get(at, params={"after": "-1"})) == ["after"]
            assert fields(await ann.get(at, params={"limit": "0"})) == ["limit"]


class TestOwnFeed:
    async def test_is_for_oneself(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            chat = await ann.chat()
            done(await ann.put(f"/v1/chats/{chat}/filing", json={"pinned": True}))
            feed = shown(await ann.get("/v1/me/events"))
            assert [event["type"] for event in feed["items"]] == ["user.registered", "chat.filed"]
            assert feed["items"][0]["data"]["name"] == "ann"
            assert feed["items"][0]["stream"] == f"users/{ann.user}"
            later = shown(await ann.get("/v1/me/events", params={"after": 1}))
            assert [event["seq"] for event in later["items"]] == [2]


class TestMessageSearch:
    async def test_finds_words_in_own_chats_alone(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob)
            private = await ann.chat()
            await ann.say(chat, "The zebra crossing")
            await ann.say(private, "My zebra")
            found = shown(await bob.get("/v1/search/messages", params={"q": "ZEBRA cross"}))
            [hit] = found["items"]
            assert hit["message"]["content"] == "The zebra crossing"
            assert (hit["chat"]["id"], hit["highlights"]) == (chat, [[4, 9], [10, 18]])

    async def test_comes_in_pages_of_either_order(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            chat = await ann.chat()
            for n in range(5):
                await ann.say(chat, "walrus " * (n % 3 + 1))
            for sort in ("recent", "relevance"):
                seen, cursor = [], None
                for _ in range(3):
                    query: dict[str, Any] = {"q": "walrus", "limit": 2, "sort": sort}
                    query |= {"cursor": cursor} if cursor else {}
                    page = shown(await ann.get("/v1/search/messages", params=query))
                    seen += [hit["message"]["seq"] for hit in page["items"]]
                    cursor = page["next"]
                assert cursor is None
                assert len(seen) == len(set(seen)) == 5
                if sort == "recent":
                    assert seen == sorted(seen, reverse=True)

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ({}, "q"),
            ({"q": ""}, "q"),
            ({"q": "has:nothing"}, "q"),
            ({"q": "before:yesterday"}, "q"),
            ({"q": "x" * 513}, "q"),
            ({"q": "zebra", "sort": "oldest"}, "sort"),
            ({"q": "zebra", "limit": "0"}, "limit"),
            ({"q": "zebra", "cursor": "made-up"}, "cursor"),
        ],
    )
    async def test_wrong_parameters_are_named(
        self, server: HansardServer, query: dict[str, str], field: str
    ) -> None:
        async with people(server, "ann") as (ann,):
            assert fields(await ann.get("/v1/search/messages", params=query)) == [field]


class TestUserSearch:
    async def test_goes_by_name_or_whole_address(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            word = f"Q{bob.user[-12:]}"
            profile = {"name": f"Robert {word}", "email": f"{word}@example.org"}
            shown(await bob.put("/v1/me", json=profile))
            for query in (word[:8], f"robert {word[:6]}", profile["email"]):
                found = await ann.get("/v1/search/users", params={"q": query})
                assert [one["id"] for one in shown(found)["items"]] == [bob.user]
                assert "example.org" not in found.text
            for query in ("Q", profile["email"][:-1], "@example.org"):
                assert shown(await ann.get("/v1/search/users", params={"q": query}))["items"] == []
            assert fields(await ann.get("/v1/search/users")) == ["q"]


async def test_unknown_paths_are_problems(server: HansardServer) -> None:
    async with people(server, "ann") as (ann,):
        for path in (
            "/",
            "/v1",
            "/v1/me/",
            "/v2/me",
            "/v1/media/x/y",
            "/v1/audit/x",
            "/v1/ws",
        ):
            refused(await ann.get(path), "not_found")
        answer = await ann.post("/v1/me", json={})
        refused(answer, "not_found", 405)
        assert answer.headers["allow"] == "GET, PUT"
