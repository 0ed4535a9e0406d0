"""From what a client asks to the command that carries it out: checked, sealed, not yet decided.

REST and WebSocket make their commands here, so both refuse the same things. Each function takes
the idempotency key, or None to have one made, and raises `Problem` for what the gateway turns away
itself; the rest is the decider's to refuse.
"""

from collections.abc import Awaitable, Sequence
from typing import BinaryIO, Literal, TypeVar

from msgspec import UnsetType

from domain import commands as c
from domain.envelope import Basis
from domain.ids import (
    chat_stream,
    direct_chat_id,
    group_id,
    media_id,
    schedule_id,
    split_stream,
    user_stream,
)
from gateway import actions, checks, forms, moderation
from gateway.problems import Problem
from gateway.services import Services
from projections.messages import Message, own_key

MarkKind = Literal["delivered", "read"]

T = TypeVar("T")


async def put_profile(
    services: Services, user: str, form: forms.ProfileForm, key: str | None
) -> c.Command:
    stream = user_stream(user)
    _, command = services.commander.identify(user, stream, key)
    basis = await _avatar(services, user, command, form.avatar)
    return await services.commander.command(
        user, stream, command, actions.put_profile(form), basis=basis
    )


async def create_chat(
    services: Services, user: str, form: forms.ChatForm, key: str | None
) -> c.Command:
    action = actions.create_chat(form, user)
    if action.kind == "direct":
        stream = chat_stream(direct_chat_id(*action.members))
        _, command = services.commander.identify(user, stream, key)
    else:
        # The chat's id comes from the command's, so the key counts for the maker's own stream.
        _, command = services.commander.identify(user, user_stream(user), key)
        stream = chat_stream(group_id(command))
    others = {field: one for field, one in _fields("members", form.members).items() if one != user}
    check = _can_be_made(services, user, action, stream, others)
    basis = await _unless_decided(services, command, check, [])
    basis = [*basis, *await _avatar(services, user, command, form.avatar)]
    return await services.commander.command(user, stream, command, action, basis=basis)


async def _can_be_made(
    services: Services, user: str, action: c.CreateChat, stream: str, others: dict[str, str]
) -> list[Basis]:
    basis = await checks.registered(services, others)
    if action.kind == "direct":
        await checks.unblocked_yet(services, action.members, split_stream(stream)[1])
    else:
        await checks.addable(services, user, others)
    return basis


async def change_chat(
    services: Services, user: str, chat: str, form: forms.ChatChangeForm, key: str | None
) -> c.Command:
    stream = chat_stream(chat)
    _, command = services.commander.identify(user, stream, key)
    basis = await _avatar(services, user, command, form.avatar)
    return await services.commander.command(
        user, stream, command, actions.change_chat(form), basis=basis
    )


async def add_members(
    services: Services, user: str, chat: str, form: forms.MembersForm, key: str | None
) -> c.Command:
    stream = chat_stream(chat)
    _, command = services.commander.identify(user, stream, key)
    check = _can_be_added(services, user, chat, _fields("users", form.users))
    basis = await _unless_decided(services, command, check, [])
    action = c.AddMembers(users=tuple(dict.fromkeys(form.users)))
    return await services.commander.command(user, stream, command, action, basis=basis)


async def _can_be_added(
    services: Services, user: str, chat: str, users: dict[str, str]
) -> list[Basis]:
    basis = await checks.registered(services, users)
    await checks.addable(services, user, users, chat)
    return basis


async def remove_member(
    services: Services, user: str, chat: str, member: str, key: str | None
) -> c.Command:
    return await _to_chat(services, user, chat, c.RemoveMember(user=member), key)


async def set_role(
    services: Services, user: str, chat: str, member: str, form: forms.RoleForm, key: str | None
) -> c.Command:
    return await _to_chat(services, user, chat, c.SetRole(user=member, role=form.role), key)


async def send(
    services: Services, user: str, chat: str, form: forms.SendForm, key: str | None
) -> c.Command:
    """The message, or with `scheduled_for` its schedule."""
    if form.scheduled_for is not None:
        return await _schedule(services, user, chat, form, form.scheduled_for, key)
    action = actions.send(form)
    stream = chat_stream(chat)
    _, command = services.commander.identify(user, stream, key)
    basis = await _unless_decided(services, command, _can_be_sent(services, user, chat, action), ())
    return await services.commander.command(user, stream, command, action, basis=basis)


async def _can_be_sent(
    services: Services, user: str, chat: str, action: c.SendMessage
) -> Sequence[Basis]:
    basis = await checks.unblocked(services, user, chat)
    if action.media is None:
        return basis
    return [*basis, *await checks.sendable_media(services, user, action.media, action.kind)]


async def _schedule(
    services: Services, user: str, chat: str, form: forms.SendForm, due: str, key: str | None
) -> c.Command:
    stream = user_stream(user)
    _, command = services.commander.identify(user, stream, key)
    action = actions.schedule(form, due, chat, schedule_id(command))
    check = checks.sendable(services, user, chat, action)
    basis = await _unless_decided(services, command, check, [])
    return await services.commander.command(user, stream, command, action, basis=basis)


async def change_schedule(
    services: Services, user: str, schedule: str, form: forms.ScheduleForm, key: str | None
) -> c.Command:
    """A change is sealed under the key of its message, so that both go when that key goes."""
    stream = user_stream(user)
    _, command = services.commander.identify(user, stream, key)
    check = checks.own_schedule(services, user, schedule)
    known = await _unless_decided(services, command, check, None)
    sealed_by = own_key(known.content.value) if known is not None and known.content else None
    return await services.commander.command(
        user, stream, command, actions.change_schedule(form, schedule), key=sealed_by
    )


async def cancel_schedule(
    services: Services, user: str, schedule: str, key: str | None
) -> c.Command:
    stream = user_stream(user)
    _, command = services.commander.identify(user, stream, key)
    action = c.CancelSchedule(schedule=schedule)
    return await services.commander.command(user, stream, command, action)


async def edit(
    services: Services, user: str, chat: str, seq: int, form: forms.EditForm, key: str | None
) -> c.Command:
    """An edit is sealed under the key of its message, so that both go when that key goes."""
    stream = chat_stream(chat)
    _, command = services.commander.identify(user, stream, key)
    check = checks.visible_message(services, user, chat, seq)
    message = await _unless_decided(services, command, check, None)
    basis = await _unless_decided(services, command, checks.unblocked(services, user, chat), ())
    return await services.commander.command(
        user,
        stream,
        command,
        actions.edit(form, seq),
        basis=basis,
        key=_own_key(services, message),
    )


async def delete_for_everyone(
    services: Services, user: str, chat: str, seq: int, key: str | None, *, moderates: bool = False
) -> c.Command:
    """`moderates` says that the user may do so anywhere, which then is put on record."""
    if moderates and not await checks.deletable(services, user, chat, seq):
        return await moderation.remove(services, user, chat, seq, key)
    return await _to_chat(services, user, chat, c.DeleteMessage(message=seq), key)


async def react(
    services: Services, user: str, chat: str, seq: int, emoji: str | None, key: str | None
) -> c.Command:
    """Set the user's reaction; one can be taken back whoever has blocked whom."""
    action = c.React(message=seq, emoji=emoji)
    if emoji is None:
        return await _to_chat(services, user, chat, action, key)
    stream = chat_stream(chat)
    _, command = services.commander.identify(user, stream, key)
    basis = await _unless_decided(services, command, checks.unblocked(services, user, chat), ())
    return await services.commander.command(user, stream, command, action, basis=basis)


async def delete_for_me(
    services: Services, user: str, chat: str, seq: int, key: str | None
) -> c.Command:
    stream = user_stream(user)
    _, command = services.commander.identify(user, stream, key)
    check = checks.visible_message(services, user, chat, seq)
    message = await _unless_decided(services, command, check, None)
    basis = [Basis(chat_stream(chat), message.seq)] if message is not None else []
    action = c.HideMessage(chat=chat, message=seq)
    return await services.commander.command(user, stream, command, action, basis=basis)


async def report(
    services: Services, user: str, chat: str, seq: int, form: forms.ReportForm, key: str | None
) -> c.Command:
    """The reason is free text of the reporter, and sealed under their key."""
    stream = user_stream(user)
    _, command = services.commander.identify(user, stream, key)
    check = checks.visible_message(services, user, chat, seq)
    message = await _unless_decided(services, command, check, None)
    basis = [Basis(chat_stream(chat), message.seq)] if message is not None else []
    action = c.ReportMessage(chat=chat, message=seq, reason=form.reason)
    return await services.commander.command(user, stream, command, action, basis=basis)


async def mark(
    services: Services, user: str, chat: str, up_to: int, kind: MarkKind, key: str | None
) -> c.Command:
    basis = await markable(services, user, chat, up_to)
    stream = user_stream(user)
    _, command = services.commander.identify(user, stream, key)
    action = (
        c.MarkRead(chat=chat, up_to=up_to)
        if kind == "read"
        else c.MarkDelivered(chat=chat, up_to=up_to)
    )
    return await services.commander.command(user, stream, command, action, basis=basis)


async def markable(services: Services, user: str, chat: str, up_to: int) -> list[Basis]:
    """A mark can stand at this message.

    Raises:
        Problem: `chat_not_found`, or `unknown_message` where there is none.
    """
    message = await checks.known_message(services, user, chat, up_to)
    return [Basis(chat_stream(chat), message.seq)]


async def file_chat(
    services: Services, user: str, chat: str, form: forms.FilingForm, key: str | None
) -> c.Command:
    action = actions.file_chat(form, chat)
    stream = user_stream(user)
    _, command = services.commander.identify(user, stream, key)
    check = checks.membership(services, user, chat)
    access = await _unless_decided(services, command, check, None)
    basis = checks.basis_of(access) if access is not None else []
    return await services.commander.command(user, stream, command, action, basis=basis)


async def block(services: Services, user: str, other: str, key: str | None) -> c.Command:
    return await _about_user(services, user, other, c.BlockUser(user=other), key)


async def unblock(services: Services, user: str, other: str, key: str | None) -> c.Command:
    return await _about_user(services, user, other, c.UnblockUser(user=other), key)


async def _about_user(
    services: Services, user: str, other: str, action: c.AnyAction, key: str | None
) -> c.Command:
    stream = user_stream(user)
    _, command = services.commander.identify(user, stream, key)
    basis = await _unless_decided(services, command, checks.known_user(services, other), [])
    return await services.commander.command(user, stream, command, action, basis=basis)


async def upload(
    services: Services, user: str, file: BinaryIO, name: str, key: str | None
) -> c.Command:
    """The bytes are stored when this returns."""
    stream = user_stream(user)
    _, command = services.commander.identify(user, stream, key)
    media = media_id(command)
    # Not the name: the same bytes under one key are the same upload.
    asked = ("upload", await services.uploads.digest(file))
    if await checks.decided(services, command):
        # The receipt answers by what was asked for; what would be recorded does not matter.
        action = c.UploadMedia(media=media, name=None, mime="", size=0, sha256=None)
    else:
        action = await services.uploads.keep(user, media, name, file)
    return await services.commander.command(user, stream, command, action, asked=asked)


def _own_key(services: Services, message: Message | None) -> str | None:
    """The id of the key that a message alone is sealed under, if it has one and is not gone."""
    if message is None or checks.reading(services).gone(message):
        return None
    return message.key


async def _to_chat(
    services: Services, user: str, chat: str, action: c.AnyAction, key: str | None
) -> c.Command:
    stream = chat_stream(chat)
    _, command = services.commander.identify(user, stream, key)
    return await services.commander.command(user, stream, command, action)


def _fields(field: str, users: Sequence[str]) -> dict[str, str]:
    """Each of the users once, by the field that first names them."""
    first: dict[str, int] = {}
    for place, user in enumerate(users):
        first.setdefault(user, place)
    return {f"{field}.{place}": user for user, place in first.items()}


async def _avatar(
    services: Services, user: str, command: str, avatar: str | UnsetType | None
) -> Sequence[Basis]:
    if not isinstance(avatar, str):
        return []
    check = checks.own_image(services, user, avatar, "avatar")
    return await _unless_decided(services, command, check, [])


async def _unless_decided(services: Services, command: str, check: Awaitable[T], otherwise: T) -> T:
    """What a check gives; `otherwise` where it fails and the command was decided before.

    A repeated request answers as the first did, whatever has become of what it once needed.
    """
    try:
        return await check
    except Problem:
        if await checks.decided(services, command):
            return otherwise
        raise
