"""People are told of things by a running server: a push service and a mail server get them."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import jwt

from tests.servers.cluster import Cluster
from tests.servers.hansard import UNLIMITED, HansardServer
from tests.servers.mail import MailServer, link, mail_server, said
from tests.servers.push_service import PushService, push_service, raw
from tests.system.conftest import MakeServer
from tests.system.rest_support import Person, done, fields, people, shown
from tests.waiting import until


def teller(server: HansardServer) -> HansardServer:
    """The process that tells people."""
    return server.the("notifier") if isinstance(server, Cluster) else server


@asynccontextmanager
async def telling(
    make: MakeServer, folder: Path, **environ: str
) -> AsyncIterator[tuple[HansardServer, PushService, MailServer]]:
    async with push_service(folder) as push, mail_server() as mail:
        server = make(
            {
                **UNLIMITED,
                "HANSARD_PUSH_HOSTS": push.host,
                "HANSARD_PUSH_DELAY": "0",
                "HANSARD_SMTP_URL": mail.url,
                "HANSARD_MAIL_FROM": "hansard@example.org",
                "HANSARD_MAIL_DELAY": "0",
                "SSL_CERT_FILE": str(push.certificate),
                **environ,
            }
        )
        # Both live in this process, and the server may ask for them at once.
        await asyncio.to_thread(server.start)

        async def begun() -> bool:
            return "notifier_begins" in teller(server).log

        try:
            # What was there before it first began is told in the list alone.
            await until(begun)
            yield server, push, mail
        finally:
            await asyncio.to_thread(server.stop)


async def subscribe(person: Person, push: PushService, device: str = "phone") -> Any:
    phone = push.phone(f"{person.user}.{device}")
    body = {"kind": "webpush", "subscription": phone.subscription}
    done(await person.put(f"/v1/me/devices/{device}", json=body))
    return phone


async def verified(person: Person) -> list[str]:
    """The addresses that were shown to be the person's."""
    events = shown(await person.get("/v1/me/events"))["items"]
    return [event["data"]["email"] for event in events if event["type"] == "email.verified"]


async def test_a_push_message_arrives_and_is_not_repeated_after_a_crash(
    make_server: MakeServer, tmp_path: Path
) -> None:
    async with (
        telling(make_server, tmp_path) as (server, push, _),
        people(server, "ann", "bob") as (ann, bob),
    ):
        phone = await subscribe(bob, push)
        chat = await ann.chat(bob)
        await push.arrived(phone, 1)
        sent = await ann.say(chat, "look", mentions=[bob.user])
        got = (await push.arrived(phone, 2))[1]
        row = shown(await bob.get("/v1/notifications"))["items"][1]
        assert got.payload == {
            **{name: row[name] for name in ("id", "kind", "chat", "message", "time")},
            "title": None,
            "text": "a new message",
        }
        assert (row["kind"], row["message"]) == ("mention", sent["seq"])
        async with httpx.AsyncClient(base_url=server.url) as nobody:
            key = shown(await nobody.get("/v1/push"))["public_key"]
            metrics = (await nobody.get(f"{teller(server).url}/metrics")).text
        assert got.headers["authorization"].endswith(f",k={key}")
        assert len(raw(key)) == 65
        sent_count = re.search(
            r'hansard_notifications_total\{channel="push",outcome="sent"\} (\S+)', metrics
        )
        assert sent_count is not None
        server.kill()
        await asyncio.to_thread(server.start)
        await ann.say(chat, "again", mentions=[bob.user])
        await push.arrived(phone, 3)
        assert len(set(phone.ids)) == 3 == len(phone.got)


async def test_an_address_is_verified_by_its_link_and_then_written_to(
    make_server: MakeServer, tmp_path: Path
) -> None:
    async with (
        telling(make_server, tmp_path, HANSARD_NOTIFY_CONTENT="on") as (server, _, mail),
        people(server, "ann", "bob", "eve") as (ann, bob, eve),
    ):
        address = f"bob.{uuid4().hex[:8]}@example.org"
        shown(await bob.put("/v1/me", json={"email": address}))
        [question] = await mail.arrived(1)
        assert question["To"] == address
        url = urlsplit(link(question))
        # Others may write it down, too; once it is verified it finds its owner alone.
        shown(await eve.put("/v1/me", json={"email": address}))
        found = shown(await ann.get("/v1/search/users", params={"q": address}))["items"]
        assert {one["id"] for one in found} == {bob.user, eve.user}
        assert all("email" not in one for one in found)
        async with httpx.AsyncClient(base_url=server.url) as anybody:
            for wrong in ("?token=x", f"?{url.query}x", "", "?token="):
                assert fields(await anybody.get(f"{url.path}{wrong}")) == ["token"]
            for _ in range(2):
                answer = await anybody.get(f"{url.path}?{url.query}")
                assert answer.status_code == 200
        assert await verified(bob) == [address]
        found = shown(await ann.get("/v1/search/users", params={"q": address.upper()}))["items"]
        assert [one["id"] for one in found] == [bob.user]
        chat = await ann.chat(bob)
        await ann.say(chat, "the text", mentions=[bob.user])
        digest = (await mail.arrived(2))[1]
        assert digest["To"] == address
        assert "A group" in said(digest)
        # Another address is another question.
        shown(await bob.put("/v1/me", json={"email": f"new.{address}"}))
        assert (await mail.arrived(3))[2]["To"] == f"new.{address}"
        async with httpx.AsyncClient(base_url=server.url) as anybody:
            assert fields(await anybody.get(f"{url.path}?{url.query}")) == ["token"]


async def test_a_token_vouches_for_an_address(make_server: MakeServer, tmp_path: Path) -> None:
    async with telling(make_server, tmp_path) as (server, _, mail), people(server, "ann") as (ann,):
        address = "ann@example.org"

        async def put(**claims: Any) -> list[str]:
            """What is verified once this was said with these claims."""
            token = jwt.decode(server.token(ann.user), options={"verify_signature": False})
            signed = jwt.encode(token | claims, server.secret().strip(), algorithm="HS256")
            headers = {"Authorization": f"Bearer {signed}"}
            shown(await ann.put("/v1/me", json={"email": address}, headers=headers))
            return await verified(ann)

        assert await put(email=address) == []
        await mail.arrived(1)
        assert await put(email=address, email_verified=False) == []
        assert await put(email="eve@example.org", email_verified=True) == []
        assert await put(email=address.upper(), email_verified=True) == [address]
        # It is known, and setting the same once more does not change that.
        assert await put(email=address, email_verified=True) == [address]
        assert len(mail.mails) == 1
