"""What a user is told of, over REST."""

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.servers.hansard import HansardServer
from tests.system.rest_support import Person, done, fields, people, shown

ROW = {"id", "kind", "chat", "message", "actor", "time", "read"}
PUBLIC = (
    ec.generate_private_key(ec.SECP256R1())
    .public_key()
    .public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
)


def text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def device(**changed: Any) -> dict[str, Any]:
    subscription = {
        "endpoint": "https://push.example.org/a",
        "keys": {"p256dh": text(PUBLIC), "auth": text(bytes(16))},
    }
    return {"kind": "webpush", "subscription": subscription | changed}


async def told(person: Person) -> list[tuple[str, str, bool]]:
    items = shown(await person.get("/v1/notifications"))["items"]
    assert all(set(item) == ROW for item in items)
    return [(item["kind"], item["actor"], item["read"]) for item in items]


async def test_rows_of_every_kind_and_how_they_go(server: HansardServer) -> None:
    async with people(server, "ann", "bob") as (ann, bob):
        chat = await ann.chat(bob)
        assert await told(bob) == [("group_invite", ann.user, False)]
        assert await told(ann) == []
        own = await bob.say(chat, "hello")
        mention = await ann.say(chat, "bob!", mentions=[bob.user, "nobody.here"])
        reply = await ann.say(chat, "yes?", reply_to=own["seq"])
        path = f"/v1/chats/{chat}/messages/{own['seq']}/reaction"
        shown(await ann.put(path, json={"emoji": "👍"}))
        kinds = [kind for kind, _, _ in await told(bob)]
        assert kinds == ["reaction", "message", "reply", "mention", "group_invite"]
        # A new reaction takes the place of the old one, and goes when it is cleared.
        shown(await ann.put(path, json={"emoji": "👎"}))
        assert [kind for kind, _, _ in await told(bob)].count("reaction") == 1
        done(await ann.delete(path))
        assert "reaction" not in [kind for kind, _, _ in await told(bob)]
        done(await ann.delete(f"/v1/chats/{chat}/messages/{mention['seq']}?for=everyone"))
        assert [kind for kind, _, _ in await told(bob)] == ["message", "reply", "group_invite"]
        done(await bob.put(f"/v1/chats/{chat}/read", json={"up_to": reply["seq"]}))
        assert await told(bob) == [
            ("reply", ann.user, True),
            ("group_invite", ann.user, True),
        ]
        done(await bob.delete(f"/v1/chats/{chat}/members/{bob.user}"))
        assert await told(bob) == []


async def test_reading_covers_a_row_and_all_before_it(server: HansardServer) -> None:
    async with people(server, "ann", "bob") as (ann, bob):
        chats = [await ann.chat(bob) for _ in range(3)]
        page = shown(await bob.get("/v1/notifications", params={"limit": 2}))
        assert [item["chat"] for item in page["items"]] == chats[:0:-1]
        done(await bob.put("/v1/notifications/read", json={"up_to": page["items"][1]["id"]}))
        assert [read for _, _, read in await told(bob)] == [False, True, True]
        rest = shown(await bob.get("/v1/notifications", params={"cursor": page["next"]}))
        assert [item["chat"] for item in rest["items"]] == chats[:1]
        assert rest["next"] is None
        # What is no row of theirs covers nothing.
        for up_to in ("", "x", "9999-12-31T00:00:00.000Z-0000000000000000001-x"):
            answer = await bob.put("/v1/notifications/read", json={"up_to": up_to})
            assert fields(answer) == ["up_to"]
        answer = await ann.put("/v1/notifications/read", json={"up_to": page["items"][0]["id"]})
        assert fields(answer) == ["up_to"]


async def test_preferences(server: HansardServer) -> None:
    async with people(server, "ann") as (ann,):
        known = shown(await ann.get("/v1/me/preferences"))
        assert set(known) == {"mention", "reply", "reaction", "group_invite", "message"}
        assert all(set(channels) == {"push", "email"} for channels in known.values())
        off = [(k, c) for k, channels in known.items() for c in channels if not channels[c]]
        assert off == [("reaction", "email"), ("message", "email")]
        changed = {"reply": {"push": False}, "message": {"email": True}}
        answer = shown(await ann.put("/v1/me/preferences", json=changed))
        known["reply"]["push"] = False
        known["message"]["email"] = True
        assert answer == known == shown(await ann.get("/v1/me/preferences"))
        assert shown(await ann.put("/v1/me/preferences", json={})) == known
        for wrong, field in (
            ({"shout": {"push": True}}, "shout"),
            ({"reply": {"sms": True}}, "reply.sms"),
            ({"reply": {"push": None}}, "reply.push"),
            ({"reply": True}, "reply"),
        ):
            assert fields(await ann.put("/v1/me/preferences", json=wrong)) == [field]


async def test_devices(server: HansardServer) -> None:
    async with people(server, "ann") as (ann,):
        done(await ann.put("/v1/me/devices/phone", json=device()))
        # As a browser gives it.
        done(await ann.put("/v1/me/devices/phone", json=device(expirationTime=None)))
        events = shown(await ann.get("/v1/me/events"))["items"]
        added = [event["data"] for event in events if event["type"] == "device.added"]
        assert added[0] == {"device": "phone", **device()}
        done(await ann.delete("/v1/me/devices/phone"))
        done(await ann.delete("/v1/me/devices/phone"))


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"endpoint": "http://push.example.org/a"}, "endpoint"),
        ({"endpoint": "https://ann@push.example.org/a"}, "endpoint"),
        ({"endpoint": "https://push.example.org:8443/a"}, "endpoint"),
        ({"endpoint": "https://127.0.0.1/a"}, "endpoint"),
        ({"endpoint": "https://169.254.169.254/latest"}, "endpoint"),
        ({"endpoint": "https://[::ffff:10.0.0.1]/a"}, "endpoint"),
        ({"endpoint": "https://[::1]/a"}, "endpoint"),
        ({"endpoint": "https://[fe80::1"}, "endpoint"),
        ({"endpoint": "file:///etc/passwd"}, "endpoint"),
        ({"endpoint": f"https://push.example.org/{'a' * 2048}"}, "endpoint"),
        ({"keys": {"p256dh": text(PUBLIC[:-1]), "auth": text(bytes(16))}}, "keys.p256dh"),
        ({"keys": {"p256dh": text(b"\4" + bytes(64)), "auth": text(bytes(16))}}, "keys.p256dh"),
        ({"keys": {"p256dh": text(PUBLIC), "auth": text(bytes(15))}}, "keys.auth"),
        ({"keys": {"p256dh": text(PUBLIC), "auth": "§"}}, "keys.auth"),
        ({"other": 1}, "other"),
    ],
)
async def test_a_device_that_can_not_be_told(
    server: HansardServer, changed: dict[str, Any], field: str
) -> None:
    async with people(server, "ann") as (ann,):
        answer = await ann.put("/v1/me/devices/phone", json=device(**changed))
        assert fields(answer) == [f"subscription.{field}"]
