"""The logs: one line a request, a command and a connection, and never what was said."""

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest

from tests.files import picture
from tests.servers.clients import connected, opened
from tests.servers.hansard import UNLIMITED, HansardServer
from tests.system.conftest import MakeServer
from tests.system.media_support import post, send
from tests.system.rest_support import ahead, people, refused, shown
from tests.system.sight_support import line, lines, process_of, processes

ALL = {**UNLIMITED, "HANSARD_LOG_LEVEL": "debug"}


#: Requests whose lines are more than a pipe holds.
FILLS_A_PIPE = 1000


@pytest.fixture
def talkative(make_server: MakeServer) -> Iterator[HansardServer]:
    """A server that logs all it can."""
    running = make_server(ALL).start()
    yield running
    running.stop()


class Marks(defaultdict[str, str]):
    """Words by what they stand for; none of them is in a log by chance."""

    def __missing__(self, of: str) -> str:
        self[of] = f"marker{uuid4().hex}"
        return self[of]


async def test_what_was_said_is_in_no_log(talkative: HansardServer) -> None:
    marks = Marks()
    async with people(talkative, "ann", "bob") as (ann, bob):
        marks["token"] = ann.headers["authorization"][7:]
        address = f"{marks['mail']}@example.org"
        shown(await ann.put("/v1/me", json={"name": marks["name"], "email": address}))
        chat = await ann.chat(bob, name=marks["group"], description=marks["description"])
        at = f"/v1/chats/{chat}/messages"
        key = {"Idempotency-Key": marks["key"]}
        body = {"kind": "text", "content": marks["text"], "metadata": {"note": marks["note"]}}
        sent = shown(await ann.post(at, json=body, headers=key), 201)
        other_body = {**body, "content": marks["other"]}
        refused(await ann.post(at, json=other_body, headers=key), "idempotency_key_reused")
        one = f"{at}/{sent['seq']}"
        shown(await ann.patch(one, json={"content": marks["edit"]}))
        later = {**body, "content": marks["later"], "scheduled_for": ahead(3600)}
        shown(await ann.post(at, json=later), 202)
        shown(await bob.get("/v1/search/messages", params={"q": marks["query"]}))
        shown(await bob.get("/v1/search/users", params={"q": address}))
        assert (await bob.post(f"{one}/report", json={"reason": marks["reason"]})).is_success
        item = shown(await post(ann, picture(), f"{marks['file']}.png"), 201)
        await send(ann, chat, item["id"])
        marks["link"] = parse_qs(urlsplit(item["url"]).query)["link"][0]
        async with httpx.AsyncClient() as anyone:
            assert (await anyone.get(item["url"])).is_success
            false = {"Authorization": f"Bearer {marks['false token']}"}
            refused(await anyone.get(f"{talkative.url}/v1/me", headers=false), "unauthenticated")
        refused(await ann.get(f"/{marks['path']}", params={"q": marks["path"]}), "not_found")
        refused(await ann.post(at, content=f"{{{marks['json']}"), "bad_json")
        refused(await ann.post(at, json={marks["field"]: 1}), "invalid_request")
        async with opened(talkative) as broken:
            await broken.socket.send(marks["json"])
            assert (await broken.closed())[0] == 4400
        async with connected(talkative, ann.user) as one_end, connected(talkative, bob.user) as end:
            said = {"chat": chat, "kind": "text", "content": marks["frame"]}
            ack = await one_end.ask("send", id=marks["frame id"], **said)
            await end.event("message.sent", seq=ack["seq"])
            await one_end.ask("react", chat=chat, seq=ack["seq"], emoji=marks["emoji"][:16])
            await one_end.say("send", nonsense=marks["frame"])
            await one_end.quiet()
    assert talkative.stop() == 0
    told = {process.command: process.log for process in processes(talkative)}
    assert all(told.values())
    for of, mark in marks.items():
        for role, log in told.items():
            assert mark not in log, (role, of)


async def test_an_action_is_found_in_the_logs_of_all_who_had_to_do_with_it(
    talkative: HansardServer,
) -> None:
    name = f"request-{uuid4().hex}"
    async with people(talkative, "ann", "bob") as (ann, bob):
        chat = await ann.chat(bob)
        at = f"/v1/chats/{chat}/messages"
        answer = await ann.post(
            at, json={"kind": "text", "content": "Hi"}, headers={"X-Request-Id": name}
        )
        seq = shown(answer, 201)["seq"]
        assert answer.headers["x-request-id"] == name
    stream = f"chats/{chat}"
    asked = await line(process_of(talkative, "gateway"), "request", request_id=name)
    assert asked["level"] == "info"
    assert (asked["method"], asked["status"], asked["user"]) == ("POST", 201, ann.user)
    assert asked["route"] == "/v1/chats/{chat}/messages"
    assert 0 < asked["ms"] < 60_000
    [command] = asked["commands"]
    decided = await line(process_of(talkative, "decider"), "command", command=command)
    assert decided["level"] == "info"
    assert (decided["kind"], decided["outcome"]) == ("send_message", "accepted")
    assert (decided["stream"], decided["seq"], decided["user"]) == (stream, seq, ann.user)
    for role, event in (("projector", "projected"), ("fanout", "published"), ("notifier", "noted")):
        told = await line(process_of(talkative, role), event, command=command)
        assert (told["stream"], told["seq"], told["level"]) == (stream, seq, "debug")


async def test_what_a_command_came_to_is_told(server: HansardServer) -> None:
    decider = process_of(server, "decider")
    async with people(server, "ann", "bob") as (ann, bob):
        chat = await ann.chat(bob)
        at = f"/v1/chats/{chat}"
        body = {"kind": "text", "content": "Hi"}
        for _ in range(2):
            shown(
                await ann.post(f"{at}/messages", json=body, headers={"Idempotency-Key": "a"}), 201
            )
        refused(await bob.patch(at, json={"name": "Mine"}), "not_allowed")
        change = await line(decider, "command", user=bob.user, kind="change_chat")
        assert (change["outcome"], change["code"]) == ("refused", "not_allowed")
        sent = [
            one
            for one in lines(decider, "command")
            if (one["user"], one["kind"]) == (ann.user, "send_message")
        ]
        assert [one.get("replayed", False) for one in sent] == [False, True]
        assert sent[0]["command"] == sent[1]["command"]
        # Not at this level.
        assert not lines(process_of(server, "fanout"), "published")


async def test_a_connection_is_told_of_at_its_beginning_and_end(server: HansardServer) -> None:
    gateway = process_of(server, "gateway")
    async with people(server, "ann") as (ann,):
        chat = await ann.chat()
        async with connected(server, ann.user) as socket:
            await socket.ask("send", chat=chat, kind="text", content="Hi")
            await socket.event("message.sent")
            session = socket.welcome["session"]
            began = await line(gateway, "websocket_opened", session=session)
            assert began["user"] == ann.user
        ended = await line(gateway, "websocket_closed", session=session)
        assert (ended["user"], ended["code"]) == (ann.user, 1000)
        assert (ended["frames_received"], ended["frames_sent"]) == (2, 3)


@pytest.mark.parametrize("asked", ["", "a b", "x" * 65, "naïve".encode().decode("latin-1"), "a\\n"])
async def test_a_request_id_of_another_form_is_not_taken(server: HansardServer, asked: str) -> None:
    async with httpx.AsyncClient(base_url=server.url) as anyone:
        headers = {b"X-Request-Id": asked.encode("latin-1")}
        answer = await anyone.get("/healthz", headers=headers)
        assert answer.headers["x-request-id"] not in (asked, "")
        again = await anyone.get("/no/such/path", headers=headers)
        refused(again, "not_found")
        assert again.headers["x-request-id"] != answer.headers["x-request-id"]


async def test_nobody_waits_for_who_reads_the_log(tmp_path: Path) -> None:
    fifo = tmp_path / "data.log"
    os.mkfifo(fifo)
    # Open for reading, so that the server can open it for writing; nothing is ever read.
    unread = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        server = HansardServer(tmp_path / "data", ALL).start()
        async with httpx.AsyncClient(base_url=server.url) as anyone:
            for _ in range(FILLS_A_PIPE):
                shown(await anyone.get("/healthz"))
        assert server.stop() == 0
        assert len(os.read(unread, 2**20)) > 2**15
    finally:
        os.close(unread)
