"""The mails, in plain text and as simple HTML.

Whatever comes from users is escaped, and no header but the address to write to holds any of it.
"""

import hashlib
from collections.abc import Callable, Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from html import escape

from domain import instants
from gateway.email_addresses import parse_address
from gateway.email_links import EmailLinks
from projections.notifications import Notification
from projections.outbox import Digest, Verification
from workers.notifier.wording import DEFAULT, Line, counted


class Letters:
    def __init__(
        self, sender: Address, links: EmailLinks, public_url: str, clock: Callable[[], str]
    ) -> None:
        self._sender = sender
        self._links = links
        self._public_url = public_url
        self._clock = clock

    def digest(
        self, digest: Digest, address: str, rows: Sequence[Notification], said: Sequence[Line]
    ) -> EmailMessage:
        """What is unread; `said` has a line for the first of the rows.

        Raises:
            ValueError: nothing can be sent to this address.
        """
        count = counted([row.kind for row in rows])
        text = [f"Waiting for you: {DEFAULT}." if len(rows) == 1 else "Waiting for you.", count]
        text += [f"{line.title}: {line.text}" for line in said if line.title is not None]
        if len(rows) > len(said):
            text.append(f"… and {len(rows) - len(said)} more.")
        subject = DEFAULT if len(rows) == 1 else f"{len(rows)} unread notifications"
        # The same mail once more has the same id, by which servers and readers know it.
        id = _id("digest", digest.user, digest.sent_at, digest.covered)
        return self._letter(address, id, subject, text, self._public_url)

    def verification(self, one: Verification, address: str) -> EmailMessage:
        """A question whether the address is the user's.

        Raises:
            ValueError: nothing can be sent to this address.
        """
        text = [
            "Somebody has given this address as theirs. If it was you, please follow this link.",
            "If it was not you, there is nothing to do.",
        ]
        link = self._links.link(one.user, address, self._clock())
        id = _id("verification", one.user, one.address, one.sent_at)
        return self._letter(address, id, "Is this your address?", text, link)

    def _letter(
        self, address: str, id: str, subject: str, text: Sequence[str], link: str
    ) -> EmailMessage:
        letter = EmailMessage(policy=SMTP)
        letter["From"] = self._sender
        letter["To"] = parse_address(address)
        letter["Subject"] = subject
        letter["Date"] = format_datetime(instants.to_datetime(self._clock()))
        letter["Message-ID"] = f"<{id}@{self._sender.domain}>"
        letter["Auto-Submitted"] = "auto-generated"
        letter.set_content("\n\n".join((*text, link)) + "\n")
        paragraphs = "".join(f"<p>{escape(one)}</p>" for one in text)
        href = escape(link, quote=True)
        letter.add_alternative(
            f'<!doctype html><html><body>{paragraphs}<p><a href="{href}">{href}</a></p></body>'
            "</html>",
            subtype="html",
        )
        return letter


def _id(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:40]
