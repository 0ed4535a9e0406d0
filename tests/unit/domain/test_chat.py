"""A chat and its members: making, changing, joining, leaving, roles."""

from collections.abc import Callable

import pytest

from domain import commands as c
from tests.unit.domain.streams import Stream

GROUP = c.CreateChat(kind="group", members=("ann", "bob", "cat"), name="Lunch")


def group(**changed: object) -> Stream:
    """Ann is the admin; Bob and Cat are members."""
    chat = Stream("chats/g")
    action = {"kind": "group", "members": ("ann", "bob", "cat"), "history": "all"} | changed
    chat.do(c.CreateChat(**action), "ann")  # type: ignore[arg-type]  # fields chosen by the test
    return chat


def direct() -> Stream:
    chat = Stream("chats/d")
    chat.do(c.CreateChat(kind="direct", members=("ann", "bob")), "ann")
    return chat


def admins(chat: Stream) -> set[str]:
    """Read from the record alone."""
    found: set[str] = set()
    for name, data in chat.events:
        match name:
            case "chat.created":
                found |= set(data["admins"])
            case "member.promoted":
                found.add(data["user"])
            case "member.demoted" | "member.removed":
                found.discard(data["user"])
    return found


# Making


def test_a_group_is_made_with_its_maker_as_admin() -> None:
    [(name, data)] = Stream("chats/g").writes(GROUP, "bob")
    assert name == "chat.created"
    assert (data["kind"], data["name"]) == ("group", "Lunch")
    assert (data["members"], data["admins"]) == (["ann", "bob", "cat"], ["bob"])


def test_the_record_always_says_which_history_a_chat_shows() -> None:
    assert group().events[0][1]["history"] == "all"
    assert group(history="since_joined").events[0][1]["history"] == "since_joined"


def test_members_and_admins_named_twice_count_once() -> None:
    chat = group(members=("ann", "bob", "ann"), admins=("bob", "bob", "zoe"))
    _, data = chat.events[0]
    assert (data["members"], data["admins"]) == (["ann", "bob"], ["bob"])


def test_an_imported_group_without_admins_has_its_first_member_as_admin() -> None:
    chat = Stream("chats/g")
    [(_, data)] = chat.writes(GROUP, "operator", "operator")
    assert data["admins"] == ["ann"]


def test_a_group_needs_a_member() -> None:
    chat = Stream("chats/g")
    empty = c.CreateChat(kind="group", members=())
    assert chat.refuses(empty, "operator", "operator") == "invalid_request"


def test_a_group_has_at_most_1024_members() -> None:
    members = tuple(f"u{n}" for n in range(1025))
    full = Stream("chats/g")
    full.writes(c.CreateChat(kind="group", members=members[:1024]), "u0")
    assert full.refuses(c.AddMembers(users=("u1024",)), "u0") == "group_full"
    assert full.leaves(c.AddMembers(users=("u1", "u2")), "u0")
    full.writes(c.RemoveMember(user="u5"), "u0")
    assert full.refuses(c.AddMembers(users=("u1024", "u5")), "u0") == "group_full"
    full.writes(c.AddMembers(users=("u1024",)), "u0")
    too_many = c.CreateChat(kind="group", members=members)
    assert Stream("chats/h").refuses(too_many, "u0") == "group_full"


def test_a_direct_chat_has_two_members_and_neither_admins_nor_a_name() -> None:
    chat = Stream("chats/d")
    action = c.CreateChat(
        kind="direct",
        members=("bob", "ann"),
        admins=("bob",),
        name="Us",
        description="two",
        avatar="m",
        history="since_joined",
    )
    [(_, data)] = chat.writes(action, "bob")
    assert data.pop("history", "all") == "all"
    assert data == {"kind": "direct", "members": ["bob", "ann"], "admins": []}


@pytest.mark.parametrize("members", [("ann",), ("ann", "ann"), ("ann", "bob", "cat"), ()])
def test_a_direct_chat_is_between_two_different_users(members: tuple[str, ...]) -> None:
    chat = Stream("chats/d")
    verdict = chat.do(c.CreateChat(kind="direct", members=members), "ann")
    assert (verdict.outcome.code, verdict.outcome.field) == ("invalid_request", "members")


def test_making_a_direct_chat_again_changes_nothing() -> None:
    chat = direct()
    assert chat.leaves(c.CreateChat(kind="direct", members=("bob", "ann")), "bob")


# Outsiders


EVERY_ACTION = [
    c.ChangeChat(name="x"),
    c.AddMembers(users=("eve",)),
    c.RemoveMember(user="ann"),
    c.RemoveMember(user="eve"),
    c.SetRole(user="bob", role="admin"),
    c.SendMessage(kind="text", content="hi"),
    c.SendMessage(kind="text", content="hi", reply_to=2),
    c.EditMessage(message=2, content="x"),
    c.EditMessage(message=99, content="x"),
    c.DeleteMessage(message=2),
    c.ExpireMessage(message=2),
    c.React(message=2, emoji="👍"),
]


@pytest.mark.parametrize("action", EVERY_ACTION, ids=repr)
@pytest.mark.parametrize("make", [group, direct])
def test_outsiders_learn_nothing(make: Callable[[], Stream], action: c.Action) -> None:
    there, nowhere = make(), Stream(make().name)
    there.do(c.SendMessage(kind="text", content="secret"), "ann")
    command = there.command(action, "eve")
    met, missed = there.handle(command).outcome, nowhere.handle(command).outcome
    assert (met.status, met.code) == ("refused", "chat_not_found")
    assert (met.status, met.code, met.detail, met.field) == (
        missed.status,
        missed.code,
        missed.detail,
        missed.field,
    )


@pytest.mark.parametrize("action", EVERY_ACTION, ids=repr)
def test_who_was_removed_is_an_outsider(action: c.Action) -> None:
    chat = group()
    chat.do(c.SendMessage(kind="text", content="mine"), "bob")
    chat.do(c.RemoveMember(user="bob"), "ann")
    assert chat.refuses(action, "bob") == "chat_not_found"


@pytest.mark.parametrize(
    "action", [action for action in EVERY_ACTION if not isinstance(action, c.DeleteMessage)]
)
def test_a_moderator_from_outside_may_delete_and_nothing_else(action: c.Action) -> None:
    chat = group()
    chat.do(c.SendMessage(kind="text", content="mine"), "bob")
    chat.do(c.RemoveMember(user="bob"), "ann")
    verdict = chat.do(action, "bob", "moderator")
    assert verdict.outcome.status == "refused", verdict.records


@pytest.mark.parametrize(
    "action",
    [
        c.PutProfile(name="Ann"),
        c.HideMessage(chat="g", message=2),
        c.MarkRead(chat="g", up_to=2),
        c.NoteImport(source="f", lines={}),
    ],
)
def test_what_belongs_to_another_stream_is_refused(action: c.Action) -> None:
    chat = group()
    chat.do(c.SendMessage(kind="text", content="hi"), "ann")
    assert chat.refuses(action, "ann") == "invalid_request"


# Changing


def test_admins_change_name_description_and_avatar() -> None:
    chat = group()
    assert chat.writes(c.ChangeChat(name="Tea", description="4 pm"), "ann") == [
        ("chat.changed", {"name": "Tea", "description": "4 pm"})
    ]
    assert chat.writes(c.ChangeChat(avatar=None), "ann") == [("chat.changed", {"avatar": None})]


def test_a_change_of_nothing_changes_nothing() -> None:
    assert group().leaves(c.ChangeChat(), "ann")


ADMINS_ACTIONS = [
    c.ChangeChat(name="x"),
    c.AddMembers(users=("dan",)),
    c.RemoveMember(user="cat"),
    c.RemoveMember(user="nobody"),
    c.SetRole(user="cat", role="admin"),
    c.SetRole(user="bob", role="admin"),
]


@pytest.mark.parametrize("action", ADMINS_ACTIONS, ids=repr)
def test_only_admins_change_a_group(action: c.Action) -> None:
    assert group().refuses(action, "bob") == "not_allowed"


@pytest.mark.parametrize("action", [*ADMINS_ACTIONS, c.RemoveMember(user="ann")], ids=repr)
@pytest.mark.parametrize("actor", ["ann", "bob"])
def test_a_direct_chat_stays_as_it_is(actor: str, action: c.Action) -> None:
    assert direct().refuses(action, actor) == "direct_chat"


# Joining and leaving


def test_each_new_member_is_an_event_of_its_own() -> None:
    chat = group()
    assert chat.writes(c.AddMembers(users=("dan", "bob", "eve", "dan")), "ann") == [
        ("member.added", {"user": "dan"}),
        ("member.added", {"user": "eve"}),
    ]
    assert chat.leaves(c.AddMembers(users=("dan", "eve")), "ann")
    assert chat.leaves(c.AddMembers(users=()), "ann")
    chat.writes(c.SendMessage(kind="text", content="hello"), "eve")


def test_removing_and_leaving_are_told_apart() -> None:
    chat = group()
    assert chat.writes(c.RemoveMember(user="cat"), "ann") == [
        ("member.removed", {"user": "cat", "removed": "removed"})
    ]
    assert chat.writes(c.RemoveMember(user="bob"), "bob") == [
        ("member.removed", {"user": "bob", "removed": "left"})
    ]
    assert chat.refuses(c.RemoveMember(user="cat"), "ann") == "user_not_found"


def test_who_comes_back_is_a_plain_member() -> None:
    chat = group(admins=("ann", "bob"))
    chat.writes(c.RemoveMember(user="bob"), "bob")
    chat.writes(c.AddMembers(users=("bob",)), "ann")
    assert chat.refuses(c.ChangeChat(name="x"), "bob") == "not_allowed"


def test_the_last_admins_leaving_promotes_the_longest_standing_member() -> None:
    chat = group()
    chat.writes(c.AddMembers(users=("dan",)), "ann")
    chat.writes(c.RemoveMember(user="bob"), "bob")
    chat.writes(c.AddMembers(users=("bob",)), "ann")
    assert chat.writes(c.RemoveMember(user="ann"), "ann") == [
        ("member.removed", {"user": "ann", "removed": "left"}),
        ("member.promoted", {"user": "cat"}),
    ]
    assert chat.writes(c.RemoveMember(user="cat"), "cat")[1:] == [
        ("member.promoted", {"user": "dan"})
    ]
    assert chat.writes(c.RemoveMember(user="dan"), "dan")[1:] == [
        ("member.promoted", {"user": "bob"})
    ]


def test_an_operators_removal_of_the_last_admin_promotes_too() -> None:
    assert group().writes(c.RemoveMember(user="ann"), "operator", "operator") == [
        ("member.removed", {"user": "ann", "removed": "removed"}),
        ("member.promoted", {"user": "bob"}),
    ]


def test_nobody_is_promoted_while_an_admin_stays() -> None:
    chat = group(admins=("ann", "cat"))
    assert len(chat.writes(c.RemoveMember(user="ann"), "ann")) == 1


def test_the_last_member_may_leave_and_the_chat_is_then_gone_for_all() -> None:
    chat = group(members=("ann",))
    assert chat.writes(c.RemoveMember(user="ann"), "ann") == [
        ("member.removed", {"user": "ann", "removed": "left"})
    ]
    assert chat.refuses(c.AddMembers(users=("ann",)), "ann") == "chat_not_found"


# Roles


def test_admins_promote_and_demote() -> None:
    chat = group()
    assert chat.writes(c.SetRole(user="bob", role="admin"), "ann") == [
        ("member.promoted", {"user": "bob"})
    ]
    assert chat.leaves(c.SetRole(user="bob", role="admin"), "ann")
    assert chat.writes(c.SetRole(user="ann", role="member"), "bob") == [
        ("member.demoted", {"user": "ann"})
    ]
    assert chat.leaves(c.SetRole(user="cat", role="member"), "bob")
    assert chat.refuses(c.SetRole(user="zoe", role="admin"), "bob") == "user_not_found"


def test_a_group_keeps_an_admin() -> None:
    chat = group()
    assert chat.refuses(c.SetRole(user="ann", role="member"), "ann") == "not_allowed"
    chat.writes(c.SetRole(user="bob", role="admin"), "ann")
    chat.writes(c.SetRole(user="ann", role="member"), "ann")
    assert admins(chat) == {"bob"}


def test_promoting_and_demoting_keep_the_time_of_joining() -> None:
    chat = group()
    chat.writes(c.SetRole(user="cat", role="admin"), "ann")
    chat.writes(c.SetRole(user="cat", role="member"), "ann")
    chat.writes(c.RemoveMember(user="bob"), "bob")
    chat.writes(c.AddMembers(users=("bob",)), "ann")
    assert chat.writes(c.RemoveMember(user="ann"), "ann")[1:] == [
        ("member.promoted", {"user": "cat"})
    ]
