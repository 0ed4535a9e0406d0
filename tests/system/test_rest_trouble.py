"""What clients see while something behind the gateway is not as it should be."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator

import msgspec

from domain.ids import chat_stream
from projections.catalogue import COLLECTIONS
from projections.dead_letters import DEAD_LETTERS, DeadLetter
from projections.profiles import PROFILES
from projections.store import open_store
from projections.store.port import Batch, ReadStore
from tests.servers.hansard import HansardServer
from tests.system.rest_support import done, people, refused, shown

HELLO = {"kind": "text", "content": "Hello"}
ANSWER = {"kind": "text", "content": "Hello yourself", "reply_to": 2}


@contextlib.asynccontextmanager
async def stopped(server: HansardServer) -> AsyncIterator[ReadStore]:
    """The server's read store, while the server is stopped."""
    server.stop()
    store = await open_store(f"sqlite:///{server.folder}/read.db", COLLECTIONS)
    try:
        yield store
    finally:
        await store.close()
        server.start()


@contextlib.contextmanager
def projections_held_up(server: HansardServer) -> Iterator[None]:
    """The read models can be read but not written."""
    with contextlib.closing(sqlite3.connect(server.folder / "read.db")) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.rollback()


async def test_a_stale_stream_is_named_and_the_others_go_on(
    fresh_server: HansardServer,
) -> None:
    async with people(fresh_server, "ann", "bob") as (ann, bob):
        chat, other = await ann.chat(bob), await ann.chat(bob)
        seq = (await ann.say(chat, "Before"))["seq"]
        stream = chat_stream(chat)
        async with stopped(fresh_server) as store:
            letter = DeadLetter(seq=1, stream=stream, at=seq + 1, error="KeyError")
            await store.write(Batch([(DEAD_LETTERS, [letter])], {}))
        at = f"/v1/chats/{chat}"
        for path in (at, f"{at}/messages", f"{at}/messages/{seq}", f"{at}/events", "/v1/chats"):
            answer = await ann.get(path)
            shown(answer)
            assert answer.headers["hansard-stale"] == stream
        # What is written is safe in the log, but not all of it can be shown.
        shown(await ann.post(f"{at}/messages", json=HELLO), 201)
        headers = {"Idempotency-Key": "once"}
        answer = await ann.post(f"{at}/messages", json=ANSWER, headers=headers)
        refused(answer, "projection_stale")
        position = {"Hansard-Position": answer.headers["hansard-position"]}
        refused(await bob.get(at, headers=position), "projection_stale")
        again = await ann.post(f"{at}/messages", json=ANSWER, headers=headers)
        refused(again, "projection_stale")
        assert again.headers["idempotent-replayed"] == "true"
        assert again.headers["hansard-position"] == answer.headers["hansard-position"]
        done(await ann.delete(f"{at}/messages/{seq}", params={"for": "everyone"}))
        # It is the operator's to mend, and no reason to turn other requests away.
        await ann.say(other, "Still here")
        assert "hansard-stale" not in (await ann.get(f"/v1/chats/{other}")).headers
        assert shown(await ann.get("/readyz"))["stale_streams"] == 1


async def test_read_models_that_are_behind_are_waited_for_and_then_503(
    fresh_server: HansardServer,
) -> None:
    async with people(fresh_server, "ann", "bob") as (ann, bob):
        chat = await ann.chat(bob)
        at = f"/v1/chats/{chat}"
        headers = {"Idempotency-Key": "once"}
        await ann.say(chat, "Before")
        with projections_held_up(fresh_server):
            # A message that is shown as it was sent needs no reading.
            shown(await ann.post(f"{at}/messages", json=HELLO), 201)
            answer = await ann.post(f"{at}/messages", json=ANSWER, headers=headers)
            refused(answer, "projection_behind")
            assert answer.headers["retry-after"]
            assert answer.headers["idempotency-key"] == "once"
            position = {"Hansard-Position": answer.headers["hansard-position"]}
            refused(await bob.get(f"{at}/messages", headers=position), "projection_behind")
            mark = await bob.put(f"{at}/read", json={"up_to": 3}, headers=position)
            refused(mark, "projection_behind")
            # Without a position the answer is what can be shown now.
            assert await bob.contents(chat) == ["Before"]
        again = await ann.post(f"{at}/messages", json=ANSWER, headers=headers)
        assert shown(again, 201)["content"] == ANSWER["content"]
        assert again.headers["idempotent-replayed"] == "true"
        read = await bob.get(f"{at}/messages", headers=position)
        assert shown(read)["items"][-1]["content"] == ANSWER["content"]


async def test_whoever_is_suspended_or_erased_is_kept_out(fresh_server: HansardServer) -> None:
    async with people(fresh_server, "ann", "bob", "cid") as (ann, bob, cid):
        async with stopped(fresh_server) as store:
            found = await store.get(PROFILES, [(ann.user,), (bob.user,)])
            suspended = msgspec.structs.replace(found[ann.user,], seq=9, suspended=True)
            erased = msgspec.structs.replace(found[bob.user,], seq=9, erased=True, name=None)
            await store.write(Batch([(PROFILES, [suspended, erased])], {}))
        for person, code in ((ann, "suspended"), (bob, "user_erased")):
            refused(await person.get("/v1/me"), code)
            refused(await person.post("/v1/chats", json={}), code)
        profile = shown(await cid.get(f"/v1/users/{bob.user}"))
        assert (profile["name"], profile["erased"]) == (None, True)
        body = {"kind": "direct", "members": [bob.user]}
        refused(await cid.post("/v1/chats", json=body), "user_not_found", 422)
        body = {"kind": "direct", "members": [ann.user]}
        shown(await cid.post("/v1/chats", json=body), 201)
