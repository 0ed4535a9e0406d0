"""Mails on a real core, to a real mail server."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain import commands as c
from tests.contract.notices import HOUR, MAIL_DELAY, PUBLIC_URL, Notices, opened
from tests.servers.mail import link, said
from workers.notifier.digests import LISTED
from workers.notifier.queue import ATTEMPTS


@pytest.fixture
async def notices(tmp_path: Path) -> AsyncIterator[Notices]:
    async with opened(tmp_path) as notices:
        yield notices


async def test_who_is_away_is_written_to_once_an_hour(notices: Notices) -> None:
    await notices.verify("bob")
    await notices.say("bob")
    for _ in range(3):
        await notices.say("ann", "a secret", mentions=("bob",))
    await notices.wait(MAIL_DELAY - 2)
    assert notices.mail.mails == []
    await notices.wait(3)
    [mail] = notices.mail.mails
    assert mail["To"] == "bob@example.org"
    assert mail["From"] == "hansard@example.org"
    assert mail["Subject"] == "3 unread notifications"
    assert mail["Auto-Submitted"] == "auto-generated"
    for text in (said(mail), said(mail, "html")):
        assert "3 mentions" in text
        assert "secret" not in text
        assert "Ann" not in text
    assert link(mail) == PUBLIC_URL
    await notices.say("ann", mentions=("bob",))
    await notices.wait(HOUR - MAIL_DELAY)
    assert len(notices.mail.mails) == 1
    await notices.wait(MAIL_DELAY)
    assert len(notices.mail.mails) == 2
    assert notices.mail.mails[1]["Subject"] == "a new message"
    for _ in range(5):
        await notices.wait(HOUR)
    assert len(notices.mail.mails) == 2


async def test_nothing_is_written_of_what_was_read_is_muted_or_not_wanted(
    notices: Notices,
) -> None:
    await notices.verify("bob")
    seq = await notices.say("ann", mentions=("bob",))
    await notices.note()
    await notices.read("bob", seq)
    await notices.wait(MAIL_DELAY)
    await notices.prefer("bob", "mention", email=False)
    own = await notices.say("bob")
    await notices.say("ann", mentions=("bob",))
    await notices.to_chat("ann", c.React(message=own, emoji="👍"))
    await notices.wait(MAIL_DELAY)
    await notices.mute("bob")
    await notices.say("ann", reply_to=own)
    await notices.wait(MAIL_DELAY)
    assert notices.mail.mails == []
    await notices.prefer("bob", "mention", email=True)
    await notices.say("ann", mentions=("bob",))
    await notices.wait(MAIL_DELAY)
    [mail] = notices.mail.mails
    # Mute keeps all but mentions to itself; both mentions are unread.
    assert "2 mentions" in said(mail)
    assert "repl" not in said(mail)


async def test_plain_messages_are_written_of_where_that_is_wanted(notices: Notices) -> None:
    await notices.verify("bob")
    await notices.verify("cat")
    await notices.prefer("bob", "message", email=True)
    await notices.say("ann")
    await notices.wait(10)
    await notices.wait(MAIL_DELAY)
    assert [mail["To"] for mail in notices.mail.mails] == ["bob@example.org"]


async def test_what_comes_while_a_mail_is_written_is_in_the_next(notices: Notices) -> None:
    await notices.verify("bob")
    await notices.say("ann", mentions=("bob",))
    await notices.note()
    notices.ahead += MAIL_DELAY
    notices.mail.answers = []
    other = await notices.start()

    async def meanwhile() -> None:
        await notices.say("cat", mentions=("bob",))
        await notices.note(other)

    notices.mail.meanwhile = meanwhile
    await notices.wait(0)
    notices.mail.meanwhile = None
    assert len(notices.mail.mails) == 1
    await notices.wait(HOUR + 1)
    assert len(notices.mail.mails) == 2
    assert "1 mention" in said(notices.mail.mails[1])


async def test_names_and_text_only_where_that_was_allowed_and_escaped(notices: Notices) -> None:
    await notices.use(content=True)
    await notices.verify("bob")
    await notices.to_self("ann", c.PutProfile(name="<b>Ann</b>\r\nBcc: eve@example.org"))
    await notices.say("ann", "<script>alert(1)</script>\r\nBcc: x", mentions=("bob",))
    await notices.wait(MAIL_DELAY)
    [mail] = notices.mail.mails
    assert mail["Bcc"] is None
    assert "<b>Ann</b> Bcc: eve@example.org · room: <script>alert(1)</script> Bcc: x" in said(mail)
    assert "<script>" not in said(mail, "html")
    assert "&lt;script&gt;" in said(mail, "html")


async def test_a_mail_lists_so_many_and_counts_the_rest(notices: Notices) -> None:
    await notices.use(content=True)
    await notices.verify("bob")
    for number in range(LISTED + 5):
        await notices.say("ann", f"number {number}.", mentions=("bob",))
    await notices.wait(MAIL_DELAY)
    [mail] = notices.mail.mails
    assert said(mail).count("number") == LISTED
    assert "number 24." in said(mail)
    # With the invitation at the beginning.
    assert "and 6 more" in said(mail)


@pytest.mark.parametrize(
    "address",
    [
        "a,eve@example.org",
        '"a@example.org',
        "<eve@example.org>",
        "a@example.org>,<eve@example.org",
        "a@[",
        "a:b@example.org;",
    ],
)
async def test_addresses_that_are_none_get_nothing(notices: Notices, address: str) -> None:
    await notices.to_self("bob", c.PutProfile(email=address))
    await notices.wait(HOUR)
    await notices.verify("bob", address)
    await notices.say("ann", mentions=("bob",))
    await notices.wait(MAIL_DELAY)
    assert notices.mail.tried == 0
    assert notices.counts["email", "dropped"] == 1


async def test_a_server_that_is_busy_is_asked_again(notices: Notices) -> None:
    await notices.verify("bob")
    notices.mail.answers = ["451 later", "421 later"]
    await notices.say("ann", mentions=("bob",))
    await notices.wait(MAIL_DELAY)
    assert notices.mail.tried == 1
    await notices.wait(11)
    await notices.wait(21)
    assert len(notices.mail.mails) == 1
    notices.mail.answers = ["451 later"] * 100
    await notices.say("ann", mentions=("bob",))
    for _ in range(ATTEMPTS + 4):
        await notices.wait(HOUR)
    assert notices.mail.tried == 3 + ATTEMPTS
    assert notices.counts["email", "dropped"] == 1


async def test_what_a_server_refuses_is_dropped(notices: Notices) -> None:
    await notices.verify("bob")
    notices.mail.answers = ["550 no"]
    await notices.say("ann", mentions=("bob",))
    for _ in range(3):
        await notices.wait(HOUR)
    assert (notices.mail.tried, notices.counts["email", "dropped"]) == (1, 1)


async def test_an_address_that_is_not_verified_gets_one_question(notices: Notices) -> None:
    await notices.register("dan")
    await notices.group("ann", "dan", name="other")
    await notices.say("ann", mentions=("dan",))
    await notices.wait(MAIL_DELAY)
    [mail] = notices.mail.mails
    assert mail["To"] == "dan@example.org"
    assert "Dan" not in said(mail)
    proof = notices.links.read(link(mail).partition("?token=")[2], notices.clock())
    assert proof is not None
    assert proof.user == "dan"
    # Whoever claims it that day, it is asked no more; the next day it is.
    await notices.register("eve")
    await notices.to_self("eve", c.PutProfile(email="DAN@example.org"))
    await notices.to_self("dan", c.PutProfile(email="dan@example.org"))
    await notices.wait(HOUR)
    asked = [str(mail["To"]) for mail in notices.mail.mails]
    assert asked == ["dan@example.org"]
    notices.ahead += 24 * HOUR
    await notices.note()
    await notices.to_self("dan", c.PutProfile(email="dan@example.org"))
    # The clock of the log has not been put forward.
    notices.ahead -= 24 * HOUR
    await notices.note()
    assert len(notices.mail.mails) == 1


async def test_whose_token_vouches_is_not_asked(notices: Notices) -> None:
    await notices.register("dan")
    await notices.verify("dan")
    await notices.wait(HOUR)
    assert notices.mail.mails == []
