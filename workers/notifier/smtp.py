"""Mail by SMTP, one connection a mail: there are few."""

from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

import aiosmtplib

from projections.cancellation import BrokenOff, own_cancellation
from workers.notifier.channel import TAKEN, Sent

TIMEOUT = 30.0


class Smtp:
    """The way to one mail server."""

    def __init__(self, url: str, timeout: float = TIMEOUT) -> None:
        """`url` is `smtp://` (TLS where the server offers it) or `smtps://` with host, and port,
        user name and password where they are needed. A password is sent over TLS only."""
        parts = urlsplit(url)
        encrypted = parts.scheme == "smtps"
        username = unquote(parts.username) if parts.username else None
        self._options = {
            "hostname": parts.hostname,
            "port": parts.port or (465 if encrypted else 587 if username else 25),
            "username": username,
            "password": unquote(parts.password) if parts.password else None,
            "use_tls": encrypted,
            "start_tls": True if username and not encrypted else None,
            "timeout": timeout,
        }

    async def send(self, mail: EmailMessage) -> Sent:
        """Hand a mail to the server."""
        try:
            with own_cancellation():
                # One dict for all options.
                await aiosmtplib.send(mail, **self._options)  # type: ignore[arg-type]
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [one.code for one in error.recipients]
            return Sent("refused" if all(c >= 500 for c in codes) else "later", str(codes))
        except aiosmtplib.SMTPAuthenticationError as error:
            # The operator's mistake, not the mail's.
            return Sent("later", str(error.code))
        except aiosmtplib.SMTPResponseException as error:
            return Sent("refused" if error.code >= 500 else "later", str(error.code))
        except (aiosmtplib.SMTPException, OSError, BrokenOff) as error:
            return Sent("later", type(error).__name__)
        except ValueError as error:
            return Sent("refused", type(error).__name__)
        return TAKEN
