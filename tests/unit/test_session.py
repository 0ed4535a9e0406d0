"""The WebSocket session without a socket: what goes in, what comes out, in which order."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.problems import Problem
from gateway.ws import frames, session
from gateway.ws.session import Expected, Session
from projections.realtime.port import Publication

CHAT = "chats/c"


def position(stream: str, seq: int) -> str:
    return f"{stream}@{seq}"


def taken(one: Session) -> list[dict[str, object]]:
    out, _ = one.take()
    return [msgspec.json.decode(frame) for frame in out]


def published(
    seq: int, *, command: str = "other", digest: str = "", stream: str = CHAT
) -> Publication:
    return Publication(
        channel=stream,
        kind="event",
        frame=msgspec.json.encode({"op": "event", "stream": stream, "seq": seq}),
        seq=seq,
        command=command,
        digest=digest,
        time="T",
        ordinal=seq,
    )


def show(one: Session, seq: int, **fields: str) -> None:
    publication = published(seq, **fields)
    one.event(publication, publication.frame)


def greeted(heads: dict[str, int] | None = None) -> Session:
    one = Session(position)
    assert isinstance(one.receive('{"op":"hello"}'), frames.Hello)
    welcome(one, {CHAT: 4} if heads is None else heads)
    one.take()
    return one


def welcome(one: Session, heads: dict[str, int], missed: tuple[bytes, ...] = ()) -> None:
    greeting = frames.Welcome(
        user="a", session="s", heartbeat_ms=1, expires_at="T", streams=heads, recovered=True
    )
    one.welcome(greeting, missed, heads)


def test_hello_comes_first() -> None:
    one = Session(position)
    assert one.receive('{"op":"ping"}') is None
    assert one.take()[1] == session.Close(session.BAD_FRAME, "say hello first")


@pytest.mark.parametrize("text", ["", "[]", "1", '"x"', "{", "nonsense", '{"op":"hello"'])
def test_what_is_no_json_object_closes(text: str) -> None:
    one = greeted()
    assert one.receive(text) is None
    closing = one.take()[1]
    assert closing is not None
    assert closing.code == session.BAD_FRAME


@pytest.mark.parametrize(
    "text",
    [
        '{"op":"send","id":"x","chat":"c","kind":"text","content":1}',
        '{"op":"send","id":"x","chat":"c","kind":"text","content":"a\\u0000b"}',
        '{"op":"send","id":"x","chat":"c","kind":"text","content":"a","other":1}',
        '{"op":"send","id":"x","kind":"text","content":"a"}',
        '{"op":"fly","id":"x"}',
        '{"op":"read","id":"x","chat":"c","up_to":0}',
        '{"id":"x"}',
    ],
)
def test_a_frame_wrong_in_its_fields_gets_an_error_with_its_id(text: str) -> None:
    one = greeted()
    assert one.receive(text) is None
    out, closing = one.take()
    assert closing is None
    [error] = [msgspec.json.decode(frame) for frame in out]
    assert error["op"] == "error"
    assert error["id"] == "x"
    assert error["code"] == "invalid_request"


def test_a_second_hello_is_an_error() -> None:
    one = greeted()
    assert one.receive('{"op":"hello"}') is None
    assert taken(one)[0]["code"] == "invalid_request"


def test_frames_have_their_sizes() -> None:
    one = Session(position)
    big = '{"op":"hello","token":"%s"}' % ("x" * 60_000)
    assert isinstance(one.receive(big), frames.Hello)
    welcome(one, {})
    assert one.receive(" " * (session.MAX_FRAME_BYTES + 1)) is None
    closing = one.take()[1]
    assert closing is not None
    assert closing.code == session.TOO_BIG


def test_ping_is_answered() -> None:
    one = greeted()
    assert one.receive('{"op":"ping"}') is None
    assert taken(one) == [{"op": "pong"}]


def test_missed_then_early_then_live() -> None:
    one = Session(position)
    one.receive('{"op":"hello","resume":{"chats/c":2}}')
    for seq in (4, 5, 6):
        show(one, seq)
    assert taken(one) == []
    welcome(one, {CHAT: 5}, tuple(published(seq).frame for seq in (3, 4, 5)))
    show(one, 7)
    assert [frame.get("seq") for frame in taken(one)] == [None, 3, 4, 5, 6, 7]


def test_a_hole_is_told() -> None:
    one = greeted({CHAT: 4})
    show(one, 7)
    reset, event = taken(one)
    assert reset == {"op": "reset", "stream": CHAT, "seq": 6}
    assert event["seq"] == 7


def test_streams_that_are_not_the_connections_are_not_shown() -> None:
    one = greeted({CHAT: 4})
    show(one, 1, stream="chats/other")
    assert taken(one) == []


def test_joining_resets_and_leaving_ends() -> None:
    one = greeted({})
    one.joined(CHAT, 8)
    show(one, 9)
    one.left(CHAT)
    show(one, 10)
    assert [(frame["op"], frame["seq"]) for frame in taken(one)] == [("reset", 8), ("event", 9)]


def test_joining_that_the_connection_is_past_is_no_news() -> None:
    one = greeted({CHAT: 4})
    one.joined(CHAT, 2)
    show(one, 5)
    assert [(frame["op"], frame["seq"]) for frame in taken(one)] == [("event", 5)]
    one.left(CHAT)
    one.joined(CHAT, 6)
    show(one, 7)
    assert [(f["op"], f["seq"]) for f in taken(one)] == [("reset", 6), ("event", 7)]


def test_joining_during_hello() -> None:
    one = Session(position)
    one.receive('{"op":"hello"}')
    one.joined(CHAT, 0)
    show(one, 1)
    show(one, 2)
    welcome(one, {})
    assert [(f["op"], f.get("seq")) for f in taken(one)][1:] == [
        ("reset", 0),
        ("event", 1),
        ("event", 2),
    ]


def test_joining_that_the_welcome_knows_already() -> None:
    one = Session(position)
    one.receive('{"op":"hello"}')
    one.joined(CHAT, 0)
    show(one, 1)
    show(one, 2)
    welcome(one, {CHAT: 1})
    assert [(f["op"], f.get("seq")) for f in taken(one)][1:] == [("event", 2)]


WRITE = Expected("command", "digest", "x", "c", CHAT, None)


def test_an_event_acknowledges_only_writes_that_asked_for_it() -> None:
    """The key of a write that stands was used for something else: its refusal is still to come."""
    one = greeted({CHAT: 4})
    reused = WRITE._replace(digest="another", id="y")
    one.expect(WRITE)
    one.expect(reused)
    show(one, 5, command="command", digest="digest")
    ack, _ = taken(one)
    assert (ack["op"], ack["id"]) == ("ack", "x")
    one.settled(WRITE, 5, "T", 5)
    assert taken(one) == []
    one.failed(reused, Problem("idempotency_key_reused", "Used before."))
    [error] = taken(one)
    assert (error["id"], error["code"]) == ("y", "idempotency_key_reused")


@pytest.mark.parametrize("reply_first", [True, False])
def test_the_acknowledgement_comes_before_its_event_once(reply_first: bool) -> None:
    one = greeted({CHAT: 4})
    one.expect(WRITE)
    if reply_first:
        one.settled(WRITE, 5, "T", 5)
    show(one, 5, command="command", digest="digest")
    one.settled(WRITE, 5, "T", 5)
    ack, event = taken(one)
    assert ack == {
        "op": "ack",
        "id": "x",
        "chat": "c",
        "seq": 5,
        "ordinal": 5,
        "time": "T",
        "position": "chats/c@5",
    }
    assert event["op"] == "event"


def test_what_is_scheduled_is_acknowledged_with_a_place_in_its_own_stream() -> None:
    one = greeted({CHAT: 4, "users/a": 2})
    one.expect(WRITE._replace(stream="users/a", schedule="s1"))
    show(one, 3, command="command", digest="digest", stream="users/a")
    ack, event = taken(one)
    assert (ack["op"], ack["chat"], ack["schedule"]) == ("ack", "c", "s1")
    assert (ack["seq"], ack["position"]) == (3, "users/a@3")
    assert event["op"] == "event"


def test_a_failed_write_is_an_error_with_its_id() -> None:
    one = greeted()
    one.expect(WRITE)
    one.failed(WRITE, Problem("unavailable", "Later.", headers={"Retry-After": "2"}))
    assert taken(one) == [
        {
            "op": "error",
            "id": "x",
            "code": "unavailable",
            "detail": "Later.",
            "retry_after_ms": 2000,
        }
    ]


def test_who_does_not_keep_up_is_closed_and_what_waits_is_dropped() -> None:
    one = greeted({CHAT: 0})
    for seq in range(1, session.MAX_QUEUED + 2):
        show(one, seq)
    out, closing = one.take()
    assert out == []
    assert closing is not None
    assert closing.code == session.TOO_SLOW
    show(one, session.MAX_QUEUED + 2)
    assert one.take() == ([], None)


def test_a_rejected_connection_says_why_first() -> None:
    one = Session(position)
    one.receive('{"op":"hello"}')
    one.reject(Problem("suspended", "This account is suspended."))
    out, closing = one.take()
    assert msgspec.json.decode(out[0])["code"] == "suspended"
    assert closing == session.Close(session.UNAUTHENTICATED, "suspended")


@given(st.text())
def test_any_text_is_answered_or_closes(text: str) -> None:
    one = greeted()
    request = one.receive(text)
    out, closing = one.take()
    assert request is not None or out or closing is not None


@given(st.lists(st.integers(1, 12)), st.integers(0, 12), st.integers(0, 12))
def test_whatever_arrives_the_client_can_tell_holes(seqs: list[int], head: int, split: int) -> None:
    """Events never repeat and never go back, and each is the one after what was said before it."""
    one = Session(position)
    one.receive('{"op":"hello"}')
    for seq in seqs[:split]:
        show(one, seq)
    welcome(one, {CHAT: head})
    for seq in seqs[split:]:
        show(one, seq)
    reached = head
    for frame in taken(one)[1:]:
        if frame["op"] == "reset":
            assert int(str(frame["seq"])) > reached
            reached = int(str(frame["seq"]))
        else:
            assert frame["seq"] == reached + 1
            reached += 1
