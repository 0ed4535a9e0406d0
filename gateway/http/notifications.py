"""What a user is told of, and how: the list, preferences and devices."""

import contextlib
from typing import Annotated

import msgspec
from fastapi import APIRouter
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from domain.ids import user_stream
from gateway import checks, forms, notifying
from gateway.http.dependencies import (
    Call,
    answer,
    body,
    device_id,
    query,
    reader,
    services_of,
    writer,
)
from gateway.http.pages import MAX_LIMIT, Cursors, Page, PageQuery
from gateway.openapi import documented
from gateway.problems import Problem
from projections.views import notifications, shapes

router = APIRouter()


class PushKey(msgspec.Struct, frozen=True):
    """The server's VAPID key (RFC 8292) in base64url, for `applicationServerKey`."""

    public_key: str


class LinkQuery(msgspec.Struct, frozen=True):
    token: Annotated[str, Meta(max_length=2048)]


@router.get(
    "/v1/notifications",
    **documented(query=PageQuery, answers={200: Page[shapes.Notification]}),
)
async def read_notifications(request: Request) -> Response:
    """Mentions, replies, reactions and invitations, and for each chat its newest unread message;
    newest first."""
    call = await reader(request)
    asked = query(request, PageQuery)
    cursors = Cursors(call, "notifications")
    listing = await notifications.page(
        call.reading(),
        call.user,
        after=cursors.place(asked.cursor),
        limit=min(asked.limit, MAX_LIMIT),
    )
    call.about(user_stream(call.user))
    return answer(cursors.page(listing))


@router.put(
    "/v1/notifications/read",
    status_code=204,
    **documented(body=forms.NotificationMarkForm, answers={204: None}),
)
async def mark_notifications_read(request: Request) -> Response:
    """Mark a notification and all older ones as read. The mark only rises."""
    call = await writer(request)
    form = await body(request, forms.NotificationMarkForm)
    return await call.write_silently(
        await notifying.read(call.services, call.user, form.up_to, call.key)
    )


@router.get("/v1/me/preferences", **documented(answers={200: shapes.Preferences}))
async def read_preferences(request: Request) -> Response:
    """How one is told of what."""
    return await _preferences(await reader(request))


@router.put(
    "/v1/me/preferences",
    **documented(body=forms.PreferencesForm, answers={200: shapes.Preferences}),
)
async def put_preferences(request: Request) -> Response:
    """Choose how one is told of what. Kinds and channels left out stay as they are."""
    call = await writer(request)
    form = await body(request, forms.PreferencesForm)
    await call.write(await notifying.put_preferences(call.services, call.user, form, call.key))
    return await _preferences(call)


@router.put(
    "/v1/me/devices/{device}",
    status_code=204,
    **documented(body=forms.DeviceForm, answers={204: None}),
)
async def put_device(request: Request) -> Response:
    """Have a device told of things by Web Push. The id is the client's own choice."""
    call = await writer(request)
    device = device_id(request)
    form = await body(request, forms.DeviceForm)
    return await call.write_silently(
        await notifying.put_device(call.services, call.user, device, form, call.key)
    )


@router.delete(
    "/v1/me/devices/{device}", status_code=204, **documented(answers={204: None}, write=True)
)
async def delete_device(request: Request) -> Response:
    """Tell a device nothing more."""
    call = await writer(request)
    command = await notifying.delete_device(call.services, call.user, device_id(request), call.key)
    return await call.write_silently(command)


@router.get("/v1/push", **documented(answers={200: PushKey}, public=True))
async def read_push_key(request: Request) -> Response:
    """The key that a browser subscribes to Web Push with."""
    return answer(PushKey(services_of(request).policy.push_key))


@router.get(
    "/v1/email/verify", **documented(query=LinkQuery, answers={200: "text/plain"}, public=True)
)
async def verify_email(request: Request) -> Response:
    """The link of the mail that asks whether an address is the user's."""
    services = services_of(request)
    command = await notifying.followed(services, query(request, LinkQuery).token)
    if command is not None:
        done = await services.commander.execute(command)
        # Who follows it again finds it verified.
        with contextlib.suppress(Problem):
            await checks.reach(services, {done.outcome.stream: done.outcome.seq})
    return Response("Thank you. This address is verified.\n", media_type="text/plain")


async def _preferences(call: Call) -> Response:
    call.about(user_stream(call.user))
    return answer(await notifications.preferences(call.reading(), call.user))
