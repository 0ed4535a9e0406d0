"""What the gateway works with; put together once, where the process starts."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from prometheus_client import CollectorRegistry

from gateway.auth import Authenticator
from gateway.commander import Commander
from gateway.contacts import Contacts
from gateway.cursor import CursorCodec
from gateway.email_links import EmailLinks
from gateway.limits import Limiter
from gateway.media.links import LinkCodec
from gateway.media.uploads import Uploads
from gateway.position import PositionCodec
from gateway.push_endpoints import PushHosts
from gateway.ws.attendance import Attendance
from gateway.ws.hub import Hub
from projections.audit.record import Record
from projections.objects import Objects
from projections.progress import Progress
from projections.store.port import ReadStore
from projections.vault import Vault


@dataclass(frozen=True)
class Policy:
    """The settings that the gateway goes by. `dev_secret` is the token secret while the server made
    it itself and listens on loopback only, `push_key` what browsers subscribe with."""

    directory: Literal["all", "shared", "off"] = "all"
    trusted_proxies: Sequence[IPv4Network | IPv6Network] = ()
    cors_origins: Sequence[str] = ()
    allow_address_ids: bool = False
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    dev_secret: str | None = None
    push_hosts: PushHosts = field(default_factory=PushHosts)
    push_key: str = ""


@dataclass(frozen=True)
class Health:
    """How the process is; each function answers at once. Ages are in seconds. `waiting` commands
    have no reply, the `oldest` for so long; `told` counts what became of notifications, by channel
    and outcome, and `dropped` log lines. In `registry` is what its parts measure."""

    stale: Callable[[], Sequence[str]]
    behind: Callable[[], int]
    lag: Callable[[], float]
    waiting: Callable[[], int]
    problems: Callable[[], Sequence[str]] = field(default=lambda: ())
    connections: Callable[[], int] = field(default=lambda: 0)
    told: Callable[[], Mapping[tuple[str, str], int]] = field(default=lambda: {})
    oldest: Callable[[], float] = field(default=lambda: 0.0)
    dropped: Callable[[], int] = field(default=lambda: 0)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)


@dataclass(frozen=True)
class Services:
    """`settle` returns once the read models hold all that the log held when it was called."""

    store: ReadStore
    vault: Vault
    progress: Progress
    commander: Commander
    authenticator: Authenticator
    limiter: Limiter
    positions: PositionCodec
    cursors: CursorCodec
    links: LinkCodec
    objects: Objects
    uploads: Uploads
    contacts: Contacts
    hub: Hub
    attendance: Attendance
    settle: Callable[[], Awaitable[None]]
    health: Health
    email_links: EmailLinks
    policy: Policy
    clock: Callable[[], str]
    record: Record

    @cached_property
    def audit_turn(self) -> asyncio.Semaphore:
        return asyncio.Semaphore(1)
