"""The streams of people with special rights: what they did, as far as they had the right to."""

import pytest

from domain import commands as c
from tests.unit.domain.streams import Stream

READ = c.NoteReading(what="timeline", of="chats/x", as_of="2024-01-01T00:00:00.000Z")
REMOVAL = c.NoteRemoval(chat="x", message=7)
ORDER = c.OrderSuspension(user="ann")
LIFT = c.LiftSuspension(user="ann")
IMPORT = c.NoteImport(source="old.ndjson", lines={"user": 3})

WRITES = [
    (READ, "auditor", "record.read"),
    (READ, "moderator", "record.read"),
    (REMOVAL, "moderator", "message.removed"),
    (ORDER, "moderator", "suspension.ordered"),
    (LIFT, "moderator", "suspension.lifted"),
    (IMPORT, "operator", "data.imported"),
]


@pytest.mark.parametrize(("action", "rights", "type"), WRITES, ids=repr)
def test_what_is_kept(action: c.Action, rights: c.Rights, type: str) -> None:
    [(written, _)] = Stream("operators/olga").writes(action, "olga", rights)
    assert written == type
    assert Stream("operators/olga").refuses(action, "olga") == "not_allowed"
    assert Stream("operators/olga").refuses(action, "eve", rights) == "not_allowed"


def test_a_reading_is_kept_whole() -> None:
    assert Stream("operators/olga").writes(READ, "olga", "auditor") == [
        (
            "record.read",
            {"what": "timeline", "of": "chats/x", "as_of": "2024-01-01T00:00:00.000Z"},
        )
    ]


@pytest.mark.parametrize("action", [REMOVAL, ORDER, LIFT, IMPORT], ids=repr)
def test_an_auditor_only_reads(action: c.Action) -> None:
    assert Stream("operators/olga").refuses(action, "olga", "auditor") == "not_allowed"


def test_what_belongs_to_another_stream_is_refused() -> None:
    send = c.SendMessage(kind="text", content="")
    assert Stream("operators/olga").refuses(send, "olga", "operator") == "invalid_request"
