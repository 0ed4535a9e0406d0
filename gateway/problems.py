"""Errors as clients see them: RFC 9457 `application/problem+json` with a stable code."""

import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath

import msgspec
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger()

CODES: Mapping[str, tuple[int, str]] = {
    "bad_json": (400, "The body is not JSON"),
    "bad_position": (400, "The position is not one of this log"),
    "unauthenticated": (401, "A valid token is needed"),
    "not_allowed": (403, "Not allowed"),
    "not_registered": (403, "The user is not registered"),
    "suspended": (403, "The account is suspended"),
    "user_erased": (403, "The account was erased"),
    "not_found": (404, "Not found"),
    "chat_not_found": (404, "Chat not found"),
    "user_not_found": (404, "User not found"),
    "media_not_found": (404, "Media not found"),
    "message_not_found": (404, "Message not found"),
    "schedule_not_found": (404, "Schedule not found"),
    "direct_chat": (409, "Not possible in a direct chat"),
    "message_deleted": (409, "The message was deleted"),
    "group_full": (409, "The group is full"),
    "schedule_claimed": (409, "The schedule is already being carried out"),
    "too_large": (413, "Too large"),
    "quota_exceeded": (413, "The quota is used up"),
    "unsupported_media_type": (415, "Unsupported media type"),
    "invalid_request": (422, "The request is not valid"),
    "idempotency_key_reused": (422, "The idempotency key belongs to another request"),
    "unknown_message": (422, "That names no message"),
    "due_in_past": (422, "The due time has passed"),
    "id_is_personal": (422, "The user id names a person"),
    "rate_limited": (429, "Too many requests"),
    "internal_error": (500, "Internal error"),
    "projection_behind": (503, "The read model is behind"),
    "projection_stale": (503, "The read model of this stream is stale"),
    "outcome_unknown": (503, "The outcome is not known"),
    "too_late": (503, "The request waited too long"),
    "unavailable": (503, "A needed service can't be reached"),
}
"""Every code with its HTTP status and its title."""

_CODE_OF_STATUS = {
    400: "bad_json",
    401: "unauthenticated",
    403: "not_allowed",
    404: "not_found",
    # The table of codes has none of its own for it: the path has no such operation.
    405: "not_found",
    413: "too_large",
    415: "unsupported_media_type",
    429: "rate_limited",
    503: "unavailable",
}


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field of a request; `field` is a dotted path such as `members.0`."""

    field: str
    detail: str


class Problem(Exception):
    """An answer that is an error.

    `status` is that of the code unless given.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int | None = None,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.status = CODES[code][0] if status is None else status
        self.errors = tuple(errors)
        self.headers = dict(headers or {})


def invalid_request(field: str, detail: str) -> Problem:
    """A 422 for one field."""
    return Problem("invalid_request", detail, errors=[FieldError(field, detail)])


def not_found_in_body(code: str, field: str, detail: str) -> Problem:
    """`user_not_found` or `media_not_found` as 422: a field of the body names what is missing."""
    return Problem(code, detail, status=422, errors=[FieldError(field, detail)])


def problem_response(problem: Problem) -> Response:
    """The problem as an HTTP answer."""
    body: dict[str, object] = {
        # A reference into docs/errors.md, which has a section for each code.
        "type": f"/errors#{problem.code}",
        "title": CODES[problem.code][1],
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
    }
    if problem.errors:
        body["errors"] = problem.errors
    return Response(
        msgspec.json.encode(body),
        status_code=problem.status,
        headers=problem.headers,
        media_type="application/problem+json",
    )


def install(app: FastAPI) -> None:
    """Makes every error of the application a problem.

    Call it before adding what must also see the answers to unexpected errors, such as CORS.
    """
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_middleware(UnexpectedErrors)


async def _on_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem_response(error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem_response(_from_http_exception(request, error))


async def _on_invalid_request(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem_response(_from_validation(error))


def _from_http_exception(request: Request, error: HTTPException) -> Problem:
    status = error.status_code
    if status == 400 and request.headers.get("content-type", "").startswith("multipart/"):
        return invalid_request("body", "The multipart body can't be read.")
    default = "internal_error" if status >= 500 else "invalid_request"
    return Problem(
        _CODE_OF_STATUS.get(status, default), error.detail, status=status, headers=error.headers
    )


def _from_validation(error: RequestValidationError) -> Problem:
    found = error.errors()
    if any(each["type"] == "json_invalid" for each in found):
        return Problem("bad_json", "The body is not JSON.")
    return Problem(
        "invalid_request",
        "Some fields are not valid.",
        errors=[FieldError(_field(each["loc"]), each["msg"]) for each in found],
    )


def _field(location: Sequence[str | int]) -> str:
    """`("body", "members", 0)` as `members.0`; a part of the request as a whole by its own name."""
    return ".".join(map(str, location[1:] or location))


class UnexpectedErrors:
    """Answers 500 `internal_error` to what nobody caught, and logs it without content.

    The text of an exception may quote a message, so only its type and the lines of code are kept,
    and it goes no further: the server underneath would log it whole.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            return
        except Exception as error:
            log.error("unexpected_error", error=type(error).__qualname__, at=_lines(error))
            if started or scope["type"] != "http":
                # Raising makes the server cut the connection, so half an answer never looks whole.
                raise RuntimeError("broken off by an unexpected error") from None
            response = problem_response(
                Problem(
                    "internal_error", "Something went wrong here. The request was not at fault."
                )
            )
            await response(scope, receive, send)


def _lines(error: BaseException) -> Iterable[str]:
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    return [f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
