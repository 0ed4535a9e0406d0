"""What every command goes through, whatever it asks: places, times, the chain, receipts."""

import hashlib
import json
from typing import Any

import pytest

from domain import chat, decider, operator
from domain import commands as c
from domain.decider import MAX_RECORD_BYTES, Verdict
from domain.envelope import Basis, decode
from domain.refusals import TOO_LATE, Refusal, invalid
from domain.state import HEAD, Head
from tests.unit.domain.streams import Stream, at
from tests.unit.domain.test_account import registered
from tests.unit.domain.test_chat import group

HELLO = c.SendMessage(kind="text", content="hello")


def envelopes(stream: Stream) -> list[dict[str, Any]]:
    return [json.loads(record.value) for record in stream.records]


def busy() -> Stream:
    """A chat with some of everything, in commands of one event and of several."""
    stream = group()
    stream.do(HELLO, "ann", basis=(Basis("users/bob", 4),))
    stream.do(c.AddMembers(users=("dan", "eve", "fay")), "ann")
    stream.do(HELLO, "eve")
    stream.do(c.React(message=2, emoji="👍"), "dan")
    stream.do(c.RemoveMember(user="ann"), "ann")
    stream.do(c.DeleteMessage(message=2), "bob")
    return stream


# The record


def test_seq_has_no_gaps_and_names_the_event() -> None:
    for place, envelope in enumerate(envelopes(busy()), 1):
        assert envelope["seq"] == place
        assert envelope["id"] == f"chats/g/{place}"
        assert envelope["source"] == "/chats/g"
        assert envelope["dataschema"] == f"urn:hansard:event:{envelope['type']}:1"


def test_a_record_is_its_envelope_and_the_bytes_of_it() -> None:
    for record in busy().records:
        assert decode(record.value) == record.envelope
        assert record.envelope.stream == "chats/g"


def test_each_envelope_carries_the_hash_of_the_bytes_before_it() -> None:
    before = b"chats/g"
    for record in busy().records:
        assert json.loads(record.value)["prev"] == hashlib.sha256(before).hexdigest()
        before = record.value


def test_every_event_of_a_command_says_what_the_command_was() -> None:
    stream = group()
    command = c.Command(
        id="c",
        digest="d",
        stream="chats/g",
        actor="ann",
        time=at(9),
        action=c.AddMembers(users=("dan", "eve")),
        basis=(Basis("users/dan", 3), Basis("users/eve", 5)),
        causationid="cause",
        correlationid="all",
        traceparent="00-ab-cd-01",
    )
    verdict = stream.handle(command)
    assert (verdict.outcome.first, verdict.outcome.seq) == (2, 3)
    bases = [envelope["basis"] for envelope in envelopes(stream)[1:]]
    # Each event keeps what was seen for it, not what was seen for all.
    assert bases == [[{"stream": "users/dan", "seq": 3}], [{"stream": "users/eve", "seq": 5}]]
    for envelope in envelopes(stream)[1:]:
        assert envelope["actor"] == "ann"
        assert (envelope["commandid"], envelope["commanddigest"]) == ("c", "d")
        assert envelope["causationid"] == "cause"
        assert envelope["correlationid"] == "all"
        assert envelope["traceparent"] == "00-ab-cd-01"


def test_the_head_is_where_the_stream_ends() -> None:
    stream = busy()
    last = stream.records[-1]
    assert stream.state[HEAD] == Head(
        len(stream.records),
        json.loads(last.value)["time"],
        hashlib.sha256(last.value).hexdigest(),
        2,
    )


# Time


def test_time_never_goes_back_within_a_stream() -> None:
    stream = group()
    for time in (at(100), at(50), at(99.999), at(100), at(101), at(7)):
        stream.writes(HELLO, "ann", time=time)
    times = [envelope["time"] for envelope in envelopes(stream)]
    assert times[1:] == [at(100)] * 4 + [at(101)] * 2
    assert times == sorted(times)


def test_an_imported_line_that_was_earlier_keeps_its_own_time() -> None:
    stream = group()
    stream.writes(HELLO, "ann", "operator", time=at(100))
    stream.writes(HELLO, "ann", "operator", time=at(50))
    stream.writes(HELLO, "ann", "operator", time=at(100))
    stream.writes(HELLO, "ann", time=at(50))
    assert [envelope.get("originaltime") for envelope in envelopes(stream)[1:]] == [
        None,
        at(50),
        None,
        None,
    ]


@pytest.mark.parametrize("action", [c.ChangeChat(), c.ChangeChat(name="x")], ids=["same", "new"])
def test_no_outcome_is_older_than_the_stream(action: c.Action) -> None:
    stream = group()
    stream.writes(HELLO, "ann", time=at(100))
    assert stream.do(action, "ann", time=at(50)).outcome.time == at(100)


# Receipts


ACTIONS: list[tuple[str, c.Action]] = [
    ("accepted", HELLO),
    ("unchanged", c.ChangeChat()),
    ("refused", c.EditMessage(message=99, content="x")),
]


@pytest.mark.parametrize(("status", "action"), ACTIONS)
def test_the_same_command_again_gives_its_first_outcome_and_writes_nothing(
    status: str, action: c.Action
) -> None:
    stream = group()
    first = stream.do(action, "ann", id="c", digest="d")
    assert (first.outcome.status, first.kept, first.replayed) == (status, True, False)
    stream.do(c.RemoveMember(user="ann"), "ann")
    again = stream.do(action, "ann", id="c", digest="d")
    assert again == Verdict(first.outcome, kept=False, replayed=True)


@pytest.mark.parametrize(("status", "action"), ACTIONS)
def test_the_same_id_for_something_else_is_refused_and_not_remembered(
    status: str, action: c.Action
) -> None:
    stream = group()
    first = stream.do(action, "ann", id="c", digest="d").outcome
    other = stream.do(HELLO, "ann", id="c", digest="other")
    assert (other.outcome.status, other.outcome.code) == ("refused", "idempotency_key_reused")
    assert (other.records, other.kept, other.replayed) == ((), False, False)
    assert stream.do(action, "ann", id="c", digest="d").outcome == first
    assert first.status == status


def test_a_receipt_says_what_came_of_the_command() -> None:
    stream = group()
    accepted = stream.do(HELLO, "ann", id="c", digest="d", time=at(60)).outcome
    assert accepted == c.Outcome(
        command="c",
        digest="d",
        stream="chats/g",
        status="accepted",
        time=at(60),
        seq=2,
        first=2,
        ordinal=1,
    )
    edit = c.EditMessage(message=2, content="", blank=True)
    refused = stream.do(edit, "ann", id="e", digest="f", time=at(61)).outcome
    assert refused == c.Outcome(
        command="e",
        digest="f",
        stream="chats/g",
        status="refused",
        time=at(61),
        seq=2,
        code="invalid_request",
        detail=refused.detail,
        field="content",
    )


def test_marks_need_no_receipt() -> None:
    user = registered()
    for up_to in (3, 3, 2):
        assert not user.do(c.MarkRead(chat="g", up_to=up_to), "ann").kept
        assert not user.do(c.MarkDelivered(chat="g", up_to=up_to), "ann").kept
    nobody = Stream("users/bob")
    assert not nobody.do(c.MarkRead(chat="g", up_to=3), "bob").kept


def test_a_command_can_be_turned_down_before_it_is_decided() -> None:
    command = group().command(HELLO, "ann", time=at(5))
    head = Head(7, at(9), "hash")
    verdict = decider.refuse(head, command, TOO_LATE, kept=False)
    assert (verdict.outcome.code, verdict.outcome.seq, verdict.kept) == ("too_late", 7, False)
    assert verdict.outcome.time == at(9)
    assert decider.refuse(None, command, TOO_LATE).outcome.seq == 0
    assert decider.refuse(None, command, invalid("field", "Wrong.")).outcome.field == "field"


# Poison


def boom(*_: object) -> Refusal:
    raise RuntimeError("a bug")


def refused_alone(stream: Stream, poison: c.Command) -> None:
    """The poisoned command fails with a receipt; the stream goes on as if it had not been."""
    before, records = dict(stream.state), len(stream.records)
    verdict = stream.handle(poison)
    assert (verdict.outcome.status, verdict.outcome.code) == ("refused", "internal_error")
    assert verdict.outcome.seq == records
    assert (verdict.records, dict(verdict.changes), verdict.kept) == ((), {}, True)
    assert (stream.state, len(stream.records)) == (before, records)


@pytest.mark.parametrize("function", ["decide", "evolve"])
def test_a_bug_refuses_the_one_command_that_meets_it(
    function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = group()
    with monkeypatch.context() as patch:
        patch.setattr(chat, function, boom)
        refused_alone(stream, stream.command(HELLO, "ann"))
    stream.writes(HELLO, "ann")


def test_a_command_that_cannot_be_written_as_json_is_refused_alone() -> None:
    stream = group()
    lone_surrogate = c.SendMessage(kind="text", content="\ud800")
    refused_alone(stream, stream.command(lone_surrogate, "ann"))
    stream.writes(HELLO, "ann")


def test_a_record_over_the_limit_is_refused_alone() -> None:
    stream = group()
    long = c.SendMessage(kind="text", content="x" * MAX_RECORD_BYTES)
    refused_alone(stream, stream.command(long, "ann"))
    stream.writes(HELLO, "ann")


def test_a_record_may_be_as_long_as_the_limit() -> None:
    stream, other = group(), group()
    stream.writes(c.SendMessage(kind="text", content=""), "ann")
    room = MAX_RECORD_BYTES - len(stream.records[-1].value)
    fitting = c.SendMessage(kind="text", content="x" * room)
    other.writes(fitting, "ann")
    assert len(other.records[-1].value) == MAX_RECORD_BYTES
    over = c.SendMessage(kind="text", content="x" * (room + 1))
    assert group().refuses(over, "ann") == "internal_error"


def test_nothing_of_a_command_is_written_when_a_later_event_of_it_is_over_the_limit() -> None:
    stream = group()
    users = ("dan", "x" * MAX_RECORD_BYTES)
    refused_alone(stream, stream.command(c.AddMembers(users=users), "ann"))
    stream.writes(HELLO, "ann")


# Operators' streams


def test_an_operators_stream_keeps_the_record_of_an_import() -> None:
    stream = Stream("operators/olga")
    note = c.NoteImport(source="old.ndjson", lines={"message": 3})
    assert stream.writes(note, "olga", "operator") == [
        ("data.imported", {"source": "old.ndjson", "lines": {"message": 3}})
    ]
    assert json.loads(stream.records[0].value)["prev"] == (
        hashlib.sha256(b"operators/olga").hexdigest()
    )
    stream.writes(note, "olga", "operator")


def test_only_an_operator_writes_to_an_operators_stream() -> None:
    stream = Stream("operators/olga")
    note = c.NoteImport(source="old.ndjson", lines={})
    for rights in ("client", "moderator", "system"):
        assert stream.refuses(note, "olga", rights) == "not_allowed"
    assert stream.refuses(HELLO, "olga", "operator") == "invalid_request"
    assert isinstance(operator.decide(stream.command(HELLO, "olga", "operator")), Refusal)
