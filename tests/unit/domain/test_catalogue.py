"""The catalogue: names, versions, upcasting, and which fields are sealed."""

import re
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from domain import catalogue
from domain import commands as c
from domain import events as e
from domain.catalogue import LATEST, PUBLISHED, SEALED_FIELDS, UPCASTERS, UnknownEvent, decode_data
from domain.envelope import Envelope, dataschema


def envelope(wire_name: str, schema: str, data: Any) -> Envelope:
    return Envelope(
        specversion="1.0",
        id="chats/g/1",
        source="/chats/g",
        type=wire_name,
        dataschema=schema,
        time="2024-01-01T00:00:00.000Z",
        datacontenttype="application/json",
        seq=1,
        actor="ann",
        commandid="c",
        commanddigest="d",
        prev="p",
        data=msgspec.Raw(msgspec.json.encode(data)),
    )


def added(version: int, data: Any) -> Envelope:
    return envelope("member.added", dataschema("member.added", version), data)


# Names


def test_every_event_is_published_under_one_name() -> None:
    assert len(set(PUBLISHED.values())) == len(PUBLISHED)
    assert set(PUBLISHED.values()) == set(e.Event.__subclasses__())


def test_names_are_those_of_the_wire() -> None:
    for name, version in PUBLISHED:
        assert re.fullmatch(r"[a-z]+\.[a-z]+", name)
        assert version >= 1


def test_every_version_before_the_latest_has_an_upcaster() -> None:
    for name, latest in LATEST.items():
        versions = {version for published, version in PUBLISHED if published == name}
        assert versions == set(range(min(versions), latest + 1))
        assert {(name, version) for version in versions - {latest}} <= UPCASTERS.keys()


def sealable_fields(cls: type) -> set[str]:
    """The fields whose type allows a box."""
    hints = get_type_hints(cls)
    return {name for name, hint in hints.items() if dict[str, Any] in get_args(hint)}


def test_the_sealed_fields_are_the_sealable_ones() -> None:
    sealable = {name: sealable_fields(PUBLISHED[name, LATEST[name]]) for name in LATEST}
    assert {name: fields for name, fields in sealable.items() if fields} == {
        name: set(fields) for name, fields in SEALED_FIELDS.items()
    }


def test_an_uploads_command_and_event_have_the_same_fields() -> None:
    command, event = (
        [field.name for field in msgspec.structs.fields(cls)]
        for cls in (c.UploadMedia, e.MediaUploaded)
    )
    assert command == event


# Decoding


def test_unknown_fields_are_ignored() -> None:
    assert decode_data(added(1, {"user": "bob", "new": [1]})) == e.MemberAdded(user="bob")


@pytest.mark.parametrize("data", [{}, {"user": 1}, {"user": None}, [], "bob", None])
def test_data_of_another_form_are_a_validation_error(data: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_data(added(1, data))


@pytest.mark.parametrize(
    ("wire_name", "schema"),
    [
        ("member.praised", dataschema("member.praised", 1)),
        ("member.added", dataschema("member.added", 2)),
        ("member.added", dataschema("member.added", 0)),
        ("member.added", dataschema("member.added", -1)),
        ("member.added", "urn:hansard:event:member.added:one"),
        ("member.added", ""),
    ],
)
def test_a_type_or_version_that_was_not_published_is_unknown(wire_name: str, schema: str) -> None:
    with pytest.raises(UnknownEvent):
        decode_data(envelope(wire_name, schema, {"user": "bob"}))


# Upcasting, with versions that never were


class MemberAddedZero(msgspec.Struct):
    name: str


def number_to_name(data: dict[str, Any]) -> dict[str, Any]:
    return {"name": f"user-{data['number']}"}


def name_to_user(data: dict[str, Any]) -> dict[str, Any]:
    return {"user": data["name"]}


@pytest.fixture
def _older(monkeypatch: pytest.MonkeyPatch) -> None:
    for version in (-1, 0):
        monkeypatch.setitem(PUBLISHED, ("member.added", version), MemberAddedZero)


STEPS: dict[tuple[str, int], catalogue.Upcaster] = {
    ("member.added", -1): number_to_name,
    ("member.added", 0): name_to_user,
}


@pytest.mark.usefixtures("_older")
def test_an_older_version_becomes_the_present_one_step_by_step() -> None:
    assert decode_data(added(0, {"name": "bob"}), STEPS) == e.MemberAdded(user="bob")
    assert decode_data(added(-1, {"number": 7}), STEPS) == e.MemberAdded(user="user-7")
    assert decode_data(added(1, {"user": "cat"}), STEPS) == e.MemberAdded(user="cat")


@pytest.mark.usefixtures("_older")
def test_what_an_upcaster_makes_must_have_the_present_form() -> None:
    nonsense: dict[tuple[str, int], catalogue.Upcaster] = {
        ("member.added", 0): lambda data: {"user": len(data)}
    }
    with pytest.raises(msgspec.ValidationError):
        decode_data(added(0, {"name": "bob"}), nonsense)
