"""A mail server on loopback that keeps what it was given."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage

from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.servers.clients import PATIENCE


class MailServer:
    """`answers` are what mails are answered with, in turn; then they are taken. `meanwhile` is done
    before an answer is given."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: list[str] = []
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        self.mails: list[EmailMessage] = []
        self.tried = 0
        self._changed = asyncio.Condition()

    # The names are those by which aiosmtpd calls.

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802
        self.tried += 1
        if self.meanwhile is not None:
            await self.meanwhile()
        if self.answers:
            return self.answers.pop(0)
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert envelope.rcpt_tos == [mail["To"].addresses[0].addr_spec]
        self.mails.append(mail)
        async with self._changed:
            self._changed.notify_all()
        return "250 OK"

    async def arrived(self, number: int) -> list[EmailMessage]:
        """The mails, once there are so many."""
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: len(self.mails) >= number)
        return self.mails


def said(mail: EmailMessage, kind: str = "plain") -> str:
    """The text of a mail."""
    body = mail.get_body((kind,))
    assert body is not None
    return str(body.get_content())


def link(mail: EmailMessage) -> str:
    """The one link of a mail."""
    [found] = re.findall(r"https?://\S+", said(mail))
    return str(found)


@asynccontextmanager
async def mail_server() -> AsyncIterator[MailServer]:
    kept = MailServer()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(kept, enable_SMTPUTF8=True, loop=loop), "127.0.0.1", 0
    )
    kept.url = f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield kept
    server.close()
