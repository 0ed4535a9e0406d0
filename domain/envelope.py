"""The record on the wire: CloudEvents 1.0 in structured mode, chained by hash within its stream."""

import hashlib

import msgspec

SPEC_VERSION = "1.0"
CONTENT_TYPE = "application/cloudevents+json"
SCHEMA_PREFIX = "urn:hansard:event:"


class Basis(msgspec.Struct, frozen=True):
    """What the gateway had seen of another stream when it checked the command."""

    stream: str
    seq: int


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event as it stands in the log. `prev` of the next one hashes its encoded bytes."""

    specversion: str
    id: str
    source: str
    type: str
    dataschema: str
    time: str
    datacontenttype: str
    seq: int
    actor: str
    commandid: str
    commanddigest: str
    prev: str
    basis: tuple[Basis, ...] = ()
    originaltime: str | None = None
    causationid: str | None = None
    correlationid: str | None = None
    traceparent: str | None = None
    data: msgspec.Raw

    @property
    def stream(self) -> str:
        return self.source[1:]

    @property
    def version(self) -> int:
        return int(self.dataschema.rpartition(":")[2])


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Envelope)


def encode(envelope: Envelope) -> bytes:
    return _encoder.encode(envelope)


def decode(record: bytes | str) -> Envelope:
    """Read a record of the log; fields it does not know are ignored.

    Raises:
        msgspec.DecodeError: the bytes are no envelope.
    """
    try:
        return _decoder.decode(record)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError("not UTF-8") from error


def unreadable(stream: str, time: str, seq: int = 1) -> Envelope:
    """Stands for a record of a stream that is no event.

    No version of any event has this name, so nobody can fold it: its stream stops there. Where its
    `seq` is not known, the first one has the whole stream read again when it is retried.
    """
    return Envelope(
        specversion=SPEC_VERSION,
        id=f"{stream}/{seq}",
        source=f"/{stream}",
        type="unreadable",
        dataschema=dataschema("unreadable", 0),
        time=time,
        datacontenttype="application/octet-stream",
        seq=seq,
        actor="",
        commandid="",
        commanddigest="",
        prev="",
        data=msgspec.Raw(b"null"),
    )


def dataschema(wire_name: str, version: int) -> str:
    return f"{SCHEMA_PREFIX}{wire_name}:{version}"


def chain_start(stream: str) -> str:
    """`prev` of a stream's first event."""
    return hashlib.sha256(stream.encode()).hexdigest()


def chain_next(record: bytes) -> str:
    """`prev` of the event after the one with these bytes."""
    return hashlib.sha256(record).hexdigest()
