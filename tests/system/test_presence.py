"""Who is there, as a contact's app shows it: by request and live."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from tests.servers.clients import Connection, connected, register
from tests.servers.cluster import Backing, Cluster
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

STATUSES = ("online", "away", "busy", "offline")


async def seen(asker: Person, *users: Person) -> list[str]:
    """How the asker is answered about these."""
    answer = await asker.get("/v1/presence", params={"users": ",".join(u.user for u in users)})
    items = shown(answer)["items"]
    assert [item["user"] for item in items] == [user.user for user in users]
    return [item["status"] for item in items]


async def until_seen(asker: Person, user: Person, status: str) -> None:
    async def is_seen() -> bool:
        return await seen(asker, user) == [status]

    await until(is_seen)


async def until_told(connection: Connection, user: Person, status: str) -> None:
    """Return when that is the last that a connection was shown of someone."""
    await connection.frame(lambda _: told(connection, user)[-1:] == [status])


def told(connection: Connection, user: Person) -> list[str]:
    """What a connection was shown of someone."""
    return [
        f["status"] for f in connection.frames if f["op"] == "presence" and f["user"] == user.user
    ]


async def want(person: Person, status: str) -> None:
    done(await person.put("/v1/me/presence", json={"status": status}))


class TestWhatMakesOnePresent:
    async def test_being_connected_does(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            await ann.chat(bob, kind="direct")
            assert await seen(bob, ann) == ["offline"]
            async with connected(server, bob.user) as screen:
                async with connected(server, ann.user) as desk:
                    await until_told(screen, ann, "online")
                    await until_seen(bob, ann, "online")
                    await until_seen(ann, ann, "online")
                    await desk.quiet()
                    assert told(desk, ann) == []
                await until_told(screen, ann, "offline")
                assert await seen(bob, ann) == ["offline"]

    async def test_many_tabs_are_one_person(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            await ann.chat(bob)
            async with connected(server, bob.user) as screen:
                async with connected(server, ann.user) as one:
                    async with connected(server, ann.user) as two, connected(server, ann.user):
                        await until_told(screen, ann, "online")
                        await two.say("presence", status="away")
                    await one.say("presence", status="busy")
                    await until_told(screen, ann, "busy")
                    await one.say("presence", status="away")
                    await until_told(screen, ann, "away")
                    assert told(screen, ann) == ["online", "busy", "away"]
                await until_told(screen, ann, "offline")
                assert told(screen, ann) == ["online", "busy", "away", "offline"]

    async def test_the_most_present_device_counts(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            await ann.chat(bob)
            async with connected(server, ann.user) as one, connected(server, ann.user) as two:
                for said, status in (
                    (("away", "online"), "online"),
                    (("away", "away"), "away"),
                    (("busy", "online"), "busy"),
                    (("offline", "away"), "away"),
                    (("offline", "offline"), "offline"),
                ):
                    await one.say("presence", status=said[0])
                    await two.say("presence", status=said[1])
                    await until_seen(bob, ann, status)

    async def test_what_one_wants_stands_above_that(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            await ann.chat(bob, kind="direct")
            async with connected(server, bob.user) as screen:
                async with connected(server, ann.user) as desk:
                    await until_told(screen, ann, "online")
                    for status in STATUSES[1:]:
                        await want(ann, status)
                        assert await seen(bob, ann) == [status]
                        await desk.say("presence", status="online")
                        await desk.quiet()
                        assert await seen(bob, ann) == [status]
                    async with connected(server, ann.user):
                        assert await seen(bob, ann) == ["offline"]
                # Loaded anew it holds still.
                async with connected(server, ann.user):
                    await want(ann, "online")
                    assert await seen(bob, ann) == ["online"]
                    await until_told(screen, ann, "online")

    async def test_a_program_without_a_connection_may_say_so(self, server: HansardServer) -> None:
        async with people(server, "bot", "bob") as (bot, bob):
            await bot.chat(bob)
            async with connected(server, bob.user) as screen:
                await want(bot, "busy")
                assert await seen(bob, bot) == ["busy"]
                await until_told(screen, bot, "busy")

    async def test_it_is_no_event(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            chat = await ann.chat(bob)

            async def events() -> list[object]:
                pages = [
                    shown(await ann.get(path))["items"]
                    for path in ("/v1/me/events?after=0", f"/v1/chats/{chat}/events?after=0")
                ]
                return [event for page in pages for event in page]

            before = await events()
            async with connected(server, ann.user) as desk:
                await desk.say("presence", status="busy")
                await until_seen(bob, ann, "busy")
                await want(ann, "away")
            assert await events() == before


class TestWhoIsTold:
    async def test_only_those_who_share_a_chat(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob", "cid", "dan") as (ann, bob, cid, dan):
            await ann.chat(bob, kind="direct")
            left = await ann.chat(dan)
            done(await dan.delete(f"/v1/chats/{left}/members/{dan.user}"))
            async with (
                connected(server, bob.user) as screen,
                connected(server, cid.user) as stranger,
                connected(server, dan.user) as former,
                connected(server, ann.user),
            ):
                await until_told(screen, ann, "online")
                await until_seen(bob, ann, "online")
                for outside, connection in ((cid, stranger), (dan, former)):
                    assert await seen(outside, ann, bob) == ["offline", "offline"]
                    assert await seen(ann, outside) == ["offline"]
                    await connection.quiet()
                    assert told(connection, ann) == []

    async def test_once_however_many_chats_are_shared(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            await ann.chat(bob, kind="direct")
            for _ in range(5):
                await ann.chat(bob)
            async with connected(server, bob.user) as screen, connected(server, ann.user) as desk:
                await until_told(screen, ann, "online")
                await desk.say("presence", status="busy")
                await until_told(screen, ann, "busy")
                await screen.quiet()
                assert told(screen, ann) == ["online", "busy"]

    async def test_not_those_of_a_large_group_unless_they_ask(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob", "cid", "dan") as (ann, bob, cid, dan):
            crowd = [f"{ann.user}.{number}" for number in range(48)]
            await register(server, *crowd)

            async def group(other: Person, *more: str) -> None:
                body = {"kind": "group", "members": [other.user, *crowd, *more], "name": "many"}
                shown(await ann.post("/v1/chats", json=body), 201)

            await group(bob)
            await group(cid, dan.user)
            async with (
                connected(server, bob.user) as fiftieth,
                connected(server, cid.user) as one_more,
                connected(server, ann.user),
            ):
                await until_told(fiftieth, ann, "online")
                await until_seen(cid, ann, "online")
                await one_more.quiet()
                assert told(one_more, ann) == []

    async def test_of_many_changes_the_last(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            await ann.chat(bob)
            async with connected(server, bob.user) as screen, connected(server, ann.user) as desk:
                await until_told(screen, ann, "online")
                for number in range(30):
                    await desk.say("presence", status=STATUSES[number % 4])
                    await desk.quiet()
                await desk.say("presence", status="busy")
                await until_told(screen, ann, "busy")
                await until_seen(bob, ann, "busy")
                await want(ann, "away")
                await until_told(screen, ann, "away")
                statuses = told(screen, ann)
                assert (statuses[0], statuses[-1]) == ("online", "away")
                assert all(one != other for one, other in itertools.pairwise(statuses))
                # The changes of a moment, and one after it, are far more than are told.
                assert len(statuses) < 15


class TestBlocking:
    @pytest.mark.parametrize("kind", ["direct", "group"])
    async def test_presence_does_not_pass(self, server: HansardServer, kind: str) -> None:
        async with people(server, "ann", "bob", "cid") as (ann, bob, cid):
            await ann.chat(bob, kind="direct")
            if kind == "group":
                await ann.chat(bob, cid)
            else:
                await ann.chat(cid, kind="direct")
                await bob.chat(cid, kind="direct")
            done(await ann.put(f"/v1/me/blocks/{bob.user}"))
            async with (
                connected(server, cid.user) as witness,
                connected(server, ann.user) as one,
                connected(server, bob.user) as other,
            ):
                for person in (ann, bob):
                    await until_told(witness, person, "online")
                    await want(person, "busy")
                    await until_told(witness, person, "busy")
                assert await seen(cid, ann, bob) == ["busy", "busy"]
                assert await seen(ann, bob, cid) == ["offline", "online"]
                assert await seen(bob, ann, cid) == ["offline", "online"]
                await one.quiet()
                await other.quiet()
                assert told(one, bob) == []
                assert told(other, ann) == []
                done(await ann.delete(f"/v1/me/blocks/{bob.user}"))
                assert await seen(ann, bob) == ["busy"]
                await want(ann, "away")
                await until_told(other, ann, "away")


class TestBadInput:
    async def test_wrong_statuses(self, server: HansardServer) -> None:
        async with people(server, "ann") as (ann,), connected(server, ann.user) as desk:
            for body in ({"status": "asleep"}, {"status": None}, {"status": 1}):
                assert fields(await ann.put("/v1/me/presence", json=body)) == ["status"]
                await desk.say("presence", **body)
            refused(await ann.put("/v1/me/presence", json={}), "invalid_request")
            refused(await ann.put("/v1/me/presence", json={"status": "\0"}), "invalid_request")
            body = {"status": "busy", "until": "tomorrow"}
            refused(await ann.put("/v1/me/presence", json=body), "invalid_request")
            await desk.say("presence")
            await desk.say("presence", **body)
            await desk.quiet()
            codes = [frame["code"] for frame in desk.frames if frame["op"] == "error"]
            assert codes == ["invalid_request"] * 5
            await until_seen(ann, ann, "online")

    async def test_wrong_queries(self, server: HansardServer) -> None:
        async with people(server, "ann", "bob") as (ann, bob):
            await ann.chat(bob)
            assert fields(await ann.get("/v1/presence")) == ["users"]
            many = ",".join(f"user{number}" for number in range(201))
            assert fields(await ann.get("/v1/presence", params={"users": many})) == ["users"]
            items = shown(await ann.get("/v1/presence", params={"users": many.rpartition(",")[0]}))[
                "items"
            ]
            assert {item["status"] for item in items} == {"offline"}
            assert len(items) == 200
            refused(await ann.get("/v1/presence", params={"users": "a\0b"}), "invalid_request")
            twice = {"users": f"{bob.user},{bob.user},,nobody"}
            items = shown(await ann.get("/v1/presence", params=twice))["items"]
            assert [item["user"] for item in items] == [bob.user, "nobody"]

    async def test_who_may_not_ask(self, server: HansardServer) -> None:
        async with strangers(server, "new") as (new,):
            query = {"users": new.user}
            refused(await new.get("/v1/presence", params=query), "not_registered")
            body = {"status": "busy"}
            refused(await new.put("/v1/me/presence", json=body), "not_registered")
            new.headers["Authorization"] = "Bearer nonsense"
            refused(await new.get("/v1/presence", params=query), "unauthenticated")
            refused(await new.put("/v1/me/presence", json=body), "unauthenticated")


class TestManyGateways:
    @pytest.fixture
    def cluster(self, tmp_path: Path, backing: Backing) -> Iterator[Cluster]:
        running = Cluster(tmp_path / f"presence{abs(hash(tmp_path.name))}", backing).start()
        yield running
        running.kill()

    async def test_those_of_one_that_dies_go_offline(self, cluster: Cluster) -> None:
        other = cluster.process("gateway", "gateway2").start()
        async with people(cluster, "ann", "bob") as (ann, bob):
            await ann.chat(bob)
            async with connected(cluster, bob.user) as screen:
                async with connected(other, ann.user):
                    await until_told(screen, ann, "online")
                    async with connected(cluster, ann.user) as tab:
                        await tab.say("presence", status="busy")
                        await until_told(screen, ann, "busy")
                    await until_told(screen, ann, "online")
                    other.kill()
                    await _let_time_pass(cluster, ann.user)
                    await until_told(screen, ann, "offline")
                assert await seen(bob, ann) == ["offline"]
                assert told(screen, ann) == ["online", "busy", "online", "offline"]


async def _let_time_pass(cluster: Cluster, user: str) -> None:
    """What a user has in Redis ends as if nobody had renewed it for a minute."""
    url = urlsplit(cluster.environ["HANSARD_REALTIME_URL"])
    present = f"{url.path.strip('/')}:presence"
    async with Redis.from_url(url._replace(path="").geturl()) as client:
        assert await client.delete(f"{present}:{user}") == 1
        assert await client.zadd(present, {user: 0}, xx=True, ch=True) == 1
