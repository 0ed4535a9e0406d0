"""Generated requests, good and bad, against the OpenAPI document: no 5xx, and every answer is one
that the document names, in the form it gives."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, assume, settings
from schemathesis.specs.openapi import checks

from gateway.app import openapi_document
from tests.servers.hansard import HansardServer

EXAMPLES = 12

CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
    checks.allow_header_conformance,
    checks.ignored_auth,
]

api = schemathesis.openapi.from_dict(openapi_document())


@pytest.fixture(scope="module")
def chat(server: HansardServer) -> Iterator[str]:
    """A chat of two users with some messages in it."""
    with httpx.Client(base_url=server.url, verify=False) as client:
        for user in ("schema.bob", "schema.ann"):
            client.headers["Authorization"] = f"Bearer {server.token(user)}"
            client.put("/v1/me", json={"name": user}).raise_for_status()
        made = client.post("/v1/chats", json={"kind": "group", "members": ["schema.bob"]})
        chat = made.raise_for_status().json()["id"]
        for n in range(4):
            body = {"kind": "text", "content": f"message {n}"}
            client.post(f"/v1/chats/{chat}/messages", json=body).raise_for_status()
        yield chat


@api.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_answers_are_as_documented(
    case: schemathesis.Case[Any], server: HansardServer, chat: str
) -> None:
    # Longer addresses are turned away before they come to the application.
    assume(len(str(case.query)) < 4096)
    # What the path names mostly exists, so that requests come further than a 404.
    path = dict(case.path_parameters)
    if "chat" in path:
        path["chat"] = chat
    if "user" in path:
        path["user"] = "schema.bob"
    if isinstance(path.get("seq"), int):
        path["seq"] = path["seq"] % 7
    case.path_parameters = path
    # No schema can tell the positions that were given out from others.
    case.headers.pop("Hansard-Position", None)
    headers = {"Authorization": f"Bearer {server.token('schema.ann')}"}
    case.call_and_validate(base_url=server.url, headers=headers, checks=CHECKS)
