import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI, UploadFile
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from gateway.problems import (
    CODES,
    FieldError,
    Problem,
    install,
    invalid_request,
    not_found_in_body,
    problem_response,
)

STATUSES = {
    400: {"bad_json", "bad_position"},
    401: {"unauthenticated"},
    403: {"not_allowed", "not_registered", "suspended", "user_erased"},
    404: {
        "not_found",
        "chat_not_found",
        "user_not_found",
        "media_not_found",
        "message_not_found",
        "schedule_not_found",
    },
    409: {"direct_chat", "message_deleted", "group_full", "schedule_claimed"},
    413: {"too_large", "quota_exceeded"},
    415: {"unsupported_media_type"},
    422: {
        "invalid_request",
        "idempotency_key_reused",
        "unknown_message",
        "due_in_past",
        "id_is_personal",
    },
    429: {"rate_limited"},
    500: {"internal_error"},
    503: {
        "projection_behind",
        "projection_stale",
        "outcome_unknown",
        "too_late",
        "unavailable",
    },
}


class Chat(BaseModel):
    model_config = ConfigDict(extra="forbid")
    members: list[str]


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    install(app)

    @app.post("/chats")
    async def make(chat: Chat, limit: int = 50) -> int:
        return len(chat.members) + limit

    @app.post("/files")
    async def upload(file: UploadFile) -> str:
        return file.filename or ""

    @app.get("/problem")
    async def problem() -> None:
        raise Problem("rate_limited", "Slow down.", headers={"Retry-After": "3"})

    @app.get("/http/{status}")
    async def plain(status: int) -> None:
        raise HTTPException(status)

    @app.get("/broken")
    async def broken() -> None:
        raise KeyError("what ann said")

    @app.get("/half")
    async def half() -> Response:
        async def parts() -> AsyncIterator[bytes]:
            yield b"a"
            raise KeyError("what ann said")

        return StreamingResponse(parts())

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def test_the_codes_are_those_of_the_contract() -> None:
    assert {code: status for code, (status, _) in CODES.items()} == {
        code: status for status, codes in STATUSES.items() for code in codes
    }
    assert all(title for _, title in CODES.values())


def test_the_form_of_a_problem() -> None:
    response = problem_response(invalid_request("name", "Too long."))
    assert response.status_code == 422
    assert response.media_type == "application/problem+json"
    assert json.loads(bytes(response.body)) == {
        "type": "/errors#invalid_request",
        "title": "The request is not valid",
        "status": 422,
        "code": "invalid_request",
        "detail": "Too long.",
        "errors": [{"field": "name", "detail": "Too long."}],
    }


@pytest.mark.parametrize("code", ["user_not_found", "media_not_found"])
def test_what_a_body_names_is_422(code: str) -> None:
    problem = not_found_in_body(code, "avatar", "There is no such image.")
    assert (problem.status, problem.code) == (422, code)
    assert problem.errors == (FieldError("avatar", "There is no such image."),)


async def test_a_problem_keeps_its_headers(client: httpx.AsyncClient) -> None:
    response = await client.get("/problem")
    assert response.status_code == 429
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"] == "3"
    assert response.json()["code"] == "rate_limited"
    assert "errors" not in response.json()


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "bad_json"),
        (401, "unauthenticated"),
        (403, "not_allowed"),
        (404, "not_found"),
        (406, "invalid_request"),
        (413, "too_large"),
        (415, "unsupported_media_type"),
        (429, "rate_limited"),
        (503, "unavailable"),
        (507, "internal_error"),
    ],
)
async def test_errors_of_the_framework(client: httpx.AsyncClient, status: int, code: str) -> None:
    response = await client.get(f"/http/{status}")
    assert response.status_code == response.json()["status"] == status
    assert response.json()["code"] == code


async def test_no_such_path(client: httpx.AsyncClient) -> None:
    response = await client.get("/nowhere")
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


async def test_no_such_method(client: httpx.AsyncClient) -> None:
    response = await client.put("/chats")
    assert (response.status_code, response.json()["code"]) == (405, "not_found")
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("body", "query", "fields"),
    [
        ({}, "", ["members"]),
        ({"members": ["ann", 3]}, "", ["members.1"]),
        ({"members": [], "colour": "red"}, "", ["colour"]),
        ({"members": []}, "?limit=many", ["limit"]),
        ([], "", ["body"]),
        (None, "", ["body"]),
    ],
)
async def test_wrong_fields(
    client: httpx.AsyncClient, body: Any, query: str, fields: list[str]
) -> None:
    response = await client.post(f"/chats{query}", json=body)
    assert response.status_code == 422
    assert response.json()["code"] == "invalid_request"
    assert [error["field"] for error in response.json()["errors"]] == fields
    assert all(error["detail"] for error in response.json()["errors"])


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b'{"members": [}'])
async def test_what_is_no_json(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post(
        "/chats", content=body, headers={"content-type": "application/json"}
    )
    assert (response.status_code, response.json()["code"]) == (400, "bad_json")


async def test_a_broken_multipart_body(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "/files", content=b"nonsense", headers={"content-type": "multipart/form-data; boundary=b"}
    )
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


async def test_an_unexpected_error_is_logged_without_content(client: httpx.AsyncClient) -> None:
    with structlog.testing.capture_logs() as logs:
        response = await client.get("/broken")
    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert "ann" not in response.text
    [entry] = logs
    assert entry["error"] == "KeyError"
    assert any("test_problems.py" in line and "broken" in line for line in entry["at"])
    assert "ann" not in str(entry)


async def test_half_an_answer_is_cut_off(client: httpx.AsyncClient) -> None:
    with structlog.testing.capture_logs(), pytest.raises(RuntimeError) as caught:
        await client.get("/half")
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None
    assert "ann" not in str(caught.value)
