"""Reporting a message, and what a group's admins see of the reports."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from domain.ids import chat_stream
from gateway import forms, writes
from gateway.http.dependencies import answer, body, chat_id, message_seq, query, reader, writer
from gateway.http.messages import MESSAGE
from gateway.http.pages import MAX_LIMIT, Cursors, Page, PageQuery
from gateway.openapi import documented
from gateway.problems import Problem
from projections.views import reports, shapes

router = APIRouter()


@router.post(
    "/v1/chats/{chat}/messages/{seq}/report",
    status_code=202,
    **documented(body=forms.ReportForm, answers={202: None}, problems=MESSAGE),
)
async def report_message(request: Request) -> Response:
    """Report a message to the moderators and, without one's name, to the group's admins.

    A second report of the same message changes nothing.
    """
    call = await writer(request)
    chat, seq = chat_id(request), message_seq(request)
    form = await body(request, forms.ReportForm)
    command = await writes.report(call.services, call.user, chat, seq, form, call.key)
    await call.write_silently(command)
    return Response(status_code=202)


@router.get(
    "/v1/chats/{chat}/reports",
    **documented(
        query=PageQuery,
        answers={200: Page[shapes.Report]},
        problems=("chat_not_found", "not_allowed"),
    ),
)
async def read_chat_reports(request: Request) -> Response:
    """Reported messages of a group, newest report first; for its admins, but not on their own."""
    call = await reader(request)
    chat = chat_id(request)
    asked = query(request, PageQuery)
    cursors = Cursors(call, "reports", chat)
    try:
        listing = await reports.for_admins(
            call.reading(),
            call.user,
            chat,
            after=cursors.place(asked.cursor),
            limit=min(asked.limit, MAX_LIMIT),
        )
    except reports.NotAnAdmin as error:
        raise Problem("not_allowed", "Only an admin of the group may see this.") from error
    call.about(chat_stream(chat))
    return answer(cursors.page(listing))
