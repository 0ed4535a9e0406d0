"""What a command needs to know of other streams, looked up in the read models before it is made.

Each check holds as of the basis it returns, which the command's events keep.
"""

import asyncio
from collections.abc import Mapping, Sequence

from domain import refusals
from domain.commands import ScheduleMessage
from domain.envelope import Basis
from domain.ids import chat_stream, user_stream
from gateway.media.types import fits
from gateway.problems import CODES, FieldError, Problem, invalid_request, not_found_in_body
from gateway.services import Services
from projections.chats import CHATS, MEMBERSHIPS
from projections.feed import FEED
from projections.media import MediaItem
from projections.messages import Message
from projections.outcomes import OUTCOMES
from projections.profiles import PROFILES
from projections.progress import Behind, Stale
from projections.schedules import Schedule
from projections.store.port import Scan
from projections.views import blocking, schedules
from projections.views.access import Access, access_to
from projections.views.media import readable
from projections.views.reading import NotFound, Reading
from projections.views.visibility import one_visible

BLOCKED = "One of you has blocked the other."

#: How long a request waits for the read models, in seconds.
PATIENCE = 2.0

_DETAILS = {
    refusal.code: refusal.detail
    for refusal in (
        refusals.CHAT_NOT_FOUND,
        refusals.MESSAGE_NOT_FOUND,
        refusals.SCHEDULE_NOT_FOUND,
    )
} | {
    "user_not_found": "There is no such user.",
    "media_not_found": "There is no such media item for you.",
}


def reading(services: Services) -> Reading:
    """The read models as they are now."""
    return Reading(services.store, services.vault, services.clock())


def missing(error: NotFound) -> Problem:
    """What a view did not find, as a problem."""
    return Problem(error.code, _DETAILS.get(error.code, CODES[error.code][1]))


async def reach(services: Services, positions: Mapping[str, int]) -> None:
    """Wait until the read models have come to these positions, seq by stream.

    Raises:
        Problem: `projection_behind` after 2 seconds, `projection_stale` at once.
    """
    try:
        await services.progress.wait(positions, PATIENCE)
    except Behind as error:
        raise behind() from error
    except Stale as error:
        raise stale() from error


def behind() -> Problem:
    return Problem(
        "projection_behind",
        "The read models have not come to this position yet. Ask again.",
        headers={"Retry-After": "1"},
    )


def stale() -> Problem:
    return Problem(
        "projection_stale",
        "The read models of this stream have stopped until an operator sets them going again.",
    )


async def decided(services: Services, command: str) -> bool:
    """Whether a command of this id was decided before, so that its receipt is the answer."""
    [events] = await services.store.scan(FEED, [Scan((command,), along="by_command", limit=1)])
    return bool(events) or bool(await services.store.get(OUTCOMES, [(command,)]))


async def registered(services: Services, users: Mapping[str, str]) -> list[Basis]:
    """All of these users, by the field that names each, are registered and not erased.

    Raises:
        Problem: 422 `user_not_found`, with the field.
    """
    profiles = await services.store.get(PROFILES, [(user,) for user in users.values()])
    basis = []
    for field, user in users.items():
        profile = profiles.get((user,))
        if profile is None or profile.erased:
            raise not_found_in_body("user_not_found", field, "There is no such user.")
        basis.append(Basis(user_stream(user), profile.seq))
    return basis


async def known_user(services: Services, user: str) -> list[Basis]:
    """There is, or was, such a user.

    Raises:
        Problem: `user_not_found`.
    """
    profile = (await services.store.get(PROFILES, [(user,)])).get((user,))
    if profile is None:
        raise missing(NotFound("user_not_found"))
    return [Basis(user_stream(user), profile.seq)]


async def unblocked(services: Services, user: str, chat: str) -> Sequence[Basis]:
    """What the user says may come to the chat: of a direct one nobody has blocked the other.

    Who is in the chat, its own decider knows.

    Raises:
        Problem: `not_allowed`.
    """
    pair = await services.contacts.pair(chat)
    if user not in pair:
        return ()
    between = await services.contacts.between(pair)
    if between.apart:
        raise Problem("not_allowed", BLOCKED)
    return between.basis


async def unblocked_yet(services: Services, pair: tuple[str, ...], chat: str) -> None:
    """A direct chat between the two may be made, unless it is there already.

    Raises:
        Problem: `not_allowed`.
    """
    between = await services.contacts.between(pair)
    if between.apart and not await services.store.get(CHATS, [(chat,)]):
        raise Problem("not_allowed", BLOCKED)


async def addable(
    services: Services, user: str, users: Mapping[str, str], chat: str | None = None
) -> None:
    """The user may bring all of these, by the field that names each, into a group: nobody who is
    not in it already has blocked them.

    Raises:
        Problem: `not_allowed`, with the fields.
    """
    blockers = await blocking.blockers(services.store, user, users.values())
    if blockers and chat is not None:
        members = await services.store.get(MEMBERSHIPS, [(one, chat) for one in blockers])
        blockers -= {member.user for member in members.values() if member.present}
    if blockers:
        raise Problem(
            "not_allowed",
            BLOCKED,
            errors=[FieldError(f, BLOCKED) for f, one in users.items() if one in blockers],
        )


async def own_image(services: Services, user: str, media: str, field: str) -> list[Basis]:
    """The user has uploaded this image.

    Raises:
        Problem: 422 `media_not_found`, with the field.
    """
    item = await _readable_media(services, user, media, field)
    if item.owner != user or not item.mime.startswith("image/"):
        raise not_found_in_body("media_not_found", field, "You have no such image.")
    return [Basis(user_stream(user), item.seq)]


async def sendable_media(services: Services, user: str, media: str, kind: str) -> list[Basis]:
    """The user may read this media item, and a message of this kind may carry it.

    Raises:
        Problem: 422 `media_not_found`, or `invalid_request` for another kind of file.
    """
    item = await _readable_media(services, user, media, "metadata.media")
    if not fits(kind, item.mime):
        raise invalid_request("kind", f"This file is {item.mime}, which is no {kind}.")
    return [Basis(user_stream(item.owner), item.seq)]


async def _readable_media(services: Services, user: str, media: str, field: str) -> MediaItem:
    try:
        return await readable(reading(services), user, media)
    except NotFound as error:
        detail = "There is no such media item for you."
        raise not_found_in_body(error.code, field, detail) from error


async def membership(services: Services, user: str, chat: str) -> Access:
    """The chat as its member has it.

    Raises:
        Problem: `chat_not_found`.
    """
    try:
        return await access_to(reading(services), user, chat)
    except NotFound as error:
        raise missing(error) from error


async def visible_message(services: Services, user: str, chat: str, seq: int) -> Message:
    """The message at a seq, which the user can see and which is no system message.

    A message beyond what the read models have seen of the chat is waited for.

    Raises:
        Problem: `chat_not_found` or `message_not_found`; `projection_behind` or
            `projection_stale` when it can't be told whether there is such a message.
    """
    access = await membership(services, user, chat)
    if access.chat.seq < seq:
        await _catch_up(services, chat)
        access = await membership(services, user, chat)
    try:
        message = await one_visible(reading(services), access, seq)
    except NotFound as error:
        raise missing(error) from error
    if message.kind == "system":
        raise missing(NotFound("message_not_found"))
    return message


async def deletable(services: Services, user: str, chat: str, seq: int) -> bool:
    """Whether a member may delete a message for everyone, as its sender or as an admin."""
    try:
        access = await access_to(reading(services), user, chat)
        message = await one_visible(reading(services), access, seq)
    except NotFound:
        return False
    return message.sender == user or access.membership.role == "admin"


async def sendable(
    services: Services, user: str, chat: str, action: ScheduleMessage
) -> list[Basis]:
    """The user may send this now: what a chat's own decider checks of a message at once, and of a
    scheduled one not before its time.

    Raises:
        Problem: `chat_not_found`, `not_allowed`, `unknown_message`, or 422 `media_not_found`.
    """
    basis = [*basis_of(await membership(services, user, chat))]
    basis += await unblocked(services, user, chat)
    if action.reply_to is not None:
        await known_message(services, user, chat, action.reply_to)
    if action.media is not None:
        basis += await sendable_media(services, user, action.media, action.kind)
    return basis


async def known_message(services: Services, user: str, chat: str, seq: int) -> Message:
    """As `visible_message`, of a message that a body names.

    Raises:
        Problem: `chat_not_found`, or `unknown_message` where there is none.
    """
    try:
        return await visible_message(services, user, chat, seq)
    except Problem as problem:
        if problem.code != "message_not_found":
            raise
        unknown = refusals.UNKNOWN_MESSAGE
        raise Problem(unknown.code, unknown.detail) from problem


async def own_schedule(services: Services, user: str, schedule: str) -> Schedule:
    """The user's schedule of this id.

    Raises:
        Problem: `schedule_not_found`.
    """
    try:
        return await schedules.own(reading(services), user, schedule)
    except NotFound as error:
        raise missing(error) from error


async def _catch_up(services: Services, chat: str) -> None:
    """Wait until the read models hold all that was written before: the seq may be made up."""
    if chat_stream(chat) in services.progress.stale:
        raise stale()
    try:
        async with asyncio.timeout(PATIENCE):
            await services.settle()
    except (TimeoutError, Behind) as error:
        raise behind() from error


def basis_of(access: Access) -> Sequence[Basis]:
    """What a check of a membership has seen."""
    return [Basis(chat_stream(access.id), access.chat.seq)]
