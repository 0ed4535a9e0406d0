"""What an action is found by: request ids and traces."""

from uuid import UUID

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from gateway.tracing import begin, trace_id, traceparent_of
from gateway.trail import request_id

TRACE, SPAN = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7
GIVEN = f"00-{TRACE:032x}-{SPAN:016x}-00"

tracer = trace.get_tracer("tests")


@pytest.mark.parametrize("asked", ["a", "Ab-9._", "x" * 64, str(UUID(int=7))])
def test_a_sane_request_id_is_taken(asked: str) -> None:
    assert request_id(asked) == asked


@pytest.mark.parametrize("asked", [None, "", "x" * 65, "a b", "a\n", "a/b", "a@b", "ä"])
def test_any_other_is_replaced(asked: str | None) -> None:
    assert UUID(request_id(asked)).version == 4


def test_a_caller_s_trace_goes_on_though_no_spans_are_sent() -> None:
    span = begin(tracer, "x", GIVEN)
    assert traceparent_of(span, GIVEN) == GIVEN
    assert trace_id(GIVEN) == f"{TRACE:032x}"


def test_without_one_there_is_none() -> None:
    assert traceparent_of(begin(tracer, "x", None)) is None


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "nonsense",
        GIVEN.replace("00-", "ff-", 1),
        GIVEN + "-00",
        f"00-{'0' * 32}-{SPAN:016x}-01",
    ],
)
def test_what_is_no_traceparent_is_not_carried(wrong: str) -> None:
    assert traceparent_of(begin(tracer, "x", wrong), wrong) is None


@pytest.mark.parametrize(
    ("sampled", "given", "carried"),
    [
        (True, None, True),
        (True, GIVEN, True),
        (False, None, False),
        (False, GIVEN, True),
        (False, "of another trace, or of none", False),
    ],
)
def test_a_trace_that_nobody_sees_is_not_carried(
    sampled: bool, given: str | None, carried: bool
) -> None:
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    span = NonRecordingSpan(SpanContext(TRACE, SPAN, is_remote=False, trace_flags=flags))
    assert (traceparent_of(span, given) is not None) == carried
