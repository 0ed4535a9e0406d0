"""One key, however often it is sent: one message."""

import asyncio

from tests.servers.clients import connected, make_chat, register, rest
from tests.servers.hansard import HansardServer

TIMES = 1000


async def test_a_key_a_thousand_times_is_one_message(fresh_server: HansardServer) -> None:
    server = fresh_server
    await register(server, "alice", "bob")
    chat = await make_chat(server, "alice", "bob")
    path, body = f"/v1/chats/{chat}/messages", {"kind": "text", "content": "once"}
    headers = {"Idempotency-Key": "the-key"}

    # As many as the client has connections: where more wait for one, it looks through all of them.
    at_once = asyncio.Semaphore(100)

    async with rest(server, "alice") as client:

        async def send() -> tuple[int, int, str | None]:
            async with at_once:
                answer = await client.post(path, json=body, headers=headers)
            replayed = answer.headers.get("Idempotent-Replayed")
            return answer.status_code, answer.json()["seq"], replayed

        answers = await asyncio.gather(*(send() for _ in range(TIMES)))
        assert {(status, seq) for status, seq, _ in answers} == {(201, 2)}
        assert sum(replayed is None for _, _, replayed in answers) == 1

        server.stop()
        server.start()
        assert await send() == (201, 2, "true")

        other = await client.post(path, json={**body, "content": "twice"}, headers=headers)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")

        async with connected(server, "alice") as connection:
            ack = await connection.ask("send", id="the-key", chat=chat, **body)
            assert ack["seq"] == 2
        page = (await client.get(path)).json()
        assert [item["seq"] for item in page["items"] if item["kind"] == "text"] == [2]


async def test_a_refusal_is_repeated_as_well(fresh_server: HansardServer) -> None:
    server = fresh_server
    await register(server, "alice", "bob")
    chat = await make_chat(server, "alice", "bob")
    path = f"/v1/chats/{chat}/messages"
    body = {"kind": "text", "content": "x", "reply_to": 2}
    headers = {"Idempotency-Key": "reply"}
    async with rest(server, "alice") as client:
        refused = await client.post(path, json=body, headers=headers)
        assert refused.json()["code"] == "unknown_message"
        await client.post(path, json={"kind": "text", "content": "now seq 2 is there"})
        server.stop()
        server.start()
        again = await client.post(path, json=body, headers=headers)
        assert again.json()["code"] == "unknown_message"
        assert again.headers["Idempotent-Replayed"] == "true"
        fresh = await client.post(path, json=body)
        assert fresh.status_code == 201
