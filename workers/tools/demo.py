"""`hansard demo`: a conversation between three people, over REST and WebSocket, told as it goes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import msgspec
from rich.console import Console
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from gateway.auth import mint
from workers.secrets_file import open_secrets
from workers.settings import Settings, StartRefused

#: How long anything that must come may take, in seconds.
PATIENCE = 10.0
#: How long the tokens of the three are good for, in seconds.
LIFETIME = 3600

Frame = dict[str, Any]


class DemoFailed(StartRefused):
    """The server did something else than the demo expects."""


class Person:
    """Someone with a REST client and a WebSocket. Reads carry the position of the last write."""

    def __init__(self, name: str, user: str, http: httpx.AsyncClient, socket: ClientConnection):
        self.name = name
        self.user = user
        self._http = http
        self._socket = socket
        self._frames: list[Frame] = []
        self._position = ""

    async def rest(self, method: str, path: str, body: Any = None, key: str = "") -> Any:
        headers = {"Hansard-Position": self._position} if self._position else {}
        if key:
            headers["Idempotency-Key"] = key
        answer = await self._http.request(method, f"/v1{path}", json=body, headers=headers)
        if answer.is_error:
            raise DemoFailed(f"{method} /v1{path} was answered {answer.status_code}: {answer.text}")
        self._position = answer.headers.get("Hansard-Position", self._position)
        return answer.json() if answer.content else None

    async def say(self, op: str, **fields: Any) -> None:
        await self._socket.send(msgspec.json.encode({"op": op, **fields}), text=True)

    async def ask(self, op: str, **fields: Any) -> Frame:
        """Send a frame and wait for its `ack`."""
        key = uuid4().hex
        await self.say(op, id=key, **fields)
        frame = await self.sees(lambda f: f["op"] in ("ack", "error") and f.get("id") == key)
        if frame["op"] == "error":
            raise DemoFailed(f"{op} was answered with {frame['code']}: {frame['detail']}")
        self._position = frame["position"]
        return frame

    async def sees(self, fits: Callable[[Frame], bool]) -> Frame:
        """The next frame that fits."""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    for number, frame in enumerate(self._frames):
                        if fits(frame):
                            del self._frames[: number + 1]
                            return frame
                    self._frames.append(msgspec.json.decode(await self._socket.recv()))
        except TimeoutError as error:
            raise DemoFailed(f"{self.name} was not told something in time") from error

    async def event(self, kind: str, stream: str) -> Frame:
        return await self.sees(
            lambda f: f["op"] == "event" and f["type"] == kind and f["stream"] == stream
        )


async def run_demo(settings: Settings, url: str, console: Console) -> None:
    """Have the conversation, on the server at this URL. It may be had again: the three and their
    chats stay the same.

    Raises:
        StartRefused: there is no secret to make tokens with, or no server, or it did not do as
            expected.
    """
    secret = open_secrets(settings).jwt_secret
    if secret is None:
        raise StartRefused("HANSARD_JWT_JWKS_URL is set: the demo can't make tokens")
    try:
        async with AsyncExitStack() as stack:
            people = [
                await stack.enter_async_context(_person(settings, secret, url, name))
                for name in ("Ada", "Ben", "Cleo")
            ]
            await _direct(console, *people[:2])
            await _group(console, *people)
    except (httpx.HTTPError, OSError, WebSocketException) as error:
        raise DemoFailed(f"{url} does not answer as it should: {type(error).__name__}") from error


@asynccontextmanager
async def _person(settings: Settings, secret: str, url: str, name: str) -> AsyncIterator[Person]:
    user = f"demo.{name.lower()}"
    token = mint(secret, user, LIFETIME, issuer=settings.jwt_issuer, audience=settings.jwt_audience)
    headers = {"Authorization": f"Bearer {token}"}
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=url, headers=headers, timeout=PATIENCE)
        )
        answer = await http.put(
            "/v1/me", json={"name": name}, headers={"Idempotency-Key": "demo-profile"}
        )
        if answer.is_error:
            raise DemoFailed(f"PUT /v1/me was answered {answer.status_code}: {answer.text}")
        address = f"{url.replace('http', 'ws', 1)}/v1/ws"
        socket = await stack.enter_async_context(connect(address, additional_headers=headers))
        person = Person(name, user, http, socket)
        await person.say("hello")
        await person.sees(lambda f: f["op"] == "welcome")
        yield person


async def _direct(console: Console, ada: Person, ben: Person) -> None:
    console.rule("A direct chat")
    chat = (await ada.rest("POST", "/chats", {"kind": "direct", "members": [ben.user]}))["id"]
    stream = f"chats/{chat}"
    await ada.say("typing", chat=chat, on=True)
    await ben.sees(lambda f: f["op"] == "typing" and f["chat"] == chat)
    console.print("Ada is typing, and Ben sees it.")
    sent = await ada.ask("send", chat=chat, kind="text", content="Ben, is the record complete?")
    seen = await ben.event("message.sent", stream)
    console.print(
        f"Ada sends over her WebSocket: message {sent['ordinal']} of the chat, at {sent['seq']}."
    )
    console.print(f"Ben's WebSocket gets it: [green]{seen['data']['content']}[/green]")
    await ben.ask("read", chat=chat, up_to=seen["seq"])
    await ada.sees(lambda f: f["op"] == "receipt" and f["user"] == ben.user)
    console.print("Ben reads it, and Ada's WebSocket gets the receipt.")
    reply = {"kind": "text", "content": "Every word of it.", "reply_to": seen["seq"]}
    answer = await ben.rest("POST", f"/chats/{chat}/messages", reply)
    quoted = answer["reply_to"]["content"]
    console.print(f"Ben answers over REST, quoting “{quoted}”: [green]{answer['content']}[/green]")
    told = await ada.event("message.sent", stream)
    first = await ada.rest("GET", f"/chats/{chat}/messages/{sent['seq']}")
    console.print(f"Ada sees the answer at {told['seq']}; her own message is {first['status']}.")


async def _group(console: Console, ada: Person, ben: Person, cleo: Person) -> None:
    console.rule("A group")
    body = {"kind": "group", "name": "The record", "members": [ben.user, cleo.user]}
    chat = (await ada.rest("POST", "/chats", body, key="demo-group"))["id"]
    stream = f"chats/{chat}"
    word = f"hansard{uuid4().hex[:6]}"
    content = f"@Cleo, the code word is {word}."
    sent = await ada.ask("send", chat=chat, kind="text", content=content, mentions=[cleo.user])
    seq = sent["seq"]
    seen = await cleo.event("message.sent", stream)
    mentioned = "mentions her" if cleo.user in seen["data"]["mentions"] else "mentions nobody"
    console.print(f"Ada writes to the group; Cleo gets it, and it {mentioned}.")
    await cleo.ask("react", chat=chat, seq=seq, emoji="👍")
    reaction = await ada.event("reaction.set", stream)
    console.print(f"Cleo reacts with {reaction['data']['emoji']}, and Ada sees it.")
    await ada.ask("edit", chat=chat, seq=seq, content=f"{content} Keep it.", mentions=[cleo.user])
    edited = await ben.event("message.edited", stream)
    console.print(f"Ada edits it; Ben sees: [green]{edited['data']['content']}[/green]")
    slip = await ben.ask("send", chat=chat, kind="text", content="I told everybody!")
    await ben.ask("delete", chat=chat, seq=slip["seq"], **{"for": "everyone"})
    await cleo.event("message.deleted", stream)
    console.print("Ben says too much and deletes it for everyone; Cleo's WebSocket tells her so.")
    gone = await cleo.rest("GET", f"/chats/{chat}/messages/{slip['seq']}")
    console.print(f"What Cleo reads in its place: {gone['content']!r}, deleted at its own place.")
    found = (await ben.rest("GET", f"/search/messages?q={word}"))["items"]
    console.print(f"Ben searches for {word} and finds {len(found)} message.")
    inbox = (await cleo.rest("GET", "/chats"))["items"]
    entry = next(item for item in inbox if item["chat"]["id"] == chat)
    console.print(f"In Cleo's inbox “{entry['chat']['name']}” has {entry['unread']} unread.")
    await cleo.rest("PUT", f"/chats/{chat}/read", {"up_to": slip["seq"]})
    inbox = (await cleo.rest("GET", "/chats"))["items"]
    entry = next(item for item in inbox if item["chat"]["id"] == chat)
    console.print(f"She marks it read: {entry['unread']} unread.")
    events = (await ada.rest("GET", f"/chats/{chat}/events?after={seq - 1}"))["items"]
    console.print("What the record has of this, in order:")
    for event in events:
        console.print(f"  {event['seq']:>4}  {event['time']}  {event['type']:<16} {event['actor']}")
