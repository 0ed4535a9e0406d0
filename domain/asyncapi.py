"""What Hansard publishes, for programs: JSON Schema of each event and an AsyncAPI 3.0 document.

All of it is made from the catalogue and says nothing of one installation, so it can be committed
(`docs/`) and served as it is. The forms of events are those of the log: their sealed fields are
boxes (`domain.sealing`) unless sealing is off.
"""

import inspect
from collections.abc import Iterable
from typing import Any

import msgspec

from domain.catalogue import PUBLISHED, SEALED_FIELDS
from domain.commands import Outcome
from domain.envelope import CONTENT_TYPE, SPEC_VERSION, Envelope, dataschema
from domain.events import MessageKind

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

#: The topic `chats` carries these; everything else is in `users`, operators' streams too.
CHAT_EVENTS = frozenset(
    (
        "chat.created",
        "chat.changed",
        "member.added",
        "member.removed",
        "member.promoted",
        "member.demoted",
        "message.sent",
        "message.edited",
        "message.deleted",
        "message.expired",
        "reaction.set",
        "reaction.cleared",
    )
)

_OBJECTS_WHEN_PLAIN = frozenset(("metadata", "subscription"))
_STRING: Schema = {"type": "string"}
_NULLABLE: Schema = {"type": ["string", "null"]}
_FLAG: Schema = {"type": "boolean"}
_OBJECT: Schema = {"type": "object"}
_SEQ: Schema = {"type": "integer", "minimum": 1}
_HEAD: Schema = {"type": "integer", "minimum": 0}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_HEADS: Schema = {"type": "object", "additionalProperties": _HEAD}
_TIME: Schema = {"type": "string", "format": "date-time"}
_HASH: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_BASE64: Schema = {"type": "string", "contentEncoding": "base64"}
_STATUS: Schema = {"enum": ["online", "away", "busy", "offline"]}
_KIND: Schema = msgspec.json.schema(MessageKind)

_SEALED_BOX: Schema = {
    "title": "SealedBox",
    "description": "AES-256-GCM under a key derived from the one that `sealed` names.",
    "type": "object",
    "properties": {
        "sealed": _STRING | {"description": "The id of the key."},
        "commit": _HASH | {"description": "SHA-256 of the derived key."},
        "nonce": _BASE64,
        "box": _BASE64,
    },
    "required": ["sealed", "commit", "nonce", "box"],
    "additionalProperties": False,
}
_ENVELOPE_DETAILS: dict[str, Schema] = {
    "specversion": {"const": SPEC_VERSION},
    "source": {"format": "uri-reference"},
    "dataschema": {"format": "uri"},
    "time": _TIME,
    "datacontenttype": {"const": "application/json"},
    "seq": {"minimum": 1},
    "prev": _HASH | {"description": "SHA-256 of the previous envelope, or of the stream's name."},
    "data": _OBJECT,
}


def schema_name(wire_name: str, version: int) -> str:
    return f"{wire_name}.v{version}"


def event_schema(wire_name: str, version: int) -> Schema:
    """JSON Schema of the data of one published version.

    Raises:
        KeyError: it was never published.
    """
    cls = PUBLISHED[wire_name, version]
    schema, definitions = _generated(cls)
    schema["title"] = f"{wire_name} version {version}"
    sealed = [name for name in SEALED_FIELDS.get(wire_name, ()) if name in schema["properties"]]
    for name in sealed:
        plain = "object" if name in _OBJECTS_WHEN_PLAIN else "string"
        schema["properties"][name]["anyOf"] = [
            {"type": plain},
            {"$ref": "#/$defs/SealedBox"},
            {"type": "null"},
        ]
    if sealed:
        definitions["SealedBox"] = _SEALED_BOX
    return _document(dataschema(wire_name, version), schema, definitions)


def envelope_schema() -> Schema:
    """JSON Schema of the record around every event."""
    schema, definitions = _generated(Envelope)
    for name, details in _ENVELOPE_DETAILS.items():
        schema["properties"][name] |= details
    # Left out where there is nothing to say, never null.
    for name in ("originaltime", "causationid", "correlationid", "traceparent"):
        schema["properties"][name] = _TIME if name == "originaltime" else {"type": "string"}
    return _document("urn:hansard:envelope", schema, definitions)


def _generated(cls: type[msgspec.Struct]) -> tuple[Schema, dict[str, Schema]]:
    (_,), definitions = msgspec.json.schema_components((cls,), ref_template="#/$defs/{name}")
    for definition in definitions.values():
        if "description" in definition:
            definition["description"] = inspect.cleandoc(definition["description"])
    return definitions.pop(cls.__name__), definitions


def _document(uri: str, schema: Schema, definitions: dict[str, Schema]) -> Schema:
    document = {"$schema": DIALECT, "$id": uri, **schema}
    return document | {"$defs": definitions} if definitions else document


Frames = dict[str, tuple[str, dict[str, Schema]]]

# What a frame is for, and its fields beside `op`; `?` marks one that may be left out.
_CLIENT_FRAMES: Frames = {
    "hello": (
        "Comes first, within 10 s. The token may stand in the header instead.",
        {"token?": _STRING, "resume?": _HEADS},
    ),
    "auth": ("Renews the token; another `sub` closes with 4401.", {"token": _STRING}),
    "send": (
        "Sends a message, or schedules it.",
        {
            "id": _STRING,
            "chat": _STRING,
            "kind": _KIND,
            "content": _STRING | {"maxLength": 8192},
            "metadata?": _OBJECT,
            "reply_to?": _SEQ,
            "mentions?": {"type": "array", "items": _STRING},
            "expires_in?": {"type": "integer", "minimum": 1, "maximum": 31_536_000},
            "scheduled_for?": _TIME,
        },
    ),
    "edit": (
        "Changes the content of an own message.",
        {"id": _STRING, "chat": _STRING, "seq": _SEQ, "content": _STRING | {"maxLength": 8192}},
    ),
    "delete": (
        "Deletes a message for everyone, or for oneself.",
        {"id": _STRING, "chat": _STRING, "seq": _SEQ, "for": {"enum": ["everyone", "me"]}},
    ),
    "react": (
        "Sets one's reaction to a message; null clears it.",
        {"id": _STRING, "chat": _STRING, "seq": _SEQ, "emoji": _NULLABLE},
    ),
    "read": ("Marks as read.", {"id?": _STRING, "chat": _STRING, "up_to": _SEQ}),
    "delivered": ("Marks as delivered.", {"id?": _STRING, "chat": _STRING, "up_to": _SEQ}),
    "typing": ("Stops by itself after 6 s.", {"chat": _STRING, "on": _FLAG}),
    "presence": ("Says how one is present.", {"status": _STATUS}),
    "ping": ("Asks for a `pong`.", {}),
}
_SERVER_FRAMES: Frames = {
    "welcome": (
        "Answers `hello`; names the own stream and every chat, with their heads.",
        {
            "user": _STRING,
            "session": _STRING,
            "heartbeat_ms": _COUNT,
            "expires_at": _TIME,
            "streams": _HEADS,
            "recovered": _FLAG,
        },
    ),
    "auth": ("The token was renewed.", {"expires_at": _TIME}),
    "ack": (
        "A frame that writes was accepted; comes before its event.",
        {
            "id?": _STRING,
            "chat": _STRING,
            "seq": _HEAD,
            "ordinal?": _SEQ,
            "schedule?": _STRING,
            "up_to?": _SEQ,
            "time": _TIME,
            "position": _STRING,
        },
    ),
    "error": (
        "A frame was turned down; the connection stays unless a close follows.",
        {"id?": _STRING, "code": _STRING, "detail": _STRING, "retry_after_ms?": _COUNT},
    ),
    "event": (
        "The next event of a stream, its fields opened for this user.",
        {
            "stream": _STRING,
            "seq": _SEQ,
            "type": {"enum": sorted({name for name, _ in PUBLISHED})},
            "time": _TIME,
            "actor": _STRING,
            "command": _STRING,
            "data": _OBJECT,
            "redacted?": _FLAG,
        },
    ),
    "receipt": (
        "How far a member's marks have come: state, so only the newest counts.",
        {"chat": _STRING, "user": _STRING, "read_up_to?": _SEQ, "delivered_up_to?": _SEQ},
    ),
    "typing": (
        "Someone types, or has stopped.",
        {"chat": _STRING, "user": _STRING, "on": _FLAG},
    ),
    "presence": ("How someone is present.", {"user": _STRING, "status": _STATUS}),
    "profile": (
        "Someone changed their profile.",
        {"user": _STRING, "name": _NULLABLE, "avatar": _NULLABLE},
    ),
    "reset": (
        "Forget this stream, its next event is `seq` + 1; without fields: say `hello` anew.",
        {"stream?": _STRING, "seq?": _HEAD},
    ),
    "pong": ("Answers `ping`.", {}),
}


def document() -> Schema:
    """The AsyncAPI 3.0 document: the topics `chats`, `users` and `outcomes`, and the websocket.

    It holds everything it refers to, so it can be read without the files of `docs/schemas`.
    """
    schemas: dict[str, Schema] = {}
    _embed(schemas, "Envelope", envelope_schema())
    _embed(schemas, "Outcome", _document("urn:hansard:outcome", *_generated(Outcome)))
    messages = {"outcome": _record("outcome", _component("schemas", "Outcome"))}
    topics: dict[str, list[str]] = {"chats": [], "users": [], "outcomes": ["outcome"]}
    for wire_name, version in PUBLISHED:
        name = schema_name(wire_name, version)
        _embed(schemas, name, event_schema(wire_name, version))
        messages[name] = _record(wire_name, _event_payload(wire_name, version))
        topics["chats" if wire_name in CHAT_EVENTS else "users"].append(name)
    received = {f"client.{op}": _frame(op, *frame, True) for op, frame in _CLIENT_FRAMES.items()}
    sent = {f"server.{op}": _frame(op, *frame, False) for op, frame in _SERVER_FRAMES.items()}
    channels = {topic: _topic(topic, names) for topic, names in topics.items()}
    channels["websocket"] = _websocket([*received, *sent])
    operations = {f"publish_{topic}": _operation("send", topic, topics[topic]) for topic in topics}
    operations["receive_frames"] = _operation("receive", "websocket", received)
    operations["send_frames"] = _operation("send", "websocket", sent)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Hansard",
            "version": "1",
            "description": "The record as it is published on Kafka, and the websocket of clients.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {
            "schemas": schemas,
            "messages": messages | received | sent,
            "messageTraits": {"record": _RECORD_TRAIT},
        },
    }


_RECORD_TRAIT: Schema = {
    "contentType": CONTENT_TYPE,
    "headers": {
        "type": "object",
        "properties": {"content-type": {"const": CONTENT_TYPE}},
        "required": ["content-type"],
    },
    "bindings": {
        "kafka": {
            "key": {"type": "string", "description": "The stream: `chats/…`, `users/…`, …"},
            "bindingVersion": "0.5.0",
        }
    },
}


def _component(section: str, name: str) -> Schema:
    return {"$ref": f"#/components/{section}/{name}"}


def _embed(schemas: dict[str, Schema], name: str, schema: Schema) -> None:
    """Put a schema and its definitions among the components of the document."""
    for component, definition in ({name: schema} | schema.get("$defs", {})).items():
        schemas[component] = _relocated(definition)


def _relocated(node: Any) -> Any:
    match node:
        case {"$ref": str(target)}:
            return {"$ref": target.replace("#/$defs/", "#/components/schemas/")}
        case dict():
            return {
                key: _relocated(value)
                for key, value in node.items()
                if key not in ("$schema", "$id", "$defs")
            }
        case list():
            return [_relocated(item) for item in node]
    return node


def _event_payload(wire_name: str, version: int) -> Schema:
    details = {
        "type": {"const": wire_name},
        "dataschema": {"const": dataschema(wire_name, version)},
        "data": _component("schemas", schema_name(wire_name, version)),
    }
    return {"allOf": [_component("schemas", "Envelope"), {"properties": details}]}


def _record(name: str, payload: Schema) -> Schema:
    return {"name": name, "traits": [_component("messageTraits", "record")], "payload": payload}


def _frame(op: str, summary: str, fields: dict[str, Schema], closed: bool) -> Schema:
    payload: Schema = {
        "type": "object",
        "properties": {"op": {"const": op}}
        | {name.removesuffix("?"): schema for name, schema in fields.items()},
        "required": ["op", *(name for name in fields if not name.endswith("?"))],
        "additionalProperties": not closed,
    }
    return {"name": op, "summary": summary, "payload": payload}


def _topic(topic: str, messages: list[str]) -> Schema:
    return {
        "address": topic,
        "description": "A Kafka topic, behind the prefix that the URL of the log names.",
        "messages": {name: _component("messages", name) for name in messages},
        "bindings": {
            "kafka": {
                "topic": topic,
                "topicConfiguration": {"cleanup.policy": ["delete"], "retention.ms": -1},
                "bindingVersion": "0.5.0",
            }
        },
    }


def _websocket(messages: list[str]) -> Schema:
    return {
        "address": "/v1/ws",
        "description": "Text frames, one JSON object each; its name stands in `op`.",
        "messages": {name: _component("messages", name) for name in messages},
        "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
    }


def _operation(action: str, channel: str, messages: Iterable[str]) -> Schema:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
    }
