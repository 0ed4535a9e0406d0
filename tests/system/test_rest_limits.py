"""Rate limits: what counts under which, of whom, and that all gateways count together."""

import re
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests import files
from tests.servers.clients import connected, opened
from tests.servers.cluster import Cluster
from tests.servers.hansard import HansardServer
from tests.system.rest_support import Person, done, people, refused, shown

# Windows so long that a test lies within one.
ENVIRON = {
    "HANSARD_RATE_WRITES": "40/hour",
    "HANSARD_RATE_READS": "30/hour",
    "HANSARD_RATE_UPLOADS": "3/hour",
    "HANSARD_RATE_CONNECTS": "4/hour",
    "HANSARD_RATE_UNAUTHENTICATED": "4/hour",
    "HANSARD_TRUSTED_PROXIES": "127.0.0.0/8,2001:db8:aaaa::/48",
}


@pytest.fixture(scope="module")
def gateways(
    edition: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[HansardServer, HansardServer]]:
    """Two gateways to one Hansard; on the embedded edition the one that there is, twice."""
    folder = tmp_path_factory.mktemp("limited")
    if edition == "embedded":
        only = HansardServer(folder / "data", ENVIRON).start()
        yield only, only
        only.stop()
        return
    cluster = Cluster(folder / "limited", request.getfixturevalue("backing"), ENVIRON).start()
    other = cluster.process("gateway", "other").start()
    yield cluster, other
    other.stop()
    cluster.stop()


@pytest.fixture
def server(gateways: tuple[HansardServer, HansardServer]) -> HansardServer:
    return gateways[0]


@pytest.fixture
def address() -> str:
    """An address that no other test has."""
    groups = [uuid4().hex[at : at + 4] for at in range(0, 24, 4)]
    return f"2001:db8:{':'.join(groups)}"


def remaining(answer: httpx.Response, kind: str) -> int:
    """How many an answer says are left, after checking that it says so as it should."""
    found = re.fullmatch(r'"(\w+)";r=(\d+);t=(\d+)', answer.headers["ratelimit"])
    assert found is not None, answer.headers
    assert found[1] == kind
    assert 0 < int(found[3]) <= 3600
    limit = ENVIRON[f"HANSARD_RATE_{kind.upper()}"].partition("/")[0]
    assert answer.headers["ratelimit-policy"] == f'"{kind}";q={limit};w=3600'
    return int(found[2])


def assert_limited(answer: httpx.Response, kind: str) -> None:
    refused(answer, "rate_limited")
    assert remaining(answer, kind) == 0
    assert 0 < int(answer.headers["retry-after"]) <= 3600


async def test_each_kind_is_counted_apart(server: HansardServer) -> None:
    async with people(server, "ann", "bob") as (ann, bob):
        upload = {"file": ("a.png", files.picture())}
        for left in (2, 1, 0):
            assert remaining(await ann.post("/v1/media", files=upload), "uploads") == left
        assert_limited(await ann.post("/v1/media", files=upload), "uploads")
        assert remaining(await bob.post("/v1/media", files=upload), "uploads") == 2
        assert remaining(await ann.get("/v1/me"), "reads") == 29
        assert remaining(await ann.put("/v1/me", json={"name": "Ann"}), "writes") == 38


async def test_every_answer_tells_of_its_limit(server: HansardServer) -> None:
    async with people(server, "ann") as (ann,):
        chat = await ann.chat()
        one = f"/v1/chats/{chat}"
        for kind, answer in (
            ("reads", await ann.get("/v1/chats/nothing")),
            ("reads", await ann.get("/v1/chats", params={"limit": 0})),
            ("reads", await ann.get("/v1/audit/checkpoints")),
            ("reads", await ann.get("/v1/me", headers={"Hansard-Position": "made-up"})),
            ("writes", await ann.patch(one, content=b"nonsense")),
            ("writes", await ann.patch(one, json={"kind": "direct"})),
            ("writes", await ann.put(f"{one}/read", json={"up_to": 99})),
            ("writes", await ann.post(f"{one}/messages", content=b"x" * 2_000_000)),
            ("writes", await ann.delete(f"{one}/messages/1")),
            ("writes", await ann.delete(f"{one}/members/{ann.user}")),
            ("uploads", await ann.post("/v1/media", json={})),
        ):
            left = remaining(answer, kind)
            assert "retry-after" not in answer.headers
            assert left > 0


@pytest.mark.parametrize(("others", "cost"), [(98, 1), (99, 2)])
async def test_a_send_costs_one_more_for_every_hundred_members(
    server: HansardServer, others: int, cost: int
) -> None:
    names = [f"m{number}" for number in range(others)]
    async with people(server, "ann", "eve", *names) as (ann, eve, *rest):
        chat = await ann.chat(*rest)
        said, other = {"kind": "text", "content": "Hi"}, f"/v1/chats/{chat}/messages"
        assert remaining(await ann.post(other, json=said), "writes") == 38 - cost
        # Outside it costs one, whatever the chat.
        assert remaining(await eve.post(other, json=said), "writes") == 38
        async with connected(server, ann.user) as connection:
            assert (await connection.ask("send", chat=chat, **said))["op"] == "ack"
        edit = await ann.patch(f"{other}/2", json={"content": "Hello"})
        assert remaining(edit, "writes") == 38 - 2 * cost - 1


async def test_a_cost_above_what_is_left_is_refused(server: HansardServer) -> None:
    async with people(server, "ann") as (ann,):
        chat = await ann.chat()
        for _ in range(38):
            await ann.say(chat, "Hi")
        # A read that can't be limited by writes, and a write that is.
        shown(await ann.get("/v1/me"))
        body = {"kind": "text", "content": "Hi"}
        answer = await ann.post(f"/v1/chats/{chat}/messages", json=body)
        assert_limited(answer, "writes")
        assert "hansard-position" not in answer.headers
        assert len(await ann.contents(chat)) == 38


async def test_frames_that_write_are_writes(server: HansardServer) -> None:
    async with people(server, "ann", "bob") as (ann, bob):
        chat = await ann.chat(bob)
        # Registering and making the chat were two.
        async with connected(server, ann.user) as one:
            seq = (await one.ask("send", chat=chat, kind="text", content="Hi"))["seq"]
            for op, more in (
                ("edit", {"seq": seq, "content": "Hello"}),
                ("react", {"seq": seq, "emoji": "+1"}),
                ("read", {"up_to": seq}),
                ("delivered", {"up_to": seq}),
                ("delete", {"seq": seq, "for": "me"}),
            ):
                assert (await one.ask(op, chat=chat, **more))["op"] == "ack", op
            await one.say("typing", chat=chat, on=True)
            await one.say("auth", token=server.token(ann.user))
            await one.quiet()
            assert remaining(await ann.put("/v1/me", json={"name": "Ann"}), "writes") == 30
            for _ in range(30):
                await one.say("typing", chat=chat, on=True)
            await one.quiet()
            assert not any(frame["op"] == "error" for frame in one.frames)
            await one.say("send", id="much", chat=chat, kind="text", content="Too much")
            await one.say("typing", chat=chat, on=True)
            await one.quiet()
            errors = [frame for frame in one.frames if frame["op"] == "error"]
            assert [error["code"] for error in errors] == ["rate_limited"] * 2
            assert [error.get("id") for error in errors] == ["much", None]
            assert all(0 < error["retry_after_ms"] <= 3_600_000 for error in errors)
            # The connection stays, but not for one that goes on and on.
            for _ in range(199):
                await one.say("typing", chat=chat, on=True)
            assert (await one.closed())[0] == 4429
            assert_limited(await ann.put("/v1/me", json={"name": "Ann"}), "writes")


async def test_gateways_count_together(
    gateways: tuple[HansardServer, HansardServer], address: str
) -> None:
    first, second = gateways
    forwarded = {"X-Forwarded-For": address}
    async with people(first, "ann") as (ann,), Person(second, "ann") as there:
        there.headers["Authorization"] = ann.headers["Authorization"]
        assert [remaining(await one.get("/v1/me"), "reads") for one in (ann, there) * 15] == [
            *range(29, -1, -1)
        ]
        for one in (ann, there):
            assert_limited(await one.get("/v1/me"), "reads")
        chat = await ann.chat()
        async with opened(first, forwarded) as here, opened(second, forwarded) as over_there:
            for connection in (here, over_there):
                await connection.hello(token=first.token(ann.user))
                ack = await connection.ask("send", chat=chat, kind="text", content="Hi")
                assert ack["op"] == "ack"
        assert remaining(await there.put("/v1/me", json={"name": "Ann"}), "writes") == 35


async def test_connects_are_counted_by_address(
    gateways: tuple[HansardServer, HansardServer], address: str
) -> None:
    forwarded = {"X-Forwarded-For": f"198.51.100.1, {address}, 2001:db8:aaaa::1"}
    for number in range(4):
        async with opened(gateways[number % 2], forwarded) as connection:
            response = connection.socket.response
            assert response is not None
            assert f"r={3 - number};" in response.headers["RateLimit"]
            assert response.headers["RateLimit-Policy"] == '"connects";q=4;w=3600'
    for gateway in gateways:
        with pytest.raises(InvalidStatus) as caught:
            async with opened(gateway, forwarded):
                pass
        response = caught.value.response
        assert_limited(
            httpx.Response(
                429, headers=list(response.headers.raw_items()), content=bytes(response.body)
            ),
            "connects",
        )
    # What was left of the trusted proxies' entries is what the client has written itself.
    async with opened(gateways[0], {"X-Forwarded-For": f"{address}, {address[:-4]}ffff"}):
        pass


async def test_401_answers_are_counted_by_address(
    gateways: tuple[HansardServer, HansardServer], address: str
) -> None:
    first, second = gateways
    forwarded = {"X-Forwarded-For": address}
    async with httpx.AsyncClient(headers=forwarded, verify=False) as nobody:
        for number, (server, token) in enumerate(
            [(first, ""), (second, "x.y.z"), (first, first.token("ann", -1)), (second, "é")]
        ):
            headers = {b"Authorization": f"Bearer {token}".encode()} if token else {}
            answer = await nobody.get(f"{server.url}/v1/me", headers=headers)
            refused(answer, "unauthenticated")
            assert remaining(answer, "unauthenticated") == 3 - number
        for server in gateways:
            assert_limited(await nobody.get(f"{server.url}/v1/me"), "unauthenticated")
    # Who has a token is not asked where from.
    async with people(first, "ann") as (ann,):
        shown(await ann.get("/v1/me", headers=forwarded))


async def test_what_asks_for_nobody_has_no_limit(server: HansardServer) -> None:
    async with httpx.AsyncClient(base_url=server.url, verify=False) as nobody:
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/v1/push"):
            for _ in range(5):
                answer = await nobody.get(path)
                assert answer.status_code == 200
                assert "ratelimit" not in answer.headers


async def test_a_write_of_a_quiet_kind_counts_too(server: HansardServer) -> None:
    async with people(server, "ann", "bob") as (ann, bob):
        chat = await ann.chat(bob)
        block = await ann.put(f"/v1/me/blocks/{bob.user}")
        done(block)
        assert remaining(block, "writes") == 37
        mark = await ann.put(f"/v1/chats/{chat}/filing", json={"pinned": True})
        done(mark)
        assert remaining(mark, "writes") == 36
