"""What is generated from the catalogue: the committed files, and that they describe the record."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import (  # type: ignore[import-untyped]  # it ships no types
    Draft7Validator,
    Draft202012Validator,
    ValidationError,
)

from domain import asyncapi
from domain import commands as c
from domain.catalogue import PUBLISHED, SEALED_FIELDS
from tests.unit.domain.streams import Stream, at
from tests.unit.domain.test_golden import BOX, EXPECTED, golden
from workers.tools import schemas

DOCUMENT = asyncapi.document()
MESSAGES = DOCUMENT["components"]["messages"]


def payload_validator(message: str) -> Draft7Validator:
    """AsyncAPI's own schema language is a superset of JSON Schema draft 7."""
    payload = MESSAGES[message]["payload"]
    return Draft7Validator(payload | {"components": DOCUMENT["components"]})


# The committed files


def test_the_committed_files_are_what_would_be_generated() -> None:
    assert schemas.drift() == [], "run python -m workers.tools.schemas"


def test_a_file_that_is_missing_changed_or_left_over_is_drift(tmp_path: Path) -> None:
    assert len(schemas.drift(tmp_path)) == len(PUBLISHED) + 2
    schemas.write(tmp_path)
    assert schemas.drift(tmp_path) == []
    (tmp_path / "asyncapi.json").write_bytes(b"{}\n")
    (tmp_path / "schemas" / "message.sent.v1.json").unlink()
    (tmp_path / "schemas" / "message.lost.v1.json").write_bytes(b"{}\n")
    assert schemas.drift(tmp_path) == [
        "asyncapi.json",
        "schemas/message.lost.v1.json",
        "schemas/message.sent.v1.json",
    ]
    schemas.write(tmp_path)
    assert schemas.drift(tmp_path) == []


# Schemas of events


@pytest.mark.parametrize("key", PUBLISHED, ids=str)
def test_the_golden_record_is_valid(key: tuple[str, int]) -> None:
    record = json.loads(golden(asyncapi.schema_name(*key)))
    for schema, instance in (
        (asyncapi.envelope_schema(), record),
        (asyncapi.event_schema(*key), record["data"]),
    ):
        Draft202012Validator.check_schema(schema)
        Draft202012Validator(schema).validate(instance)
    assert asyncapi.event_schema(*key)["$id"] == record["dataschema"]
    payload_validator(asyncapi.schema_name(*key)).validate(record)


@pytest.mark.parametrize("wire_name", SEALED_FIELDS)
def test_a_sealed_field_is_plain_or_a_box_or_null(wire_name: str) -> None:
    validator = Draft202012Validator(asyncapi.event_schema(wire_name, 1))
    data = json.loads(golden(f"{wire_name}.v1"))["data"]
    for field in SEALED_FIELDS[wire_name]:
        plain = {"any": "object"} if field in ("metadata", "subscription") else "text"
        for value in (plain, BOX, None):
            validator.validate(data | {field: value})
        assert not validator.is_valid(data | {field: 7})
        if isinstance(plain, str):
            for wrong in (BOX | {"more": 1}, BOX | {"commit": "short"}, {"sealed": "key-1"}):
                assert not validator.is_valid(data | {field: wrong})


def test_a_record_with_something_missing_is_invalid() -> None:
    record = json.loads(golden("message.sent.v1"))
    validator = payload_validator("message.sent.v1")
    for name in ("prev", "seq", "type", "data"):
        with pytest.raises(ValidationError):
            validator.validate({key: value for key, value in record.items() if key != name})
    with pytest.raises(ValidationError):
        validator.validate(record | {"type": "message.edited"})
    with pytest.raises(ValidationError):
        validator.validate(record | {"data": {"ordinal": 1}})


# The AsyncAPI document


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from references(item)


def test_everything_it_refers_to_is_in_it() -> None:
    for reference in references(DOCUMENT):
        node = DOCUMENT
        assert reference.startswith("#/")
        for step in reference[2:].split("/"):
            node = node[step]


def test_every_event_goes_to_the_topic_of_its_stream() -> None:
    channels = DOCUMENT["channels"]
    in_chats, in_users = channels["chats"]["messages"], channels["users"]["messages"]
    assert not in_chats.keys() & in_users.keys()
    assert in_chats.keys() | in_users.keys() == EXPECTED.keys()
    assert {name.removesuffix(".v1") for name in in_chats} == {
        name for name, _ in eventful_chat().events
    }


def eventful_chat() -> Stream:
    """A chat in which everything has happened that can."""
    chat = Stream("chats/g")
    chat.do(c.CreateChat(kind="group", members=("ann", "bob")), "ann")
    chat.do(c.SendMessage(kind="text", content="", expires_in=1), "ann", time=at(10))
    chat.do(c.SendMessage(kind="text", content=""), "ann", time=at(10))
    chat.do(c.ChangeChat(name="x"), "ann")
    chat.do(c.AddMembers(users=("cat",)), "ann")
    chat.do(c.SetRole(user="cat", role="admin"), "ann")
    chat.do(c.SetRole(user="cat", role="member"), "ann")
    chat.do(c.RemoveMember(user="cat"), "cat")
    chat.do(c.React(message=3, emoji="👍"), "bob")
    chat.do(c.React(message=3, emoji=None), "bob")
    chat.do(c.EditMessage(message=3, content="y"), "ann")
    chat.do(c.DeleteMessage(message=3), "ann")
    chat.do(c.ExpireMessage(message=2), "system", "system", time=at(20))
    return chat


def test_records_of_kafka_have_the_stream_as_key_and_name_their_content_type() -> None:
    trait = DOCUMENT["components"]["messageTraits"]["record"]
    assert trait["headers"]["properties"]["content-type"] == {
        "const": "application/cloudevents+json"
    }
    assert trait["bindings"]["kafka"]["key"]["type"] == "string"
    for topic in ("chats", "users", "outcomes"):
        for name in DOCUMENT["channels"][topic]["messages"]:
            assert MESSAGES[name]["traits"] == [{"$ref": "#/components/messageTraits/record"}]


def test_outcomes_are_described() -> None:
    chat = Stream("chats/g")
    verdict = chat.do(c.SendMessage(kind="text", content=""), "ann")
    outcome = json.loads(msgspec.json.encode(verdict.outcome))
    payload_validator("outcome").validate(outcome)
    assert not payload_validator("outcome").is_valid(outcome | {"status": "lost"})


# Frames: the names of the API, and one example of each


CLIENT: dict[str, dict[str, Any]] = {
    "hello": {"token": "t", "resume": {"chats/g": 7, "users/ann": 0}},
    "auth": {"token": "t"},
    "send": {"id": "1", "chat": "g", "kind": "text", "content": "hi", "expires_in": 60},
    "edit": {"id": "2", "chat": "g", "seq": 2, "content": "hi"},
    "delete": {"id": "3", "chat": "g", "seq": 2, "for": "everyone"},
    "react": {"id": "4", "chat": "g", "seq": 2, "emoji": None},
    "read": {"chat": "g", "up_to": 2},
    "delivered": {"id": "5", "chat": "g", "up_to": 2},
    "typing": {"chat": "g", "on": True},
    "presence": {"status": "away"},
    "ping": {},
}
NOW = "2024-01-01T00:00:00.000Z"
SERVER: dict[str, dict[str, Any]] = {
    "welcome": {
        "user": "ann",
        "session": "s",
        "heartbeat_ms": 25_000,
        "expires_at": NOW,
        "streams": {"users/ann": 3},
        "recovered": True,
    },
    "auth": {"expires_at": NOW},
    "ack": {"id": "1", "chat": "g", "seq": 2, "ordinal": 1, "time": NOW, "position": "p"},
    "error": {"id": "1", "code": "rate_limited", "detail": "Slow down.", "retry_after_ms": 50},
    "event": {
        "stream": "chats/g",
        "seq": 2,
        "type": "message.sent",
        "time": NOW,
        "actor": "ann",
        "command": "c",
        "data": {"message": 2},
        "redacted": True,
    },
    "receipt": {"chat": "g", "user": "bob", "read_up_to": 2},
    "typing": {"chat": "g", "user": "bob", "on": False},
    "presence": {"user": "bob", "status": "online"},
    "profile": {"user": "bob", "name": "Bob", "avatar": None},
    "reset": {"stream": "chats/g", "seq": 0},
    "pong": {},
}


@pytest.mark.parametrize(("side", "frames"), [("client", CLIENT), ("server", SERVER)])
def test_every_frame_is_described_by_its_name(side: str, frames: dict[str, Any]) -> None:
    described = {name for name in MESSAGES if name.startswith(f"{side}.")}
    assert described == {f"{side}.{op}" for op in frames}
    assert described <= DOCUMENT["channels"]["websocket"]["messages"].keys()
    for op, fields in frames.items():
        validator = payload_validator(f"{side}.{op}")
        validator.validate({"op": op} | fields)
        assert not validator.is_valid(fields)
        assert not validator.is_valid({"op": "other"} | fields)
        # A server may add fields within v1; a client that sends unknown ones is told so.
        assert validator.is_valid({"op": op, "new": 1} | fields) == (side == "server")
