"""Tells people of what happened in their chats, by Web Push and mail."""

import hmac
import random
from collections import Counter
from collections.abc import Callable
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from gateway.commander import Commander
from gateway.email_addresses import parse_address
from gateway.email_links import EmailLinks
from gateway.push_endpoints import PushHosts
from projections.progress import Progress
from projections.store.port import ReadStore
from projections.vault import Vault
from projections.views.reading import Reading
from workers.core import Core, now
from workers.log.port import EventLog
from workers.metrics import Metrics
from workers.notifier.depths import Depths
from workers.notifier.digests import Digests
from workers.notifier.intake import Intake
from workers.notifier.letters import Letters
from workers.notifier.notifier import Notifier
from workers.notifier.pushes import Pushes
from workers.notifier.queue import Queue
from workers.notifier.rounds import Rounds
from workers.notifier.smtp import Smtp
from workers.notifier.verifications import Verifications
from workers.notifier.webpush import WebPush, public_key
from workers.secrets_file import Secrets
from workers.settings import Settings


class Manner(NamedTuple):
    """How people are told. Delays are in seconds; without `smtp` there are no mails."""

    content: bool
    push_delay: int
    mail_delay: int
    public_url: str
    sender: str
    smtp: Smtp | None
    web_push: WebPush
    links: EmailLinks


def email_links(settings: Settings, secrets: Secrets) -> EmailLinks:
    """The links of the mails that ask about an address."""
    return EmailLinks(_key(secrets), _public_url(settings))


def push_key(secrets: Secrets) -> str:
    """The public key that browsers subscribe with, in base64url."""
    return public_key(secrets.vapid_key)


def open_notifier(
    core: Core, settings: Settings, secrets: Secrets, counts: Counter[tuple[str, str]]
) -> Notifier:
    """The notifier by the settings. It counts, by channel and outcome, in `counts`."""
    public_url = _public_url(settings)
    sender = settings.mail_from or _sender(public_url)
    subject = settings.vapid_subject or f"mailto:{sender}"
    web_push = WebPush(secrets.vapid_key, subject, PushHosts(settings.push_hosts), now)
    manner = Manner(
        content=settings.notify_content,
        push_delay=settings.push_delay,
        mail_delay=settings.mail_delay,
        public_url=public_url,
        sender=sender,
        smtp=Smtp(settings.smtp_url) if settings.smtp_url is not None else None,
        web_push=web_push,
        links=email_links(settings, secrets),
    )
    return make_notifier(
        core.event_log,
        core.store,
        core.vault,
        core.progress,
        core.commander,
        manner,
        now,
        _key(secrets),
        counts=counts,
        metrics=core.metrics,
    )


def _key(secrets: Secrets) -> bytes:
    return hmac.digest(secrets.master_key, b"notifier", "sha256")


def _public_url(settings: Settings) -> str:
    return settings.public_url or f"http://{settings.host}:{settings.port}"


def _sender(public_url: str) -> str:
    host = urlsplit(public_url).hostname or ""
    try:
        ip_address(host)
    except ValueError:
        return f"hansard@{host}"
    return "hansard@localhost"


def make_notifier(
    event_log: EventLog,
    store: ReadStore,
    vault: Vault,
    progress: Progress,
    commander: Commander,
    manner: Manner,
    clock: Callable[[], str],
    key: bytes,
    *,
    counts: Counter[tuple[str, str]] | None = None,
    metrics: Metrics | None = None,
    jitter: Callable[[], float] = random.random,
) -> Notifier:
    """Put a notifier together.

    Args:
        clock: gives the present instant.
        key: a secret that all notifiers of this log share.
        counts: where it counts, by channel and outcome.
        metrics: what is measured of it.
        jitter: as `Queue` takes it.
    """
    counts = Counter() if counts is None else counts
    metrics = metrics or Metrics()

    def reading() -> Reading:
        return Reading(store, vault, clock())

    queue = Queue(store, clock, jitter)
    letters = Letters(parse_address(manner.sender), manner.links, manner.public_url, clock)
    digests = Digests(
        queue,
        reading,
        letters,
        manner.smtp,
        counts,
        delay=manner.mail_delay,
        content=manner.content,
    )
    address_key = hmac.digest(key, b"addresses", "sha256")
    verifications = Verifications(queue, reading, letters, manner.smtp, counts, address_key)
    return Notifier(
        event_log,
        queue,
        Intake(queue, progress, reading, digests, verifications, manner.push_delay),
        Rounds(queue, reading, digests),
        Pushes(
            queue,
            reading,
            commander,
            manner.web_push,
            counts,
            content=manner.content,
        ),
        digests,
        verifications,
        Depths(queue, metrics),
        manner.web_push,
        metrics,
    )
