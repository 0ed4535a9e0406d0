"""One's own scheduled messages, from being made until they are sent."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from domain.ids import user_stream
from gateway import forms, writes
from gateway.http.dependencies import Call, answer, body, query, reader, schedule_id, writer
from gateway.http.pages import MAX_LIMIT, Cursors, Page, PageQuery
from gateway.openapi import documented
from projections.views import schedules, shapes

router = APIRouter()


@router.get(
    "/v1/me/scheduled",
    **documented(query=PageQuery, answers={200: Page[shapes.Schedule]}),
)
async def read_scheduled(request: Request) -> Response:
    """The messages that wait to be sent, and for a week those that could not be, by their time."""
    call = await reader(request)
    asked = query(request, PageQuery)
    cursors = Cursors(call, "scheduled")
    listing = await schedules.page(
        call.reading(),
        call.user,
        after=cursors.place(asked.cursor),
        limit=min(asked.limit, MAX_LIMIT),
    )
    call.about(user_stream(call.user))
    return answer(cursors.page(listing))


@router.get(
    "/v1/me/scheduled/{schedule}",
    **documented(answers={200: shapes.Schedule}, problems=("schedule_not_found",)),
)
async def read_schedule(request: Request) -> Response:
    """A scheduled message, and what became of it."""
    return await show_schedule(await reader(request), schedule_id(request))


@router.patch(
    "/v1/me/scheduled/{schedule}",
    **documented(
        body=forms.ScheduleForm,
        answers={200: shapes.Schedule},
        problems=("schedule_not_found", "schedule_claimed", "due_in_past"),
    ),
)
async def change_schedule(request: Request) -> Response:
    """Change what will be said, or when, as long as it is not being sent."""
    call = await writer(request)
    schedule = schedule_id(request)
    form = await body(request, forms.ScheduleForm)
    await call.write(
        await writes.change_schedule(call.services, call.user, schedule, form, call.key)
    )
    return await show_schedule(call, schedule)


@router.delete(
    "/v1/me/scheduled/{schedule}",
    status_code=204,
    **documented(
        answers={204: None}, problems=("schedule_not_found", "schedule_claimed"), write=True
    ),
)
async def cancel_schedule(request: Request) -> Response:
    """Cancel a message, as long as it is not being sent."""
    call = await writer(request)
    command = await writes.cancel_schedule(call.services, call.user, schedule_id(request), call.key)
    return await call.write_silently(command)


async def show_schedule(call: Call, schedule: str, status: int = 200) -> Response:
    """The schedule as it is now."""
    shown = await schedules.one(call.reading(), call.user, schedule)
    call.about(user_stream(call.user))
    return answer(shown, status)
