"""The WebSocket protocol, as an app's developer meets it."""

import asyncio
import contextlib
import json
import random
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.servers.clients import connected, make_chat, opened, register, rest
from tests.servers.hansard import HansardServer

NAMES = iter(range(10**6))


async def people(server: HansardServer, *names: str) -> list[str]:
    """Users of their own for one test, registered."""
    number = next(NAMES)
    users = [f"{name}.{number}" for name in names]
    await register(server, *users)
    return users


async def test_a_message_is_acknowledged_before_its_event(server: HansardServer) -> None:
    alice, bob = await people(server, "alice", "bob")
    chat = await make_chat(server, alice, bob)
    async with connected(server, alice) as one, connected(server, bob) as other:
        ack = await one.ask("send", chat=chat, kind="text", content="hi")
        assert ack["op"] == "ack"
        assert (ack["seq"], ack["ordinal"]) == (2, 1)
        event = await one.event("message.sent", seq=2)
        assert one.frames.index(ack) < one.frames.index(event)
        seen = await other.event("message.sent", seq=2)
        assert seen == event
        assert seen["data"]["content"] == "hi"
        assert seen["actor"] == alice
        assert "redacted" not in seen


async def test_the_position_of_an_ack_reads_ones_own_write(server: HansardServer) -> None:
    alice, bob = await people(server, "alice", "bob")
    chat = await make_chat(server, alice, bob)
    async with connected(server, alice) as one, rest(server, alice) as client:
        for number in range(20):
            ack = await one.ask("send", chat=chat, kind="text", content=str(number))
            answer = await client.get(
                f"/v1/chats/{chat}/messages/{ack['seq']}",
                headers={"Hansard-Position": ack["position"]},
            )
            assert answer.json()["content"] == str(number)


async def test_every_write_by_frame(server: HansardServer) -> None:
    alice, bob = await people(server, "alice", "bob")
    chat = await make_chat(server, alice, bob)
    async with connected(server, alice) as one, connected(server, bob) as other:
        sent = await one.ask("send", chat=chat, kind="text", content="helo")
        seq = sent["seq"]
        assert (await one.ask("edit", chat=chat, seq=seq, content="hello"))["op"] == "ack"
        assert (await other.ask("react", chat=chat, seq=seq, emoji="👍"))["op"] == "ack"
        assert (await other.ask("react", chat=chat, seq=seq, emoji=None))["op"] == "ack"
        assert (await other.ask("read", chat=chat, up_to=seq))["up_to"] == seq
        receipt = await one.frame(lambda f: f["op"] == "receipt" and "read_up_to" in f)
        assert receipt == {"op": "receipt", "chat": chat, "user": bob, "read_up_to": seq}
        assert (await other.ask("delete", chat=chat, seq=seq, **{"for": "me"}))["op"] == "ack"
        hidden = await other.event("message.hidden")
        assert hidden["stream"] == f"users/{bob}"
        assert (await one.ask("delete", chat=chat, seq=seq, **{"for": "everyone"}))["op"] == "ack"
        deleted = await other.event("message.deleted")
        assert deleted["data"] == {"message": seq}


async def test_the_same_frame_id_sends_once(server: HansardServer) -> None:
    alice, bob = await people(server, "alice", "bob")
    chat = await make_chat(server, alice, bob)
    async with connected(server, alice) as one, connected(server, bob) as other:
        first = await one.ask("send", id="once", chat=chat, kind="text", content="x")
        one.frames.clear()
        again = await one.ask("send", id="once", chat=chat, kind="text", content="x")
        assert {k: again[k] for k in ("seq", "ordinal", "time")} == {
            k: first[k] for k in ("seq", "ordinal", "time")
        }
        one.frames.clear()
        reused = await one.ask("send", id="once", chat=chat, kind="text", content="y")
        assert reused["code"] == "idempotency_key_reused"
        await other.quiet()
        assert len(other.events(f"chats/{chat}")) == 1


async def test_joining_and_leaving_while_connected(server: HansardServer) -> None:
    alice, bob = await people(server, "alice", "bob")
    chat = await make_chat(server, alice, kind="group", name="room")
    stream = f"chats/{chat}"
    async with connected(server, bob) as other, rest(server, alice) as client:
        assert stream not in other.welcome["streams"]
        await client.post(f"/v1/chats/{chat}/messages", json={"kind": "text", "content": "early"})
        await client.post(f"/v1/chats/{chat}/members", json={"users": [bob]})
        added = await other.event("member.added", stream=stream)
        reset = await other.frame(lambda f: f["op"] == "reset")
        assert reset == {"op": "reset", "stream": stream, "seq": added["seq"] - 1}
        await client.delete(f"/v1/chats/{chat}/members/{bob}")
        removed = await other.event("member.removed", stream=stream)
        await client.post(f"/v1/chats/{chat}/messages", json={"kind": "text", "content": "late"})
        await other.quiet()
        assert other.events(stream)[-1] == removed
        refused = await other.ask("send", chat=chat, kind="text", content="still there?")
        assert refused["code"] == "chat_not_found"
        async with rest(server, bob) as outsider:
            again = await outsider.get(f"/v1/chats/{chat}")
        assert (again.status_code, again.json()["code"]) == (404, "chat_not_found")


async def test_a_new_chat_comes_to_who_is_connected(server: HansardServer) -> None:
    alice, bob = await people(server, "alice", "bob")
    async with connected(server, bob) as other:
        chat = await make_chat(server, alice, bob)
        created = await other.event("chat.created", stream=f"chats/{chat}")
        assert created["seq"] == 1
        reset = await other.frame(lambda f: f["op"] == "reset")
        assert reset == {"op": "reset", "stream": f"chats/{chat}", "seq": 0}
        ack = await other.ask("send", chat=chat, kind="text", content="hello")
        assert ack["seq"] == 2


async def test_since_joined_redacts_what_is_older(server: HansardServer) -> None:
    alice, bob = await people(server, "alice", "bob")
    chat = await make_chat(server, alice, kind="group", name="room", history="since_joined")
    async with connected(server, alice) as one, connected(server, bob) as other:
        old = await one.ask("send", chat=chat, kind="text", content="before")
        async with rest(server, alice) as client:
            await client.post(f"/v1/chats/{chat}/members", json={"users": [bob]})
        await one.ask("edit", chat=chat, seq=old["seq"], content="still before")
        live = await other.event("message.edited")
        assert live["redacted"] is True
        assert live["data"] == {"message": old["seq"]}
        own = await one.event("message.edited")
        assert own["data"]["content"] == "still before"
    async with connected(server, bob, resume={f"chats/{chat}": 0}) as other:
        assert other.welcome["recovered"] is True
        again = await other.event("message.edited")
        assert again == live
        assert other.events(f"chats/{chat}")[0]["type"] == "member.added"


async def test_what_one_has_hidden_stays_hidden(server: HansardServer) -> None:
    alice, bob = await people(server, "alice", "bob")
    chat = await make_chat(server, alice, bob)
    async with connected(server, alice) as one, connected(server, bob) as other:
        sent = await one.ask("send", chat=chat, kind="text", content="secret")
        await other.ask("delete", chat=chat, seq=sent["seq"], **{"for": "me"})
        await one.ask("edit", chat=chat, seq=sent["seq"], content="secret still")
        live = await other.event("message.edited")
        assert live["redacted"] is True
        assert "secret" not in json.dumps(live)
    async with connected(server, bob, resume={f"chats/{chat}": 1}) as other:
        await other.event("message.edited")
        shown = other.events(f"chats/{chat}")
        assert [event.get("redacted") for event in shown] == [True, True]
        assert "secret" not in json.dumps(shown)


async def test_deleted_messages_come_back_redacted(server: HansardServer) -> None:
    alice, bob = await people(server, "alice", "bob")
    chat = await make_chat(server, alice, bob)
    async with connected(server, alice) as one:
        sent = await one.ask("send", chat=chat, kind="text", content="oops")
        await one.ask("delete", chat=chat, seq=sent["seq"], **{"for": "everyone"})
    async with connected(server, bob, resume={f"chats/{chat}": 1}) as other:
        deleted = await other.event("message.deleted")
        assert "redacted" not in deleted
        first = other.events(f"chats/{chat}")[0]
        assert first["redacted"] is True
        assert first["data"] == {"ordinal": 1, "kind": "text"}


async def test_resume(server: HansardServer) -> None:
    alice, bob = await people(server, "alice", "bob")
    chat = await make_chat(server, alice, bob)
    stream, own = f"chats/{chat}", f"users/{alice}"
    async with connected(server, bob) as other:
        for number in range(5):
            await other.ask("send", chat=chat, kind="text", content=str(number))
        async with connected(server, alice, resume={stream: 3}) as one:
            assert one.welcome["recovered"] is True
            assert one.welcome["streams"] == {own: 1, stream: 6}
            await one.event("message.sent", seq=6)
            assert [event["seq"] for event in one.events(stream)] == [4, 5, 6]
        async with connected(server, alice, resume={stream: 7}) as one:
            assert one.welcome["recovered"] is False
        async with connected(server, alice, resume={"chats/left": 7}) as one:
            assert one.welcome["recovered"] is True
        async with connected(server, alice) as one:
            assert one.welcome["recovered"] is False
            await one.quiet()
            assert one.events(stream) == []


async def test_cut_off_at_random_every_event_comes_once_and_in_order(
    server: HansardServer,
) -> None:
    alice, bob = await people(server, "alice", "bob")
    chat = await make_chat(server, alice, bob)
    stream, count = f"chats/{chat}", 400
    randomness = random.Random(7)

    async def write() -> None:
        async with connected(server, alice) as one:
            for number in range(count):
                await one.ask("send", chat=chat, kind="text", content=str(number))

    async def read() -> list[int]:
        seen: list[int] = []
        place = 1
        while len(seen) < count:
            async with connected(server, bob, resume={stream: place}) as other:
                assert other.welcome["recovered"] is True
                for _ in range(randomness.randrange(1, 40)):
                    if len(seen) == count:
                        break
                    # That the writer is there is told as well.
                    while (frame := await other.read())["op"] == "presence":
                        pass
                    assert frame["op"] == "event"
                    seen.append(frame["seq"])
                    place = frame["seq"]
                if randomness.random() < 0.5:
                    other.socket.transport.abort()
        return seen

    _, seen = await asyncio.gather(write(), read())
    assert seen == list(range(2, count + 2))


async def test_typing_reaches_the_others(server: HansardServer) -> None:
    alice, bob = await people(server, "alice", "bob")
    chat = await make_chat(server, alice, bob)
    async with connected(server, alice) as one, connected(server, bob) as other:
        await one.say("typing", chat=chat, on=True)
        await one.say("typing", chat=chat, on=True)
        await one.say("typing", chat=chat, on=False)
        on = await other.frame(lambda f: f["op"] == "typing" and f["on"])
        assert on == {"op": "typing", "chat": chat, "user": alice, "on": True}
        await other.frame(lambda f: f["op"] == "typing" and not f["on"])
        assert sum(f["op"] == "typing" for f in other.frames) == 2
        await one.quiet()
        assert not any(f["op"] == "typing" for f in one.frames)
        await one.say("typing", chat="no-such-chat", on=True)
        error = await one.frame(lambda f: f["op"] == "error")
        assert error["code"] == "chat_not_found"


async def test_a_changed_name_is_told_to_those_one_talks_with(server: HansardServer) -> None:
    alice, bob, carol = await people(server, "alice", "bob", "carol")
    await make_chat(server, alice, bob)
    await make_chat(server, alice, bob, kind="group", name="room")
    async with connected(server, bob) as other, connected(server, carol) as stranger:
        async with rest(server, alice) as client:
            await client.put("/v1/me", json={"name": "Alicia"})
            await client.put("/v1/me", json={"name": "Alice B."})
            await client.put("/v1/me", json={"name": "Alice C."})
        await other.frame(lambda f: f["op"] == "profile" and f["name"] == "Alice C.")
        profiles = [frame for frame in other.frames if frame["op"] == "profile"]
        assert {frame["user"] for frame in profiles} == {alice}
        # Each is told once, though they share two chats.
        names = [frame["name"] for frame in profiles]
        assert (names[0], names[-1]) == ("Alicia", "Alice C.")
        assert len(names) == len(set(names))
        await stranger.quiet()
        assert not any(f["op"] == "profile" for f in stranger.frames)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"token": "nonsense"}, "unauthenticated"),
        ({}, "unauthenticated"),
    ],
)
async def test_who_has_no_good_token_is_turned_away(
    server: HansardServer, fields: dict[str, str], code: str
) -> None:
    async with opened(server) as one:
        error = await one.hello(**fields)
        assert (error["op"], error["code"]) == ("error", code)
        assert (await one.closed())[0] == 4401


async def test_who_is_not_registered_is_turned_away(server: HansardServer) -> None:
    async with opened(server) as one:
        error = await one.hello(token=server.token("nobody"))
        assert error["code"] == "not_registered"
        assert (await one.closed())[0] == 4401


async def test_the_token_may_stand_in_the_header(server: HansardServer) -> None:
    [alice] = await people(server, "alice")
    headers = {"Authorization": f"Bearer {server.token(alice)}"}
    async with opened(server, headers) as one:
        assert (await one.hello())["user"] == alice


async def test_a_token_that_runs_out_ends_the_connection_unless_renewed(
    server: HansardServer,
) -> None:
    [alice] = await people(server, "alice")
    async with opened(server) as one, opened(server) as renewed:
        await one.hello(token=server.token(alice, lifetime=2))
        await renewed.hello(token=server.token(alice, lifetime=2))
        await renewed.say("auth", token=server.token(alice))
        await renewed.frame(lambda f: f["op"] == "auth")
        assert (await one.closed())[0] == 4401
        assert one.frames[-1]["code"] == "unauthenticated"
        await renewed.quiet()


async def test_another_users_token_can_not_renew(server: HansardServer) -> None:
    alice, bob = await people(server, "alice", "bob")
    async with connected(server, alice) as one:
        await one.say("auth", token=server.token(bob))
        assert (await one.closed())[0] == 4401


@pytest.mark.parametrize("message", ["nonsense", "[]", '"x"', "", "{", b"binary"])
async def test_what_is_no_frame_closes(server: HansardServer, message: str | bytes) -> None:
    [alice] = await people(server, "alice")
    async with connected(server, alice) as one:
        await one.socket.send(message)
        assert (await one.closed())[0] == 4400


async def test_a_frame_before_hello_closes(server: HansardServer) -> None:
    async with opened(server) as one:
        await one.say("ping")
        assert (await one.closed())[0] == 4400


async def test_a_frame_that_is_too_big_closes(server: HansardServer) -> None:
    [alice] = await people(server, "alice")
    async with connected(server, alice) as one:
        await one.say("send", id="x", content="x" * 130 * 1024)
        assert (await one.closed())[0] == 1009


async def test_a_frame_beyond_all_limits_is_not_even_read(server: HansardServer) -> None:
    [alice] = await people(server, "alice")
    async with connected(server, alice) as one:
        # The server ends the connection at the frame's header; what was still on its way may
        # break the client's sending, or take the place of the close it would have read.
        with contextlib.suppress(ConnectionClosed):
            await one.say("send", id="x", content="x" * 2 * 1024 * 1024)
        assert (await one.closed())[0] in (1009, 1006)
    async with connected(server, alice) as again:
        await again.quiet()


async def test_wrong_fields_are_told_and_the_connection_stays(server: HansardServer) -> None:
    alice, bob = await people(server, "alice", "bob")
    chat = await make_chat(server, alice, bob)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"op": "send", "chat": chat, "kind": "text"}, "invalid_request"),
        ({"op": "send", "chat": chat, "kind": "text", "content": "x" * 8193}, "invalid_request"),
        ({"op": "send", "chat": chat, "kind": "note", "content": "x"}, "invalid_request"),
        ({"op": "send", "chat": "other", "kind": "text", "content": "x"}, "chat_not_found"),
        (
            {"op": "send", "chat": chat, "kind": "text", "content": "x", "reply_to": 99},
            "unknown_message",
        ),
        (
            {"op": "send", "chat": chat, "kind": "image", "metadata": {"media": "none"}},
            "media_not_found",
        ),
        ({"op": "edit", "chat": chat, "seq": 99, "content": "x"}, "message_not_found"),
        ({"op": "react", "chat": chat, "seq": 1, "emoji": "👍"}, "message_not_found"),
        ({"op": "delete", "chat": chat, "seq": 99, "for": "everyone"}, "message_not_found"),
        ({"op": "read", "chat": chat, "up_to": 1}, "unknown_message"),
        ({"op": "read", "chat": "other", "up_to": 1}, "chat_not_found"),
        ({"op": "dance"}, "invalid_request"),
    ]
    async with connected(server, alice) as one:
        for frame, code in wrong:
            fields = dict(frame)
            answer = await one.ask(str(fields.pop("op")), **fields)
            assert (answer["op"], answer["code"]) == ("error", code), frame
        assert (await one.ask("send", chat=chat, kind="text", content="x"))["op"] == "ack"


async def test_marks_coalesce_and_the_last_one_stands(server: HansardServer) -> None:
    alice, bob = await people(server, "alice", "bob")
    chat = await make_chat(server, alice, bob)
    async with connected(server, alice) as one, rest(server, bob) as client:
        seqs = [
            (await one.ask("send", chat=chat, kind="text", content="x"))["seq"] for _ in range(10)
        ]
        async with connected(server, bob) as other:
            for number, seq in enumerate(seqs):
                await other.say("read", id=f"m{number}", chat=chat, up_to=seq)
            last = f"m{len(seqs) - 1}"
            ack = await other.frame(lambda f: f.get("id") == last)
            answered = {f.get("id") for f in other.frames if f["op"] == "ack"}
            assert answered >= {f"m{number}" for number in range(len(seqs))}
            await other.event("chat.read", data={"chat": chat, "up_to": seqs[-1]})
            reads = [f for f in other.events(f"users/{bob}") if f["type"] == "chat.read"]
            assert len(reads) <= 3
        # Its event may come before the read models have it.
        inbox = await client.get("/v1/chats", headers={"Hansard-Position": ack["position"]})
        assert inbox.json()["items"][0]["unread"] == 0


async def test_connects_have_a_rate(fresh_server: HansardServer) -> None:
    server = HansardServer(fresh_server.folder, {"HANSARD_RATE_CONNECTS": "2/minute"})
    fresh_server.stop()
    server.start()
    try:
        async with opened(server), opened(server):
            with pytest.raises(InvalidStatus) as refused:
                async with opened(server):
                    pass
            assert refused.value.response.status_code == 429
            assert "Retry-After" in refused.value.response.headers
    finally:
        server.stop()


async def test_a_stopping_server_says_when_to_come_back(fresh_server: HansardServer) -> None:
    await register(fresh_server, "alice")
    async with connected(fresh_server, "alice") as one:
        stopping = asyncio.create_task(asyncio.to_thread(fresh_server.stop))
        code, reason = await one.closed()
        assert code == 1012
        assert "come back in" in reason
        assert await stopping == 0
    async with rest(fresh_server, "alice") as client:
        with pytest.raises(httpx.TransportError):
            await client.get("/healthz")
