"""The record on the wire."""

import hashlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.envelope import (
    Basis,
    Envelope,
    chain_next,
    chain_start,
    dataschema,
    decode,
    encode,
)

REQUIRED = {
    "specversion": "1.0",
    "id": "chats/g/2",
    "source": "/chats/g",
    "type": "member.added",
    "dataschema": "urn:hansard:event:member.added:1",
    "time": "2024-01-01T00:00:00.000Z",
    "datacontenttype": "application/json",
    "seq": 2,
    "actor": "ann",
    "commandid": "c",
    "commanddigest": "d",
    "prev": "p",
}
OPTIONAL = {
    "basis": [{"stream": "users/bob", "seq": 3}],
    "originaltime": "2023-01-01T00:00:00.000Z",
    "causationid": "cause",
    "correlationid": "all",
    "traceparent": "00-ab-cd-01",
}
DATA = {"user": "bob"}

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
ENVELOPES = st.builds(
    Envelope,
    **{name: TEXT for name in REQUIRED if name != "seq"},
    seq=st.integers(1, 2**53),
    basis=st.lists(st.builds(Basis, TEXT, st.integers(0, 2**53)), max_size=3).map(tuple),
    **{name: st.none() | TEXT for name in OPTIONAL if name != "basis"},
    data=st.dictionaries(TEXT, JSON, max_size=3).map(
        lambda data: msgspec.Raw(msgspec.json.encode(data))
    ),
)


def record(**more: Any) -> bytes:
    return json.dumps(REQUIRED | more | {"data": DATA}, separators=(",", ":")).encode()


@pytest.mark.parametrize("optional", [{}, OPTIONAL, {"originaltime": OPTIONAL["originaltime"]}])
def test_a_record_is_read_and_written_byte_for_byte(optional: dict[str, Any]) -> None:
    assert encode(decode(record(**optional))) == record(**optional)


@given(ENVELOPES)
def test_what_was_written_is_read_and_written_the_same(envelope: Envelope) -> None:
    written = encode(envelope)
    assert decode(written) == envelope
    assert encode(decode(written)) == written
    assert encode(decode(written.decode())) == written


def test_data_keep_the_form_in_which_they_were_written() -> None:
    strange = record().replace(b'{"user":"bob"}', b'{ "user" : "b\\u006fb", "n": 1.50 }')
    assert encode(decode(strange)) == strange


@given(ENVELOPES)
def test_a_record_is_a_cloud_event_in_structured_mode(envelope: Envelope) -> None:
    written = json.loads(encode(envelope))
    assert written.keys() >= REQUIRED.keys() | {"data"}
    for name in written:
        # CloudEvents 1.0: names of attributes are lower-case letters and digits.
        assert name.isalnum()
        assert name.islower()
        assert written[name] is not None


@pytest.mark.parametrize("missing", [*REQUIRED, "data"])
def test_no_attribute_may_be_missing(missing: str) -> None:
    fields = REQUIRED | {"data": DATA}
    del fields[missing]
    with pytest.raises(msgspec.DecodeError):
        decode(json.dumps(fields))


def test_unknown_fields_are_ignored() -> None:
    assert decode(record(sampledrate=3, other={"a": [1]})) == decode(record())


@pytest.mark.parametrize(
    "garbage",
    [b"", b"{}", b"[]", b"null", b"\xff", record()[:-1], record(seq="2"), record(seq=None)],
)
def test_what_is_no_envelope_is_a_decode_error(garbage: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(garbage)


def test_text_that_is_not_utf_8_is_a_decode_error() -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(record().replace(b'"ann"', b'"\xff"'))


def test_stream_and_version_are_read_from_the_attributes() -> None:
    envelope = decode(record(dataschema="urn:hansard:event:member.added:12"))
    assert (envelope.stream, envelope.version) == ("chats/g", 12)
    assert dataschema("member.added", 12) == envelope.dataschema


def test_the_chain_starts_with_the_streams_name_and_goes_on_with_the_bytes() -> None:
    assert chain_start("chats/ü") == hashlib.sha256("chats/ü".encode()).hexdigest()
    assert chain_next(record()) == hashlib.sha256(record()).hexdigest()
