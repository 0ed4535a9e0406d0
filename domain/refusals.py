"""Why a command is turned down: stable codes, the same for REST, frames and outcomes."""

import msgspec


class Refusal(msgspec.Struct, frozen=True, omit_defaults=True):
    """A command that will not happen; `field` names the part of it that is at fault."""

    code: str
    detail: str
    field: str | None = None


class Unchanged(msgspec.Struct, frozen=True):
    """A command that was right and changes nothing."""


UNCHANGED = Unchanged()

CHAT_NOT_FOUND = Refusal("chat_not_found", "There is no such chat for you.")
MESSAGE_NOT_FOUND = Refusal("message_not_found", "There is no such message in this chat.")
MESSAGE_DELETED = Refusal("message_deleted", "This message was deleted.")
UNKNOWN_MESSAGE = Refusal("unknown_message", "That names no message of this chat.")
DIRECT_CHAT = Refusal("direct_chat", "A direct chat has two members, no admins and no name.")
GROUP_FULL = Refusal("group_full", "A group has at most 1,024 members.")
NOT_REGISTERED = Refusal("not_registered", "Register first, with PUT /v1/me.")
SUSPENDED = Refusal("suspended", "This account is suspended.")
USER_ERASED = Refusal("user_erased", "This account was erased.")
USER_NOT_FOUND = Refusal("user_not_found", "There is no such member of this chat.")
NO_SUCH_USER = Refusal("user_not_found", "There is no such user.")
SCHEDULE_NOT_FOUND = Refusal("schedule_not_found", "You have no such scheduled message.")
SCHEDULE_CLAIMED = Refusal("schedule_claimed", "This message is being sent, or was sent.")
DUE_IN_PAST = Refusal("due_in_past", "The time for sending has passed.", "scheduled_for")
KEY_REUSED = Refusal("idempotency_key_reused", "This idempotency key was used for another request.")
TOO_LATE = Refusal("too_late", "The command waited too long. Send it again.")
INTERNAL_ERROR = Refusal("internal_error", "The command could not be carried out.")


def not_allowed(detail: str) -> Refusal:
    return Refusal("not_allowed", detail)


def invalid(field: str, detail: str) -> Refusal:
    return Refusal("invalid_request", detail, field)
