"""Commands as many users at once would give them: most right, some refused, some repeated."""

import random

import msgspec

from domain import commands as c
from domain.commands import Command
from domain.ids import chat_stream, user_stream
from domain.instants import from_millis
from tests.contract.log.seat import NOW

USERS = ("ann", "bob", "cid", "dot")
CHATS = ("one", "two", "three")


def random_commands(seed: int, count: int) -> list[Command]:
    dice = random.Random(seed)
    made: list[Command] = []
    for number in range(count):
        if made and dice.random() < 0.1:
            again = dice.choice(made)
            digest = dice.choice([again.digest, "another"])
            made.append(msgspec.structs.replace(again, digest=digest))
            continue
        actor = dice.choice(USERS)
        stream, action = _action(dice, actor)
        late = dice.random() < 0.05
        made.append(
            Command(
                id=f"command-{number}",
                digest=f"digest-{number}",
                stream=stream,
                actor=actor,
                time=from_millis(NOW - late * 100_000 + number),
                action=action,
                rights="operator" if dice.random() < 0.1 else "client",
            )
        )
    return made


def _action(dice: random.Random, actor: str) -> tuple[str, c.AnyAction]:
    chat, message = dice.choice(CHATS), dice.randrange(1, 15)
    if dice.random() < 0.6:
        return chat_stream(chat), dice.choice(_in_chat(dice, message))
    return user_stream(actor), dice.choice(_of_user(dice, chat, message))


def _in_chat(dice: random.Random, message: int) -> list[c.AnyAction]:
    some = tuple(dice.sample(USERS, 3))
    sending: list[c.AnyAction] = [
        c.SendMessage(kind="text", content=f"text {dice.random()}"),
        c.SendMessage(kind="text", content="gone soon", expires_in=60),
        c.SendMessage(kind="text", content="an answer", reply_to=message),
    ]
    return [
        c.CreateChat(kind="group", members=some, admins=some[:2], name="Room"),
        *sending * 3,
        c.EditMessage(message=message, content="other words"),
        c.DeleteMessage(message=message),
        c.React(message=message, emoji=dice.choice(["+", "-", None])),
        c.ChangeChat(name=dice.choice(["Room", "Hall"])),
        c.AddMembers(users=some),
        c.RemoveMember(user=some[0]),
        c.SetRole(user=some[1], role=dice.choice(["admin", "member"])),
    ]


def _of_user(dice: random.Random, chat: str, message: int) -> list[c.AnyAction]:
    return [
        c.PutProfile(name=dice.choice([None, "A name", "Another"])),
        c.PutProfile(name="A name"),
        c.MarkDelivered(chat=chat, up_to=message),
        c.MarkRead(chat=chat, up_to=message),
        c.FileChat(chat=chat, pinned=dice.random() < 0.5),
        c.HideMessage(chat=chat, message=message),
    ]
