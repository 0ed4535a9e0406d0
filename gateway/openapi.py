"""The OpenAPI document: forms, queries and shapes as msgspec describes them, problems by code."""

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from fastapi.routing import APIRoute

from gateway.problems import CODES

Schema = dict[str, Any]

PROBLEM_TYPE = "application/problem+json"
IN_BODY = " in body"
"""Marks a code that is 404 of a path as the 422 it is of a field."""

AS = " as "
"""Stands before the status of a code that has another one here than elsewhere."""

_REF = "#/components/schemas/{name}"
_EXTRA = "x-operation"

# What any operation may answer beside its own problems.
_ALWAYS = ("bad_position", "unauthenticated", "id_is_personal", "rate_limited")
_ALWAYS_503 = ("projection_behind", "projection_stale", "unavailable")
_ADMISSION = ("not_registered", "suspended", "user_erased")
_OF_BODIES = ("bad_json", "too_large", "unsupported_media_type")
_OF_UPLOADS = ("too_large", "unsupported_media_type")
_OF_WRITES = ("idempotency_key_reused", "outcome_unknown", "too_late")

_PATHS: dict[str, Schema] = {
    "chat": {"type": "string", "minLength": 1, "maxLength": 128},
    "user": {"type": "string", "minLength": 1, "maxLength": 128},
    "media": {"type": "string", "minLength": 1, "maxLength": 128},
    "seq": {"type": "integer", "minimum": 1, "maximum": 2**63 - 1},
    "device": {"type": "string", "minLength": 1, "maxLength": 128},
    "schedule": {"type": "string", "minLength": 1, "maxLength": 128},
}
_TEXT: Schema = {"type": "string"}
_DESCRIPTIONS = {201: "Made", 202: "Taken on", 204: "Done"}
_REQUEST_HEADERS: dict[str, Schema] = {
    "Hansard-Position": {
        "description": "Positions of earlier writes that the answer must know of, at most 16, "
        "separated by commas.",
        "schema": _TEXT,
    },
    "Idempotency-Key": {
        "description": "The same key gives the same answer, without a second effect.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    },
}
_ANSWER_HEADERS: dict[str, Schema] = {
    "RateLimit": {"description": "What remains of the quota.", "schema": _TEXT},
    "RateLimit-Policy": {"description": "The quota.", "schema": _TEXT},
    "Hansard-Stale": {
        "description": "Streams of the answer whose newer events can't be shown.",
        "schema": _TEXT,
    },
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "string"}},
    "Hansard-Position": {"description": "To be sent with later reads.", "schema": _TEXT},
    "Idempotency-Key": {"description": "The key of the request, or one made.", "schema": _TEXT},
    "Idempotent-Replayed": {
        "description": "`true` if the request repeats an earlier one.",
        "schema": {"const": "true"},
    },
    "Location": {"description": "The address of what was made.", "schema": _TEXT},
}
_FILE: Schema = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "properties": {"file": {"type": "string", "format": "binary"}},
            "required": ["file"],
            "additionalProperties": False,
        }
    }
}
_PROBLEM: Schema = {
    "title": "Problem",
    "description": "RFC 9457. `code` is stable; docs/errors.md says what to do.",
    "type": "object",
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": _TEXT,
        "status": {"type": "integer"},
        "code": {"type": "string", "examples": sorted(CODES)},
        "detail": _TEXT,
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": _TEXT, "detail": _TEXT},
                "required": ["field", "detail"],
            },
        },
    },
    "required": ["type", "title", "status", "code", "detail"],
}


class Operation(NamedTuple):
    """What the document says of one operation beside its path, method and docstring."""

    body: type | None
    upload: bool
    query: type | None
    answers: Mapping[int, Any]
    problems: Sequence[str]
    write: bool
    registered: bool
    public: bool


def documented(
    *,
    answers: Mapping[int, Any],
    problems: Sequence[str] = (),
    body: type | None = None,
    upload: bool = False,
    query: type | None = None,
    write: bool = False,
    registered: bool = True,
    public: bool = False,
) -> dict[str, Any]:
    """The keyword arguments of a route that describe it.

    Args:
        answers: the form of the answer by status; None for an empty one, a media type for text.
        problems: codes that are the operation's own, with the status after ` as ` if it is another.
        body: the form of the body; what has one is a write.
        upload: whether the body is a file, as multipart.
        query: the form of the query.
        write: whether it writes, for those without a body.
        registered: whether it demands a registered user.
        public: whether it demands no token.
    """
    write = write or (body is not None and not public)
    operation = Operation(body, upload, query, answers, problems, write, registered, public)
    return {"openapi_extra": {_EXTRA: operation}}


def document(routes: Iterable[APIRoute]) -> Schema:
    """The OpenAPI 3.1 document of these routes."""
    described = [
        (route, operation)
        for route in routes
        if (operation := (route.openapi_extra or {}).get(_EXTRA)) is not None
    ]
    schemas = _Schemas([operation for _, operation in described])
    paths: Schema = {}
    for route, operation in described:
        for method in (route.methods or set()) - {"HEAD"}:
            path = paths.setdefault(route.path_format, {})
            path[method.lower()] = _described(route, operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Hansard",
            "version": "1",
            "description": "A messaging core in which every action is an event of a record.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas.components | {"Problem": _PROBLEM},
            "headers": _ANSWER_HEADERS,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
        },
    }


class _Schemas:
    """The schemas of all types that the operations name."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        types = [o.body for o in operations if o.body is not None]
        types += [
            answer
            for o in operations
            for answer in o.answers.values()
            if answer is not None and not isinstance(answer, str)
        ]
        types = list(dict.fromkeys(types))
        refs, components = msgspec.json.schema_components(types, ref_template=_REF)
        self._refs = dict(zip(types, refs, strict=True))
        self.components: Schema = {
            name: _tidied(component) for name, component in components.items()
        }

    def ref(self, type_: Any) -> Schema:
        return self._refs[type_]


def _tidied(node: Any) -> Any:
    """A schema with docstrings unindented and patterns that end in `$`.

    In JSON Schema `$` is the end of the text and nothing else, unlike in Python.
    """
    match node:
        case dict():
            return {key: _tidied_value(key, value) for key, value in node.items()}
        case list():
            return [_tidied(item) for item in node]
    return node


def _tidied_value(key: str, value: Any) -> Any:
    if isinstance(value, str):
        if key == "pattern":
            return value.replace(r"(?![\s\S])", "$")
        if key == "description":
            return inspect.cleandoc(value)
    return _tidied(value)


def _described(route: APIRoute, operation: Operation, schemas: _Schemas) -> Schema:
    described: Schema = {
        "operationId": route.name,
        "summary": route.name.replace("_", " ").capitalize(),
        "description": inspect.cleandoc(route.endpoint.__doc__ or ""),
        "tags": [route.endpoint.__module__.rpartition(".")[2]],
        "parameters": [*_path(route), *_query(operation), *_headers(operation)],
        "responses": {
            **{
                str(status): _answer(answer, status, operation, schemas)
                for status, answer in operation.answers.items()
            },
            **_problems(route, operation),
        },
    }
    if operation.body is not None:
        content = {"application/json": {"schema": schemas.ref(operation.body)}}
        described["requestBody"] = {"required": True, "content": content}
    if operation.upload:
        described["requestBody"] = {"required": True, "content": _FILE}
    if not operation.public:
        described["security"] = [{"bearer": []}]
    return described


def _path(route: APIRoute) -> list[Schema]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _PATHS[name]}
        for name in re.findall(r"{(\w+)}", route.path_format)
    ]


def _query(operation: Operation) -> list[Schema]:
    if operation.query is None:
        return []
    _, components = msgspec.json.schema_components([operation.query])
    form = _tidied(components[operation.query.__name__])
    return [
        {
            "name": name,
            "in": "query",
            "required": name in form["required"],
            "schema": _without_null(schema),
        }
        for name, schema in form["properties"].items()
    ]


def _without_null(schema: Schema) -> Schema:
    """A parameter is left out rather than null."""
    kept = {key: value for key, value in schema.items() if value is not None}
    choices = [one for one in kept.pop("anyOf", ()) if one != {"type": "null"}]
    return {**kept, **choices[0]} if choices else kept


def _headers(operation: Operation) -> list[Schema]:
    if operation.public:
        return []
    names = ["Hansard-Position", "Idempotency-Key"] if operation.write else ["Hansard-Position"]
    return [{"name": name, "in": "header", **_REQUEST_HEADERS[name]} for name in names]


def _answer(answer: Any, status: int, operation: Operation, schemas: _Schemas) -> Schema:
    described: Schema = {"description": _DESCRIPTIONS.get(status, "The answer")}
    if isinstance(answer, str):
        described["content"] = {answer: {"schema": _TEXT}}
    elif answer is not None:
        described["content"] = {"application/json": {"schema": schemas.ref(answer)}}
    names: list[str] = []
    if not operation.public:
        names += ["RateLimit", "RateLimit-Policy", "Hansard-Stale"]
    if operation.write:
        names += ["Hansard-Position", "Idempotency-Key", "Idempotent-Replayed"]
    if status == 201 or (status == 202 and 201 in operation.answers):
        names.append("Location")
    if names:
        described["headers"] = {n: {"$ref": f"#/components/headers/{n}"} for n in names}
    return described


def _problems(route: APIRoute, operation: Operation) -> Schema:
    by_status: dict[int, list[str]] = {}
    for code in _codes(route, operation):
        name, status = _status(code)
        by_status.setdefault(status, []).append(name)
    return {
        str(status): {
            "description": ", ".join(f"`{code}`" for code in dict.fromkeys(codes)),
            "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, codes in sorted(by_status.items())
    }


def _status(code: str) -> tuple[str, int]:
    """A code as `problems` has it, as the code and its status."""
    name, in_body, _ = code.partition(IN_BODY)
    name, _, status = name.partition(AS)
    return name, 422 if in_body else int(status or CODES[name][0])


def _codes(route: APIRoute, operation: Operation) -> list[str]:
    codes = list(operation.problems)
    if "{" in route.path_format:
        codes.append("not_found")
    if operation.body is not None:
        codes += _OF_BODIES
    if operation.upload:
        codes += _OF_UPLOADS
    if operation.body is not None or operation.query is not None or operation.write:
        codes.append("invalid_request")
    if not operation.public:
        codes += (*_ALWAYS, *_ALWAYS_503)
        codes += _ADMISSION if operation.registered else _ADMISSION[1:]
    if operation.write:
        codes += _OF_WRITES
    return [*codes, "internal_error"]
