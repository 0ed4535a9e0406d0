"""Messages of a chat: sending, editing, deleting, expiring, reactions, and what one may see."""

import pytest

from domain import commands as c
from domain.commands import Rights
from domain.ids import direct_chat_id
from tests.unit.domain.streams import Stream, at
from tests.unit.domain.test_chat import direct, group

HELLO = c.SendMessage(kind="text", content="hello")


def send(chat: Stream, actor: str, **fields: object) -> int:
    """The seq of a message that was just sent."""
    action = {"kind": "text", "content": "hello"} | fields
    chat.writes(c.SendMessage(**action), actor)  # type: ignore[arg-type]  # chosen by the test
    return len(chat.records)


def late_joiner() -> tuple[Stream, int, int]:
    """A chat that shows what came since joining; the messages before and after Dan joined."""
    chat = group(history="since_joined")
    before = send(chat, "ann")
    chat.writes(c.AddMembers(users=("dan",)), "ann")
    return chat, before, send(chat, "ann")


# Sending


def test_a_message_keeps_what_was_sent() -> None:
    chat = group()
    box = {"sealed": "k", "commit": "c", "nonce": "n", "box": "b"}
    action = c.SendMessage(
        kind="image",
        content=box,
        metadata={"media": "m1"},
        media="m1",
        mentions=("cat", "zoe"),
        schedule="s1",
        expires_in=60,
    )
    assert chat.writes(action, "bob", time=at(500)) == [
        (
            "message.sent",
            {
                "ordinal": 1,
                "kind": "image",
                "content": box,
                "metadata": {"media": "m1"},
                "media": "m1",
                "mentions": ["cat", "zoe"],
                "expires_at": at(560),
                "schedule": "s1",
            },
        )
    ]


def test_ordinals_count_messages_only_and_are_told_to_the_sender() -> None:
    chat = group()
    ordinals = []
    for _ in range(3):
        ordinals.append(chat.do(HELLO, "ann").outcome.ordinal)
        chat.do(c.React(message=2, emoji="👍"), "bob")
        chat.do(c.ChangeChat(name="x"), "ann")
        chat.do(c.DeleteMessage(message=2), "ann")
    assert ordinals == [1, 2, 3]
    sent = [data["ordinal"] for name, data in chat.events if name == "message.sent"]
    assert sent == [1, 2, 3]


def test_one_answers_messages_and_nothing_else() -> None:
    chat = group()
    message = send(chat, "ann")
    [(_, data)] = chat.writes(c.SendMessage(kind="text", content="", reply_to=message), "bob")
    assert data["reply_to"] == message
    for other in (1, 0, -1, message + 2):
        answer = c.SendMessage(kind="text", content="", reply_to=other)
        assert chat.refuses(answer, "bob") == "unknown_message"


def test_an_expiring_message_counts_from_the_time_of_its_event() -> None:
    chat = group()
    chat.writes(c.ChangeChat(name="x"), "ann", time=at(100))
    [(_, data)] = chat.writes(
        c.SendMessage(kind="text", content="", expires_in=60), "ann", time=at(50)
    )
    assert data["expires_at"] == at(160)


def test_nobody_sends_to_a_chat_that_is_not_there() -> None:
    nowhere = Stream(f"chats/{direct_chat_id('ann', 'bob')}")
    assert nowhere.refuses(HELLO, "ann") == "chat_not_found"


@pytest.mark.parametrize("rights", ["moderator", "operator", "system"])
def test_special_rights_do_not_make_one_a_member_who_can_send(rights: Rights) -> None:
    assert group().refuses(HELLO, "eve", rights) == "chat_not_found"


# Editing


def test_a_sender_edits_their_message() -> None:
    chat = group()
    message = send(chat, "bob")
    edit = c.EditMessage(message=message, content="hi", mentions=("ann",))
    assert chat.writes(edit, "bob") == [
        ("message.edited", {"message": message, "content": "hi", "mentions": ["ann"]})
    ]


@pytest.mark.parametrize(
    ("actor", "rights"), [("ann", "client"), ("cat", "client"), ("ann", "moderator")]
)
def test_nobody_else_edits_it(actor: str, rights: Rights) -> None:
    chat = group()
    message = send(chat, "bob")
    edit = c.EditMessage(message=message, content="hi")
    assert chat.refuses(edit, actor, rights) == "not_allowed"


@pytest.mark.parametrize("message", [0, 1, 3, -1])
def test_only_messages_are_edited_deleted_and_reacted_to(message: int) -> None:
    chat = group()
    send(chat, "ann")
    edit = c.EditMessage(message=message, content="hi")
    assert chat.refuses(edit, "ann") == "message_not_found"
    assert chat.refuses(c.DeleteMessage(message=message), "ann") == "message_not_found"
    assert chat.refuses(c.React(message=message, emoji="👍"), "ann") == "message_not_found"
    expire = c.ExpireMessage(message=message)
    assert chat.refuses(expire, "system", "system") == "message_not_found"


def test_a_text_stays_a_text_but_a_caption_may_go() -> None:
    chat = group()
    text, image = send(chat, "ann"), send(chat, "ann", kind="image", media="m")
    verdict = chat.do(c.EditMessage(message=text, content="", blank=True), "ann")
    assert (verdict.outcome.code, verdict.outcome.field) == ("invalid_request", "content")
    chat.writes(c.EditMessage(message=image, content="", blank=True), "ann")


# Deleting


@pytest.mark.parametrize(
    ("actor", "rights"),
    [
        ("bob", "client"),
        ("ann", "client"),
        ("cat", "moderator"),
        ("eve", "moderator"),
        ("eve", "operator"),
    ],
)
def test_sender_admin_moderator_and_operator_delete_for_everyone(
    actor: str, rights: Rights
) -> None:
    chat = group()
    message = send(chat, "bob")
    delete = c.DeleteMessage(message=message)
    assert chat.writes(delete, actor, rights) == [("message.deleted", {"message": message})]
    assert chat.leaves(delete, actor, rights)


def test_other_members_do_not() -> None:
    chat = group()
    message = send(chat, "bob")
    assert chat.refuses(c.DeleteMessage(message=message), "cat") == "not_allowed"


def test_in_a_direct_chat_only_the_sender_or_a_moderator_deletes_for_everyone() -> None:
    chat = direct()
    delete = c.DeleteMessage(message=send(chat, "ann"))
    assert chat.refuses(delete, "bob") == "not_allowed"
    chat.writes(delete, "ann")
    chat.writes(c.DeleteMessage(message=send(chat, "ann")), "eve", "moderator")


def test_a_deleted_message_takes_neither_edit_nor_reaction_but_can_be_answered() -> None:
    chat = group()
    message = send(chat, "bob")
    chat.writes(c.React(message=message, emoji="👍"), "bob")
    chat.writes(c.DeleteMessage(message=message), "bob")
    edit = c.EditMessage(message=message, content="x")
    assert chat.refuses(edit, "bob") == "message_deleted"
    assert chat.refuses(edit, "cat") == "not_allowed"
    assert chat.refuses(c.React(message=message, emoji="🎉"), "cat") == "message_deleted"
    assert chat.refuses(c.React(message=message, emoji=None), "bob") == "message_deleted"
    send(chat, "cat", reply_to=message)


# Expiry


def test_an_expired_message_is_gone_from_its_time_on_whether_or_not_the_event_has_come() -> None:
    chat = group()
    chat.writes(c.SendMessage(kind="text", content="", expires_in=60), "bob", time=at(100))
    edit, react = c.EditMessage(message=2, content="x"), c.React(message=2, emoji="👍")
    chat.writes(edit, "bob", time=at(159.999))
    chat.writes(react, "bob", time=at(159.999))
    assert chat.refuses(edit, "bob", time=at(160)) == "message_deleted"
    assert chat.refuses(react, "bob", time=at(160)) == "message_deleted"


def test_a_message_expires_once_and_not_before_its_time() -> None:
    chat = group()
    chat.writes(c.SendMessage(kind="text", content="", expires_in=60), "bob", time=at(100))
    expire = c.ExpireMessage(message=2, key="k1")
    assert chat.refuses(expire, "system", "system", time=at(159.999)) == "not_allowed"
    assert chat.writes(expire, "system", "system", time=at(160)) == [
        ("message.expired", {"message": 2, "key": "k1"})
    ]
    assert chat.leaves(expire, "system", "system", time=at(161))


def test_what_was_deleted_expires_too_so_that_its_key_can_go() -> None:
    chat = group()
    chat.writes(c.SendMessage(kind="text", content="", expires_in=60), "bob", time=at(100))
    chat.writes(c.DeleteMessage(message=2), "bob", time=at(110))
    expire = c.ExpireMessage(message=2, key="k1")
    assert chat.refuses(expire, "system", "system", time=at(159.999)) == "not_allowed"
    assert chat.writes(expire, "system", "system", time=at(160)) == [
        ("message.expired", {"message": 2, "key": "k1"})
    ]
    assert chat.leaves(expire, "system", "system", time=at(161))


def test_what_has_expired_can_not_be_deleted_any_more() -> None:
    chat = group()
    chat.writes(c.SendMessage(kind="text", content="", expires_in=60), "bob", time=at(100))
    delete = c.DeleteMessage(message=2)
    assert chat.leaves(delete, "bob", time=at(160))
    chat.writes(c.ExpireMessage(message=2), "system", "system", time=at(161))
    assert chat.leaves(delete, "bob", time=at(162))


def test_a_message_without_an_end_does_not_expire() -> None:
    chat = group()
    expire = c.ExpireMessage(message=send(chat, "bob"))
    assert chat.refuses(expire, "system", "system") == "not_allowed"


def test_whether_a_message_has_expired_goes_by_the_commands_time() -> None:
    chat = group()
    chat.writes(c.SendMessage(kind="text", content="", expires_in=60), "bob", time=at(100))
    chat.writes(c.ChangeChat(name="x"), "ann", time=at(200))
    expire = c.ExpireMessage(message=2)
    assert chat.refuses(expire, "system", "system", time=at(159)) == "not_allowed"


def test_expiring_is_the_systems_business() -> None:
    chat = group()
    chat.writes(c.SendMessage(kind="text", content="", expires_in=60), "bob", time=at(100))
    expire = c.ExpireMessage(message=2, key="someone else's key")
    assert chat.refuses(expire, "bob", time=at(500)) == "not_allowed"


# Reactions


def test_a_user_has_one_reaction_to_a_message() -> None:
    chat = group()
    message = send(chat, "ann")

    def react(emoji: str | None) -> c.React:
        return c.React(message=message, emoji=emoji)

    assert chat.leaves(react(None), "bob")
    assert chat.writes(react("👍"), "bob") == [
        ("reaction.set", {"message": message, "emoji": "👍"})
    ]
    assert chat.leaves(react("👍"), "bob")
    assert chat.writes(react("🎉"), "bob") == [
        ("reaction.set", {"message": message, "emoji": "🎉"})
    ]
    chat.writes(react("🎉"), "cat")
    assert chat.writes(react(None), "bob") == [
        ("reaction.cleared", {"message": message, "emoji": "🎉"})
    ]
    assert chat.leaves(react(None), "bob")
    assert chat.leaves(react("🎉"), "cat")


# What one may see under `since_joined`


def test_what_is_older_than_ones_joining_is_not_there() -> None:
    chat, before, after = late_joiner()
    assert chat.refuses(c.React(message=before, emoji="👍"), "dan") == "message_not_found"
    assert chat.refuses(c.EditMessage(message=before, content=""), "dan") == "message_not_found"
    assert chat.refuses(c.DeleteMessage(message=before), "dan") == "message_not_found"
    answer = c.SendMessage(kind="text", content="", reply_to=before)
    assert chat.refuses(answer, "dan") == "unknown_message"
    chat.writes(c.React(message=after, emoji="👍"), "dan")
    send(chat, "dan", reply_to=after)
    chat.writes(c.React(message=before, emoji="👍"), "bob")


def test_the_latest_joining_counts() -> None:
    chat, _, after = late_joiner()
    mine = send(chat, "dan")
    chat.writes(c.RemoveMember(user="dan"), "dan")
    chat.writes(c.AddMembers(users=("dan",)), "ann")
    assert chat.refuses(c.React(message=after, emoji="👍"), "dan") == "message_not_found"
    edit = c.EditMessage(message=mine, content="x")
    assert chat.refuses(edit, "dan") == "message_not_found"


def test_an_admin_is_no_exception_but_a_moderator_is() -> None:
    chat, before, _ = late_joiner()
    chat.writes(c.SetRole(user="dan", role="admin"), "ann")
    delete = c.DeleteMessage(message=before)
    assert chat.refuses(delete, "dan") == "message_not_found"
    assert chat.writes(delete, "dan", "moderator") == [("message.deleted", {"message": before})]


def test_with_all_of_the_history_a_newcomer_reacts_to_the_old() -> None:
    chat = group()
    before = send(chat, "ann")
    chat.writes(c.AddMembers(users=("dan",)), "ann")
    chat.writes(c.React(message=before, emoji="👍"), "dan")
    send(chat, "dan", reply_to=before)
