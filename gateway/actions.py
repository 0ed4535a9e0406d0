"""What clients' forms ask for, as actions; the rules of a form that its types can't say."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from domain import commands as c
from domain import instants
from gateway import forms
from gateway.problems import invalid_request

MEDIA_KINDS = frozenset(("image", "file", "audio", "video", "voice_note"))


def send(form: forms.SendForm) -> c.SendMessage:
    """A message to send.

    Raises:
        Problem: `invalid_request`, with the field at fault.
    """
    if form.kind == "text" and not form.content:
        raise invalid_request("content", "A text message can't be empty.")
    return c.SendMessage(
        kind=form.kind,
        content=form.content,
        metadata=_metadata(form),
        media=_media(form),
        reply_to=form.reply_to,
        mentions=tuple(dict.fromkeys(form.mentions)),
        expires_in=form.expires_in,
    )


def schedule(form: forms.SendForm, due: str, chat: str, schedule: str) -> c.ScheduleMessage:
    """A message to send at `due`, a client's time.

    Raises:
        Problem: `invalid_request`, with the field at fault.
    """
    due = instant(due, "scheduled_for")
    fields = msgspec.structs.asdict(send(form)) | {"schedule": schedule}
    return c.ScheduleMessage(chat=chat, due=due, **fields)


def change_schedule(form: forms.ScheduleForm, schedule: str) -> c.ChangeSchedule:
    """A change of what waits to be sent.

    Raises:
        Problem: `invalid_request` for a `scheduled_for` that is no time.
    """
    due, mentions = form.scheduled_for, form.mentions
    return c.ChangeSchedule(
        schedule=schedule,
        due=UNSET if due is UNSET else instant(due, "scheduled_for"),
        content=form.content,
        mentions=UNSET if mentions is UNSET else tuple(dict.fromkeys(mentions)),
        blank=form.content == "",
    )


def edit(form: forms.EditForm, message: int) -> c.EditMessage:
    return c.EditMessage(
        message=message,
        content=form.content,
        mentions=tuple(dict.fromkeys(form.mentions)),
        blank=not form.content,
    )


def create_chat(form: forms.ChatForm, user: str) -> c.CreateChat:
    """A chat with its maker in it.

    Raises:
        Problem: `invalid_request` for a direct chat with other than one other member, with oneself,
            or with what only groups have.
    """
    members = tuple(dict.fromkeys((user, *form.members)))
    if form.kind == "group":
        history = "all" if form.history is UNSET else form.history
        return c.CreateChat(
            kind="group",
            members=members,
            admins=(user,),
            name=form.name,
            description=form.description,
            avatar=form.avatar,
            history=history,
        )
    if len(members) != 2:
        raise invalid_request("members", "A direct chat is between you and one other user.")
    for field in ("name", "description", "avatar"):
        if getattr(form, field) is not None:
            raise invalid_request(field, f"A direct chat has no {field}.")
    if form.history not in (UNSET, "all"):
        raise invalid_request("history", "In a direct chat both see all of it.")
    return c.CreateChat(kind="direct", members=members)


def change_chat(form: forms.ChatChangeForm) -> c.ChangeChat:
    return c.ChangeChat(name=form.name, description=form.description, avatar=form.avatar)


def file_chat(form: forms.FilingForm, chat: str) -> c.FileChat:
    muted_until: str | UnsetType | None = form.muted_until
    if isinstance(muted_until, str):
        muted_until = instant(muted_until, "muted_until")
    return c.FileChat(
        chat=chat, pinned=form.pinned, archived=form.archived, muted_until=muted_until
    )


def put_profile(form: forms.ProfileForm) -> c.PutProfile:
    return c.PutProfile(name=form.name, email=form.email, avatar=form.avatar)


def instant(text: str, field: str) -> str:
    """A client's time in the log's form.

    Raises:
        Problem: `invalid_request`.
    """
    try:
        return instants.parse(text)
    except ValueError as error:
        raise invalid_request(field, "This is not an RFC 3339 time with an offset.") from error


def _metadata(form: forms.SendForm) -> dict[str, Any] | None:
    if form.kind in MEDIA_KINDS:
        return None
    if form.kind == "location":
        found = forms.convert(forms.LocationMetadata, form.metadata or {}, "metadata")
        address = found.location.address
        place: dict[str, Any] = {"lat": found.location.lat, "lng": found.location.lng}
        return {"location": place if address is None else {**place, "address": address}}
    if form.metadata is None:
        return None
    if len(msgspec.json.encode(form.metadata)) > forms.MAX_METADATA_BYTES:
        raise invalid_request("metadata", "At most 4 KiB.")
    if forms.depth(form.metadata) > forms.MAX_METADATA_DEPTH:
        raise invalid_request("metadata", "At most 8 levels deep.")
    return form.metadata


def _media(form: forms.SendForm) -> str | None:
    if form.kind not in MEDIA_KINDS:
        return None
    return forms.convert(forms.MediaMetadata, form.metadata or {}, "metadata").media
