"""Reported messages: for moderators all of them, for a chat's admins its own without who reported.

Newest first; `after` is the `next` of the page before.
"""

from collections.abc import Sequence

from domain.ids import user_stream
from projections.fold import Held
from projections.messages import MESSAGES, Message
from projections.reports import REPORTS, Report
from projections.store.port import Scan
from projections.vault import Opened
from projections.views import shapes
from projections.views.access import access_to
from projections.views.reading import Reading


class NotAnAdmin(Exception):
    """Only a group's admins are shown its reports."""


async def for_moderators(
    reading: Reading, *, after: shapes.Place | None = None, limit: int = 50
) -> shapes.Listing[shapes.FullReport]:
    below = after[0] if after is not None else None
    scan = Scan((), along="by_time", below=below, newest=True, limit=limit + 1)
    [found] = await reading.scan(REPORTS, [scan])
    reports = found[:limit]
    messages = await _messages(reading, reports)
    fields: list[Held | None] = [report.reason for report in reports]
    for message in messages.values():
        fields += (message.content, message.metadata)
    await reading.unlock(fields)
    return shapes.Listing(
        items=[
            _full(reading, one, about)
            for one in reports
            if (about := messages.get((one.chat, one.message))) is not None
        ],
        next=(reports[-1].place,) if len(found) > limit else None,
    )


async def for_admins(
    reading: Reading, user: str, chat: str, *, after: shapes.Place | None = None, limit: int = 50
) -> shapes.Listing[shapes.Report]:
    """Those of the chat that the admin may see, but for those of their own messages.

    Raises:
        NotFound: `chat_not_found`.
        NotAnAdmin: the user is in the chat, but no admin of it.
    """
    access = await access_to(reading, user, chat)
    if access.membership.role != "admin":
        raise NotAnAdmin
    shown: list[tuple[Report, Message]] = []
    below = after[0] if after is not None else None
    while len(shown) <= limit:
        scan = Scan((chat,), along="by_chat", below=below, newest=True, limit=limit + 1)
        [found] = await reading.scan(REPORTS, [scan])
        messages = await _messages(reading, found)
        for report in found:
            about = messages.get((chat, report.message))
            if about and about.sender != user and report.message >= access.floor:
                shown.append((report, about))
        if len(found) <= limit:
            break
        below = found[-1].place
    goes_on = len(shown) > limit
    del shown[limit:]
    await reading.unlock(report.reason for report, _ in shown)
    return shapes.Listing(
        items=[_brief(reading, report, message) for report, message in shown],
        next=(shown[-1][0].place,) if goes_on else None,
    )


async def _messages(reading: Reading, reports: Sequence[Report]) -> dict[tuple[str, int], Message]:
    found = await reading.get(MESSAGES, {(one.chat, one.message) for one in reports})
    return {(message.chat, message.message): message for message in found.values()}


def _full(reading: Reading, report: Report, message: Message) -> shapes.FullReport:
    reason = _reason(reading, report)
    gone = reading.gone(message)
    content = reading.open_in_chat(message.chat, "content", message.content)
    metadata = reading.open_in_chat(message.chat, "metadata", message.metadata)
    return shapes.FullReport(
        chat=report.chat,
        seq=report.message,
        reporter=report.reporter,
        reason=reason.value,
        reported_at=report.reported_at,
        message=shapes.ReportedMessage(
            sender=message.sender,
            kind=message.kind,
            content=None if gone else content.value,
            metadata=(
                None
                if gone
                else metadata.value
                if message.media is None
                else {"media": message.media}
            ),
            sent_at=message.sent_at,
            deleted_at=message.deleted_at,
            erased=not gone and (content.erased or metadata.erased),
        ),
        erased=reason.erased,
    )


def _brief(reading: Reading, report: Report, message: Message) -> shapes.Report:
    reason = _reason(reading, report)
    return shapes.Report(
        chat=report.chat,
        seq=report.message,
        sender=message.sender,
        reason=reason.value,
        reported_at=report.reported_at,
        erased=reason.erased,
    )


def _reason(reading: Reading, report: Report) -> Opened:
    return reading.open(user_stream(report.reporter), "reason", report.reason)
