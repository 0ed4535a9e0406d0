"""Chats, their members, the inbox, filing."""

from typing import Any

import pytest

from tests.servers.hansard import HansardServer
from tests.system.rest_support import Person, done, fields, people, refused, shown


def roles(chat: Any) -> dict[str, str]:
    return {member["user"]: member["role"] for member in chat["members"]}


class TestMaking:
    async def test_a_group_has_its_maker_as_admin(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            body = {"kind": "group", "members": [bob.user], "name": "Us", "description": "Two"}
            answer = await ann.post("/v1/chats", json=body)
            chat = shown(answer, 201)
            assert answer.headers["location"] == f"/v1/chats/{chat['id']}"
            assert roles(chat) == {ann.user: "admin", bob.user: "member"}
            assert (chat["name"], chat["description"]) == ("Us", "Two")
            assert (chat["history"], chat["members_count"]) == ("all", 2)
            assert shown(await bob.get(answer.headers["location"])) == chat

    async def test_a_direct_chat_exists_once(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            body = {"kind": "direct", "members": [bob.user]}
            first = await ann.post("/v1/chats", json=body)
            chat = shown(first, 201)
            assert roles(chat) == {ann.user: "member", bob.user: "member"}
            again = shown(await ann.post("/v1/chats", json=body), 200)
            other = {"kind": "direct", "members": [ann.user, bob.user]}
            theirs = shown(await bob.post("/v1/chats", json=other), 200)
            assert again["id"] == theirs["id"] == chat["id"]

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"kind": "channel"}, "kind"),
            ({"kind": None}, "kind"),
            ({"members": "bob"}, "members"),
            ({"members": [1]}, "members.0"),
            ({"members": ["a", "a b"]}, "members.1"),
            ({"members": [f"u{n}" for n in range(1025)]}, "members"),
            ({"name": ""}, "name"),
            ({"name": "x" * 129}, "name"),
            ({"history": "some"}, "history"),
            ({"admins": []}, "admins"),
            ({"kind": "direct", "members": []}, "members"),
            ({"kind": "direct", "members": ["x", "y"]}, "members"),
            ({"kind": "direct", "members": ["x"], "name": "Us"}, "name"),
            ({"kind": "direct", "members": ["x"], "history": "since_joined"}, "history"),
        ],
    )
    async def test_wrong_fields_are_named(
        self, server: HansardServer, change: dict[str, Any], field: str
    ) -> None:
        async with people(server, "ann") as (ann,):
            answer = await ann.post("/v1/chats", json={"kind": "group", "members": []} | change)
            assert fields(answer) == [field]

    async def test_needs_kind_and_members(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            assert fields(await ann.post("/v1/chats", json={"members": []})) == ["kind"]
            assert fields(await ann.post("/v1/chats", json={"kind": "group"})) == ["members"]

    async def test_a_direct_chat_with_oneself_is_none(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            body = {"kind": "direct", "members": [ann.user]}
            assert fields(await ann.post("/v1/chats", json=body)) == ["members"]

    async def test_members_are_registered(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            body = {"kind": "group", "members": [bob.user, "nobody-at-all"]}
            problem = refused(await ann.post("/v1/chats", json=body), "user_not_found", 422)
            assert problem["errors"][0]["field"] == "members.1"


class TestAccess:
    async def test_a_chat_of_others_looks_like_none(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat()
            message = await ann.say(chat, "secret")
            for known in (chat, "no-such-chat", "%00", "x" * 300):
                at = f"/v1/chats/{known}"
                one = f"{at}/messages/{message['seq']}"
                text = {"kind": "text", "content": "x"}
                for answer in (
                    await bob.get(at),
                    await bob.patch(at, json={"name": "x"}),
                    await bob.get(f"{at}/members"),
                    await bob.post(f"{at}/members", json={"users": [bob.user]}),
                    await bob.delete(f"{at}/members/{ann.user}"),
                    await bob.delete(f"{at}/members/{bob.user}"),
                    await bob.put(f"{at}/members/{ann.user}", json={"role": "member"}),
                    await bob.put(f"{at}/filing", json={"pinned": True}),
                    await bob.put(f"{at}/read", json={"up_to": message["seq"]}),
                    await bob.put(f"{at}/delivered", json={"up_to": message["seq"]}),
                    await bob.get(f"{at}/messages"),
                    await bob.post(f"{at}/messages", json=text),
                    await bob.get(one),
                    await bob.patch(one, json={"content": "x"}),
                    await bob.delete(one, params={"for": "everyone"}),
                    await bob.delete(one, params={"for": "me"}),
                    await bob.put(f"{one}/reaction", json={"emoji": "👍"}),
                    await bob.delete(f"{one}/reaction"),
                    await bob.get(f"{one}/receipts"),
                    await bob.get(f"{one}/history"),
                    await bob.get(f"{at}/receipts"),
                    await bob.get(f"{at}/events"),
                    await bob.get("/v1/search/messages", params={"q": "secret", "chat": known}),
                ):
                    refused(answer, "chat_not_found")
                    assert "hansard-position" not in answer.headers

    async def test_ends_with_leaving(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob)
            assert [row["chat"]["id"] for row in await bob.inbox()] == [chat]
            done(await bob.delete(f"/v1/chats/{chat}/members/{bob.user}"))
            refused(await bob.get(f"/v1/chats/{chat}"), "chat_not_found")
            assert await bob.inbox() == []


class TestChanging:
    async def test_is_for_admins_and_null_clears(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob, description="Old")
            at = f"/v1/chats/{chat}"
            refused(await bob.patch(at, json={"name": "Mine"}), "not_allowed")
            changed = shown(await ann.patch(at, json={"name": "Ours"}))
            assert (changed["name"], changed["description"]) == ("Ours", "Old")
            assert shown(await ann.patch(at, json={"description": None}))["description"] is None
            assert shown(await ann.patch(at, json={}))["name"] == "Ours"

    async def test_a_direct_chat_can_not_be_changed(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob", "cid") as (ann, bob, cid):
            at = f"/v1/chats/{await ann.chat(bob, kind='direct')}"
            for answer in (
                await ann.patch(at, json={"name": "Us"}),
                await ann.post(f"{at}/members", json={"users": [cid.user]}),
                await ann.delete(f"{at}/members/{bob.user}"),
                await ann.put(f"{at}/members/{bob.user}", json={"role": "admin"}),
            ):
                refused(answer, "direct_chat")


class TestMembers:
    async def test_are_added_and_removed_by_admins(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob", "cid") as (ann, bob, cid):
            chat = await ann.chat(bob)
            at = f"/v1/chats/{chat}/members"
            body = {"users": [cid.user, bob.user]}
            refused(await bob.post(at, json=body), "not_allowed")
            added = shown(await ann.post(at, json=body))
            assert roles(added) == {ann.user: "admin", bob.user: "member", cid.user: "member"}
            refused(await bob.delete(f"{at}/{cid.user}"), "not_allowed")
            done(await ann.delete(f"{at}/{cid.user}"))
            refused(await ann.delete(f"{at}/{cid.user}"), "user_not_found")
            listed = shown(await bob.get(at))
            assert [member["user"] for member in listed["items"]] == [ann.user, bob.user]

    async def test_that_do_not_exist_are_named(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            at = f"/v1/chats/{await ann.chat()}/members"
            body = {"users": [bob.user, "nobody-at-all"]}
            problem = refused(await ann.post(at, json=body), "user_not_found", 422)
            assert problem["errors"][0]["field"] == "users.1"
            assert fields(await ann.post(at, json={"users": []})) == ["users"]
            refused(await ann.delete(f"{at}/a%20b"), "user_not_found")

    async def test_roles_change_and_one_admin_remains(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob)
            at = f"/v1/chats/{chat}/members"
            member, admin = {"role": "member"}, {"role": "admin"}
            refused(await ann.put(f"{at}/{ann.user}", json=member), "not_allowed")
            promoted = shown(await ann.put(f"{at}/{bob.user}", json=admin))
            assert roles(promoted)[bob.user] == "admin"
            assert roles(shown(await bob.put(f"{at}/{ann.user}", json=member)))[ann.user] == (
                "member"
            )
            assert fields(await bob.put(f"{at}/{ann.user}", json={"role": "king"})) == ["role"]
            refused(await bob.put(f"{at}/nobody", json=admin), "user_not_found")

    async def test_the_last_admin_leaves_an_heir(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob", "cid") as (ann, bob, cid):
            chat = await ann.chat(bob)
            shown(await ann.post(f"/v1/chats/{chat}/members", json={"users": [cid.user]}))
            done(await ann.delete(f"/v1/chats/{chat}/members/{ann.user}"))
            left = shown(await cid.get(f"/v1/chats/{chat}"))
            assert roles(left) == {bob.user: "admin", cid.user: "member"}

    async def test_come_in_pages(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob", "cid") as (ann, bob, cid):
            at = f"/v1/chats/{await ann.chat(bob, cid)}/members"
            first = shown(await ann.get(at, params={"limit": 2}))
            rest = shown(await ann.get(at, params={"limit": 2, "cursor": first["next"]}))
            users = [member["user"] for member in first["items"] + rest["items"]]
            assert sorted(users) == sorted((ann.user, bob.user, cid.user))
            assert rest["next"] is None


class TestInbox:
    async def test_counts_what_others_said(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob, kind="direct")
            await ann.say(chat, "one")
            last = await ann.say(chat, "two")
            [row] = await bob.inbox()
            assert row["unread"] == 2
            assert row["last_message"]["content"] == "two"
            assert row["chat"]["id"] == chat
            assert len(row["chat"]["members"]) == 2
            assert (row["pinned"], row["archived"], row["muted_until"]) == (False, False, None)
            done(await bob.put(f"/v1/chats/{chat}/read", json={"up_to": last["seq"]}))
            [row] = await bob.inbox()
            assert (row["unread"], row["read_up_to"]) == (0, last["seq"])
            assert (await ann.inbox())[0]["unread"] == 0

    async def test_shows_pinned_chats_first_and_archived_ones_on_demand(
        self, server: HansardServer
    ) -> None:
        async with people(server, "ann") as (ann,):
            chats = [await ann.chat(name=f"chat {n}") for n in range(4)]
            done(await ann.put(f"/v1/chats/{chats[0]}/filing", json={"pinned": True}))
            done(await ann.put(f"/v1/chats/{chats[1]}/filing", json={"archived": True}))
            order = [chats[0], chats[3], chats[2], chats[1]]
            assert [row["chat"]["id"] for row in await ann.inbox()] == order
            assert await ids(ann, archived="true") == [chats[1]]
            assert await ids(ann, archived="false") == [chats[0], chats[3], chats[2]]

    async def test_comes_in_pages(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            chats = [await ann.chat() for _ in range(5)]
            seen, cursor = [], None
            while True:
                query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
                page = shown(await ann.get("/v1/chats", params=query))
                seen += [row["chat"]["id"] for row in page["items"]]
                cursor = page["next"]
                if cursor is None:
                    break
                assert len(page["items"]) == 2
            assert seen == chats[::-1]


class TestFiling:
    async def test_mute_is_an_instant_and_null_ends_it(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,):
            at = f"/v1/chats/{await ann.chat()}/filing"
            done(await ann.put(at, json={"muted_until": "2999-01-01T01:00:00+01:00"}))
            assert (await ann.inbox())[0]["muted_until"] == "2999-01-01T00:00:00.000Z"
            done(await ann.put(at, json={"pinned": True}))
            assert (await ann.inbox())[0]["muted_until"] == "2999-01-01T00:00:00.000Z"
            done(await ann.put(at, json={"muted_until": None}))
            assert (await ann.inbox())[0]["muted_until"] is None

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"pinned": None}, "pinned"),
            ({"pinned": "true"}, "pinned"),
            ({"archived": 1}, "archived"),
            ({"muted_until": "tomorrow"}, "muted_until"),
            ({"muted_until": "2999-01-01"}, "muted_until"),
            ({"muted_until": 1}, "muted_until"),
            ({"starred": True}, "starred"),
        ],
    )
    async def test_wrong_fields_are_named(
        self, server: HansardServer, body: dict[str, Any], field: str
    ) -> None:
        async with people(server, "ann") as (ann,):
            at = f"/v1/chats/{await ann.chat()}/filing"
            assert fields(await ann.put(at, json=body)) == [field]


async def ids(person: Person, **query: str) -> list[str]:
    return [row["chat"]["id"] for row in await person.inbox(**query)]
