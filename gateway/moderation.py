"""What people with special rights do: first it is put on record, in their own stream, then done."""

from collections.abc import Sequence

from domain import commands as c
from domain import refusals
from domain.envelope import Basis
from domain.ids import chat_stream, command_id, operator_stream, user_stream
from gateway import checks
from gateway.commander import Commander, Done
from gateway.problems import Problem
from gateway.services import Services
from projections.chats import CHATS
from projections.messages import MESSAGES
from projections.profiles import PROFILES
from projections.store.port import ReadStore
from projections.views.reading import NotFound


async def suspend(
    commander: Commander,
    store: ReadStore,
    operator: str,
    user: str,
    *,
    reason: str | None = None,
    key: str | None = None,
    rights: c.Rights = "moderator",
) -> Done:
    """Suspend a user; one who is suspended already stays so.

    The reason is about the user, so it is sealed under the user's key and goes with it.

    Raises:
        Problem: `user_not_found`, `user_erased`.
    """
    action = c.SuspendUser(reason=reason)
    return await _suspend(commander, store, operator, user, action, key, rights)


async def resume(
    commander: Commander,
    store: ReadStore,
    operator: str,
    user: str,
    *,
    key: str | None = None,
    rights: c.Rights = "moderator",
) -> Done:
    """End the suspension of a user.

    Raises:
        Problem: `user_not_found`, `user_erased`.
    """
    return await _suspend(commander, store, operator, user, c.ResumeUser(), key, rights)


async def _suspend(
    commander: Commander,
    store: ReadStore,
    operator: str,
    user: str,
    action: c.SuspendUser | c.ResumeUser,
    key: str | None,
    rights: c.Rights,
) -> Done:
    profile = (await store.get(PROFILES, [(user,)])).get((user,))
    if profile is None:
        raise checks.missing(NotFound("user_not_found"))
    if profile.erased:
        raise Problem(refusals.USER_ERASED.code, refusals.USER_ERASED.detail)
    stream = user_stream(user)
    _, command = commander.identify(operator, stream, key)
    note: c.AnyAction = (
        c.OrderSuspension(user=user)
        if isinstance(action, c.SuspendUser)
        else c.LiftSuspension(user=user)
    )
    await put_on_record(commander, operator, note, rights, cause=command)
    return await commander.execute(
        await commander.command(operator, stream, command, action, rights=rights, key=stream)
    )


async def remove(
    services: Services, operator: str, chat: str, seq: int, key: str | None
) -> c.Command:
    """The deletion for everyone of a message in any chat, on record by now.

    Raises:
        Problem: `chat_not_found`, `message_not_found`.
    """
    if not await services.store.get(CHATS, [(chat,)]):
        raise checks.missing(NotFound("chat_not_found"))
    message = (await services.store.get(MESSAGES, [(chat, seq)])).get((chat, seq))
    if message is None or message.kind == "system":
        raise checks.missing(NotFound("message_not_found"))
    stream = chat_stream(chat)
    _, command = services.commander.identify(operator, stream, key)
    if not checks.reading(services).gone(message):
        note = c.NoteRemoval(chat=chat, message=seq)
        await put_on_record(services.commander, operator, note, "moderator", cause=command)
    basis: Sequence[Basis] = [Basis(stream, message.seq)]
    action = c.DeleteMessage(message=seq)
    return await services.commander.command(
        operator, stream, command, action, basis=basis, rights="moderator"
    )


async def put_on_record(
    commander: Commander,
    operator: str,
    note: c.AnyAction,
    rights: c.Rights,
    *,
    cause: str | None = None,
) -> None:
    """Leave a note in the stream of the one who acts; of one `cause`, a command, only once.

    Raises:
        Problem: it could not be written.
    """
    stream = operator_stream(operator)
    command = (
        commander.identify(operator, stream, None)[1]
        if cause is None
        else command_id(operator, stream, cause)
    )
    await commander.execute(await commander.command(operator, stream, command, note, rights=rights))
