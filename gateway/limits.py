"""Rate limits: fixed windows that begin with the first request, counted where all gateways see it.

A fixed window needs one counter per key, whatever the limit, and one step to count; its remaining
quota and its end are exact, so `Retry-After` is a promise. Its price is that a client may use up
two windows in a row around an end, which does no harm at limits that protect and don't bill.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal

import msgspec
from limits import RateLimitItem, parse_many
from limits.aio.storage import Storage
from prometheus_client import CollectorRegistry, Counter

from gateway.shared_counters import SharedCounters

Kind = Literal["writes", "reads", "uploads", "connects", "unauthenticated"]

_MAX_WINDOWS = 100_000


class Verdict(msgspec.Struct, frozen=True):
    """What became of one request under its limit; all times are whole seconds, rounded up.

    `retry_after` is 0 for a request that is allowed.
    """

    allowed: bool
    limit: int
    remaining: int
    reset_seconds: int
    retry_after: int


UNLIMITED = Verdict(allowed=True, limit=0, remaining=0, reset_seconds=0, retry_after=0)


def parse_rate(text: str) -> RateLimitItem | None:
    """One limit in the notation of `limits`, such as `20/second`; None for `off`.

    Raises:
        ValueError: the text is neither, or allows nothing.
    """
    if text == "off":
        return None
    items = parse_many(text)
    if len(items) != 1 or items[0].amount < 1:
        raise ValueError("not one limit")
    return items[0]


class Limiter:
    """Counts requests by kind and key (a user id, or an address)."""

    def __init__(
        self,
        rates: Mapping[Kind, str],
        storage: Storage,
        *,
        clock: Callable[[], float] = time.time,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._refused = Counter(
            "hansard_rate_limited",
            "Requests and frames refused by a rate limit.",
            ("kind",),
            registry=registry,
        )
        self._rates = {
            kind: (rate.amount, rate.get_expiry())
            for kind, text in rates.items()
            if (rate := parse_rate(text)) is not None
        }
        self._storage = storage
        self._clock = clock

    async def hit(self, kind: Kind, key: str, cost: int = 1) -> Verdict:
        """Counts a request and says whether it may go on.

        A cost above the whole limit counts as all of it: it must be possible at some time.
        """
        rate = self._rates.get(kind)
        if rate is None:
            return UNLIMITED
        limit, window = rate
        counter = f"{kind}/{key}"
        cost = min(cost, limit)
        used = await self._storage.incr(counter, window, cost)
        ends_in: float = window
        if used > cost:
            # Someone else has begun the window.
            ends_in = await self._storage.get_expiry(counter) - self._clock()
        reset = min(max(math.ceil(ends_in), 1), window)
        allowed = used <= limit
        if not allowed:
            self._refused.labels(kind).inc()
        return Verdict(
            allowed=allowed,
            limit=limit,
            remaining=max(limit - used, 0),
            reset_seconds=reset,
            retry_after=0 if allowed else reset,
        )

    def headers(self, kind: Kind, verdict: Verdict) -> dict[str, str]:
        """`RateLimit-Policy`, `RateLimit` and, for a refusal, `Retry-After`; none where it is off.

        Source: draft-ietf-httpapi-ratelimit-headers-10.
        """
        rate = self._rates.get(kind)
        if rate is None:
            return {}
        limit, window = rate
        fields = {
            "RateLimit-Policy": f'"{kind}";q={limit};w={window}',
            "RateLimit": f'"{kind}";r={verdict.remaining};t={verdict.reset_seconds}',
        }
        if not verdict.allowed:
            fields["Retry-After"] = str(verdict.retry_after)
        return fields


class _Window(msgspec.Struct):
    used: int
    ends_at: float


class WindowCounters(Storage):
    """Counters in this process, at most 100,000 of them.

    The library's own walks all its keys in the background of every hit (0.8 ms a hit at 10,000
    keys); here a hit looks at two old windows at most. When the counters are too many, the window
    that ends first is forgotten.
    """

    STORAGE_SCHEME = None

    def __init__(
        self, *, clock: Callable[[], float] = time.time, max_windows: int = _MAX_WINDOWS
    ) -> None:
        super().__init__()
        self._clock = clock
        self._max_windows = max_windows
        self._windows: dict[str, _Window] = {}
        self._ends: list[tuple[float, str]] = []

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        now = self._clock()
        window = self._windows.get(key)
        # A clock that was set back must not keep anyone waiting longer than one window.
        if window is None or not now < window.ends_at <= now + expiry:
            self._forget(now)
            window = self._windows[key] = _Window(0, now + expiry)
            heappush(self._ends, (window.ends_at, key))
        window.used += amount
        return window.used

    async def get(self, key: str) -> int:
        window = self._windows.get(key)
        return window.used if window is not None and window.ends_at > self._clock() else 0

    async def get_expiry(self, key: str) -> float:
        window = self._windows.get(key)
        return self._clock() if window is None else window.ends_at

    async def check(self) -> bool:
        return True

    async def reset(self) -> int:
        count = len(self._windows)
        self._windows.clear()
        self._ends.clear()
        return count

    async def clear(self, key: str) -> None:
        self._windows.pop(key, None)

    async def aclose(self) -> None:
        pass

    def _forget(self, now: float) -> None:
        """Makes room: drops up to two windows that have ended, or else the next to end."""
        for _ in range(2):
            full = len(self._ends) >= self._max_windows
            if not self._ends or (self._ends[0][0] > now and not full):
                return
            ends_at, key = heappop(self._ends)
            window = self._windows.get(key)
            # A key whose window began anew still has the end of its earlier one here.
            if window is not None and window.ends_at == ends_at:
                del self._windows[key]


def open_limit_storage(url: str) -> WindowCounters | SharedCounters:
    """The counters that go with a realtime of this URL, `memory://` or `redis://…`.

    Raises:
        ValueError: the URL is wrong.
    """
    counters = WindowCounters()
    return counters if url == "memory://" else SharedCounters(url, counters)


def client_address(
    peer: str,
    x_forwarded_for: str | None,
    trusted_proxies: Sequence[IPv4Network | IPv6Network],
) -> str:
    """The address of the client, as far as it can be believed.

    `X-Forwarded-For` is read from right to left, each entry only if a trusted proxy wrote it.
    """
    if not x_forwarded_for or not trusted_proxies:
        return peer
    believed = peer
    for hop in reversed(x_forwarded_for.split(",")):
        if not is_within(believed, trusted_proxies):
            break
        address = _address(hop)
        if address is None:
            break
        believed = str(address)
    return believed


def is_within(text: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Whether a text is an address of one of these networks."""
    address = _address(text)
    return address is not None and any(address in network for network in networks)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """An address, one written as IPv4-mapped IPv6 as the IPv4 address it is."""
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
