"""People who use a server over REST, and what is true of every answer."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx

from domain.instants import from_millis
from gateway.problems import CODES
from tests.servers.hansard import HansardServer

PATIENCE = 20.0


class Person(httpx.AsyncClient):
    """A client that speaks for one user, whose id no other test has."""

    def __init__(self, server: HansardServer, name: str, *scopes: str) -> None:
        self.user = f"{name}.{uuid4().hex[:12]}"
        self.name = name
        super().__init__(
            base_url=server.url,
            headers={"Authorization": f"Bearer {server.token(self.user, scopes=scopes)}"},
            timeout=PATIENCE,
            verify=False,
        )

    async def chat(self, *others: "Person", **fields: Any) -> str:
        """The id of a chat with these people: a group unless `kind` says otherwise."""
        members = [other.user for other in others]
        body = {"kind": "group", "members": members, "name": "A group", **fields}
        if body["kind"] == "direct":
            del body["name"]
        return str(shown(await self.post("/v1/chats", json=body), 201)["id"])

    async def say(self, chat: str, content: str, **fields: Any) -> Any:
        """The message that was sent."""
        body = {"kind": "text", "content": content, **fields}
        return shown(await self.post(f"/v1/chats/{chat}/messages", json=body), 201)

    async def inbox(self, **query: Any) -> Any:
        return shown(await self.get("/v1/chats", params=query))["items"]

    async def contents(self, chat: str, **query: Any) -> list[str | None]:
        """What the messages of a page say, without the system messages."""
        page = shown(await self.get(f"/v1/chats/{chat}/messages", params=query))
        return [one["content"] for one in page["items"] if one["kind"] != "system"]


@asynccontextmanager
async def strangers(server: HansardServer, *names: str) -> AsyncIterator[list[Person]]:
    """People who are not registered."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Person(server, name)) for name in names]


@asynccontextmanager
async def people(server: HansardServer, *names: str) -> AsyncIterator[list[Person]]:
    """Registered people."""
    async with strangers(server, *names) as found:
        for person in found:
            shown(await person.put("/v1/me", json={"name": person.name}))
        yield found


def shown(response: httpx.Response, status: int = 200) -> Any:
    """What an answer shows, after checking that it is one."""
    assert response.status_code == status, (response.status_code, response.text)
    assert response.headers["content-type"] == "application/json"
    return response.json()


def done(response: httpx.Response) -> None:
    """Check that a write that shows nothing was done."""
    assert response.status_code == 204, (response.status_code, response.text)
    assert response.content == b""


def refused(response: httpx.Response, code: str, status: int | None = None) -> Any:
    """The problem of an answer, after checking its form and code."""
    problem = response.json()
    assert problem["code"] == code, (response.status_code, response.text)
    assert response.status_code == problem["status"] == (status or CODES[code][0])
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["type"] == f"/errors#{code}"
    assert problem["title"]
    assert problem["detail"]
    return problem


def fields(response: httpx.Response) -> list[str]:
    """The fields that an `invalid_request` names."""
    return [error["field"] for error in refused(response, "invalid_request")["errors"]]


def ahead(seconds: float) -> str:
    """The instant so many seconds from now."""
    return from_millis(int((time.time() + seconds) * 1000))
