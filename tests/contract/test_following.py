"""What is measured of those who follow the log."""

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from domain.envelope import Envelope, unreadable
from domain.instants import from_millis
from workers.following import HISTORY, Follower
from workers.log.port import LogBatch, LogError
from workers.metrics import Metrics

NOW = 1_700_000_000_000


class Watched:
    """A follower of `chats-0`, and its measurements."""

    def __init__(self) -> None:
        self.now = NOW
        self.registry = CollectorRegistry()
        self.follower = Follower("fanout", "published", Metrics(self.registry), lambda: self.now)
        self.follower.share(["chats-0", "outcomes-0"])

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"hansard_{name}", {"work": "fanout", **labels})

    def lag(self) -> float | None:
        return self.value("reader_lag_seconds", kind="chats")


def batch(*times: str) -> LogBatch:
    events = [unreadable("chats/a", time, seq) for seq, time in enumerate(times, 1)]
    return LogBatch("chats-0", len(events), events)


def ago(seconds: float) -> str:
    return from_millis(NOW - int(seconds * 1000))


def test_lag_is_the_age_of_what_is_not_done_with() -> None:
    watched = Watched()
    assert watched.lag() == 0
    with watched.follower.batch(batch(ago(3), ago(1))):
        assert watched.lag() == 3
    assert watched.lag() == 0
    assert watched.value("reader_age_seconds_sum", kind="chats") == 3
    assert watched.value("reader_batch_events_sum") == 2
    assert watched.value("partitions_held") == 2


def test_lag_grows_while_it_fails() -> None:
    watched = Watched()
    for seconds in (0, 5):
        watched.now = NOW + seconds * 1000
        with pytest.raises(LogError), watched.follower.batch(batch(ago(1))):
            raise LogError
        assert watched.lag() == 1 + seconds
    assert watched.value("reader_batch_events_count") == 0
    # The partition has gone to another process.
    watched.follower.share([])
    assert watched.lag() == 0


@pytest.mark.parametrize("time", [ago(HISTORY + 1), "", "nonsense", "9999-99-99T00:00:00.000Z"])
def test_what_is_history_or_no_time_at_all_is_no_lag(time: str) -> None:
    watched = Watched()
    with watched.follower.batch(batch(time)) as events:
        assert watched.lag() == 0
        assert len(events) == 1
    assert watched.value("reader_batch_events_sum") == 1
    assert watched.value("reader_age_seconds_sum", kind="chats") is None


def test_a_trace_that_goes_on_is_still_named() -> None:
    watched = Watched()
    traced = f"00-{'a' * 32}-{'b' * 16}-01"
    plain, other = batch(ago(1), ago(1)).events
    found: list[Envelope] = [plain, msgspec.structs.replace(other, traceparent=traced)]
    with watched.follower.batch(LogBatch("chats-0", 2, found)) as events:
        assert [event.traceparent for event in events] == [None, traced]
        assert [event.seq for event in events] == [1, 2]
