from collections.abc import Mapping
from ipaddress import ip_network

import pytest
from prometheus_client import CollectorRegistry

from gateway.limits import (
    UNLIMITED,
    Kind,
    Limiter,
    WindowCounters,
    client_address,
    open_limit_storage,
    parse_rate,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.25

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def limiter(clock: Clock, rates: Mapping[Kind, str], max_windows: int = 100) -> Limiter:
    return Limiter(rates, WindowCounters(clock=clock, max_windows=max_windows), clock=clock)


async def test_the_limit_is_reached_and_the_window_ends(clock: Clock) -> None:
    limits = limiter(clock, {"writes": "3/minute"})
    seen = [await limits.hit("writes", "ann") for _ in range(4)]
    assert [verdict.remaining for verdict in seen] == [2, 1, 0, 0]
    assert [verdict.allowed for verdict in seen] == [True, True, True, False]
    assert seen[2].retry_after == 0

    clock.now += 59.5
    refused = await limits.hit("writes", "ann")
    assert not refused.allowed
    assert refused.retry_after == refused.reset_seconds == 1

    clock.now += refused.retry_after
    assert (await limits.hit("writes", "ann")).allowed


async def test_what_is_refused_is_counted(clock: Clock) -> None:
    registry = CollectorRegistry()
    counters = WindowCounters(clock=clock)
    limits = Limiter({"writes": "1/second"}, counters, clock=clock, registry=registry)
    for _ in range(3):
        await limits.hit("writes", "ann")
    assert registry.get_sample_value("hansard_rate_limited_total", {"kind": "writes"}) == 2


async def test_users_and_kinds_are_counted_apart(clock: Clock) -> None:
    limits = limiter(clock, {"writes": "1/second", "reads": "1/second"})
    assert (await limits.hit("writes", "ann")).allowed
    assert (await limits.hit("writes", "bob")).allowed
    assert (await limits.hit("reads", "ann")).allowed
    assert not (await limits.hit("writes", "ann")).allowed


async def test_a_cost_uses_up_as_much(clock: Clock) -> None:
    limits = limiter(clock, {"writes": "20/second"})
    assert (await limits.hit("writes", "ann", 11)).remaining == 9
    assert not (await limits.hit("writes", "ann", 11)).allowed


async def test_a_cost_above_the_limit_is_possible_in_a_fresh_window(clock: Clock) -> None:
    limits = limiter(clock, {"writes": "5/second"})
    assert (await limits.hit("writes", "ann", 11)).allowed
    assert not (await limits.hit("writes", "ann")).allowed


async def test_off_allows_everything_and_says_nothing(clock: Clock) -> None:
    limits = limiter(clock, {"writes": "off"})
    assert [await limits.hit("writes", "ann") for _ in range(50)] == [UNLIMITED] * 50
    assert limits.headers("writes", UNLIMITED) == {}


async def test_headers(clock: Clock) -> None:
    limits = limiter(clock, {"uploads": "1/minute"})
    allowed = await limits.hit("uploads", "ann")
    assert limits.headers("uploads", allowed) == {
        "RateLimit-Policy": '"uploads";q=1;w=60',
        "RateLimit": '"uploads";r=0;t=60',
    }
    clock.now += 20
    refused = await limits.hit("uploads", "ann")
    assert limits.headers("uploads", refused) == {
        "RateLimit-Policy": '"uploads";q=1;w=60',
        "RateLimit": '"uploads";r=0;t=40',
        "Retry-After": "40",
    }


async def test_a_clock_set_back_locks_nobody_out(clock: Clock) -> None:
    limits = limiter(clock, {"writes": "1/second"})
    await limits.hit("writes", "ann")
    clock.now -= 3600
    assert (await limits.hit("writes", "ann")).allowed


async def test_ended_windows_are_forgotten(clock: Clock) -> None:
    counters = WindowCounters(clock=clock)
    for user in range(50):
        await counters.incr(f"ann{user}", 1)
    clock.now += 2
    for user in range(25):
        await counters.incr(f"bob{user}", 1)
    assert await counters.reset() == 25


async def test_a_window_begun_anew_outlives_the_end_of_its_earlier_one(clock: Clock) -> None:
    counters = WindowCounters(clock=clock)
    await counters.incr("ann", 10)
    await counters.clear("ann")
    clock.now += 5
    await counters.incr("ann", 10)
    clock.now += 6
    await counters.incr("bob", 10)
    assert await counters.get("ann") == 1


async def test_the_number_of_windows_is_bounded(clock: Clock) -> None:
    counters = WindowCounters(clock=clock, max_windows=10)
    await counters.incr("long", 3600)
    for user in range(100):
        assert await counters.incr(f"ann{user}", 1) == 1
    assert await counters.incr("ann99", 1) == 2
    assert await counters.incr("long", 3600) == 2
    assert await counters.reset() <= 10


async def test_counters_answer_as_the_library_expects(clock: Clock) -> None:
    counters = WindowCounters(clock=clock)
    assert await counters.check()
    assert await counters.get("ann") == 0
    assert await counters.get_expiry("ann") == clock.now
    await counters.incr("ann", 5, 3)
    assert await counters.get("ann") == 3
    assert await counters.get_expiry("ann") == clock.now + 5
    await counters.clear("ann")
    assert await counters.get("ann") == 0


def test_memory_is_this_process() -> None:
    assert isinstance(open_limit_storage("memory://"), WindowCounters)


@pytest.mark.parametrize("text", ["", "20", "20/fortnight", "0/second", "1/second;5/minute", "Off"])
def test_a_wrong_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.9", None, "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "1.1.1.1, nonsense, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", " , ", "10.0.0.1"),
        ("::ffff:10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
        ("2001:db8::1", "2001:db8:1::7", "2001:db8:1::7"),
        ("unix", "198.51.100.1", "unix"),
    ],
)
def test_the_client_address_is_read_from_right_to_left(
    peer: str, forwarded: str | None, expected: str
) -> None:
    trusted = [ip_network("10.0.0.0/8"), ip_network("2001:db8::/48")]
    assert client_address(peer, forwarded, trusted) == expected


def test_no_proxy_is_trusted_by_default() -> None:
    assert client_address("127.0.0.1", "198.51.100.1", []) == "127.0.0.1"
