"""Many users act on several chats at random; every answer must be the brute-force reader's."""

import asyncio
import json
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar, cast

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from domain import commands as c
from domain.envelope import Basis, Envelope, encode
from domain.ids import chat_stream, direct_chat_id, group_id, schedule_id, user_stream
from domain.state import ROSTER, Roster, Schedule, schedule_part
from projections.views import notifications
from tests.contract.views.agreement import all_agrees
from tests.contract.views.brute_force import BruteForce
from tests.contract.views.brute_log import Event
from tests.contract.views.world import Logged, World, instant

USERS = ("ann", "bob", "cat", "dan", "eve")
WORDS = (
    *("red", "reed", "reef", "blue", "bluff", "Reed,", "http://reef.example/red"),
    *("Straße", "STRASSE", "😀 cafe\u0301", "İĞNE"),
)
# What happens, the commonest things named more often.
ACTS = (
    *("send", "mark", "come_and_go") * 4,
    *("schedule", "fire", "fire") * 2,
    *("change_schedule", "cancel_schedule"),
    *("hide", "react", "delete", "edit", "expire") * 2,
    *(
        "file",
        "notice",
        "block",
        "add",
        "remove",
        "set_role",
        "change_chat",
        "change_profile",
        "note_import",
    ),
    *("make_group", "make_direct", "time_passes", "fold", "fold_again", "erase"),
)
PICK = st.integers(0, 999)
T = TypeVar("T")


class Readers(RuleBasedStateMachine):
    """An act takes four numbers, which it turns into something that mostly is there: a chat, who
    acts, upon what or whom, and how."""

    def __init__(self, store_url: str) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.erased: set[str] = set()
        self.events: list[Event] = []
        folder = Path(self.folder.name)
        self.world = self.wait(World.open(folder, store_url))

    def teardown(self) -> None:
        for user in USERS:
            self.wait(self.agree(user, 3))
        self.wait(self.world.close())
        self.loop.close()
        self.folder.cleanup()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    @initialize()
    def begin(self) -> None:
        self.wait(self.world.register(*USERS))
        self.wait(self.world.group(group_id("all"), "ann", "bob", "cat"))
        self.wait(self.world.group(group_id("joined"), "ann", "bob", history="since_joined"))
        for user in USERS[:2]:
            upload = c.UploadMedia(
                media=f"of-{user}",
                name=f"{user}.png",
                mime="image/png",
                size=7,
                sha256="0",
                width=3,
            )
            self.wait(self.world.to_self(user, upload))

    @rule(
        acts=st.lists(
            st.tuples(st.sampled_from(ACTS), PICK, PICK, PICK, PICK), min_size=10, max_size=40
        )
    )
    def happen(self, acts: list[tuple[str, int, int, int, int]]) -> None:
        for act, chat, *numbers in acts:
            made = [s.split("/")[1] for s in self.world.states if s.startswith("chats/")]
            self.wait(getattr(self, act)(made[chat % len(made)], *numbers))

    @rule(user=st.sampled_from(USERS), limit=st.integers(1, 4))
    def check(self, user: str, limit: int) -> None:
        self.wait(self.agree(user, limit))

    # What there is to act on

    def user(self, who: int) -> str:
        """Someone whose key is still there."""
        able = [user for user in USERS if user not in self.erased]
        return able[who % len(able)]

    def member(self, chat: str, who: int) -> str:
        """A member, or one time in ten anyone."""
        roster = self.world.states[chat_stream(chat)][ROSTER]
        assert isinstance(roster, Roster)
        able = [user for user in roster.members if user not in self.erased]
        return able[who % len(able)] if able and who % 10 else self.user(who)

    def message(self, chat: str, which: int) -> int:
        """One of the newest messages, or one time in ten any place."""
        events = self.world.events_of(chat_stream(chat))
        sent = [event.seq for event in events if event.type == "message.sent"]
        if which % 10 == 0 or not sent:
            return which // 10 % len(events) + 1
        return sent[-1 - which % min(len(sent), 7)]

    def sender(self, chat: str, message: int) -> str:
        sender = self.world.events_of(chat_stream(chat))[message - 1].actor
        return "ann" if sender in self.erased else sender

    async def do(self, chat: str, user: str, action: c.AnyAction, **more: Any) -> None:
        if user not in self.erased:
            await self.world.do(user, chat_stream(chat), action, **more)

    async def do_alone(self, user: str, action: c.AnyAction, **more: Any) -> None:
        if user not in self.erased:
            await self.world.do(user, user_stream(user), action, **more)

    # Chats and who is in them

    async def make_group(self, _: str, who: int, count: int, how: int) -> None:
        number = len(self.world.states)
        if number < 11:
            chat = group_id(str(number))
            action = c.CreateChat(
                kind="group",
                members=tuple(USERS[(who + n) % 5] for n in range(count % 5 + 1)),
                name="group",
                history="since_joined" if how % 2 else "all",
            )
            await self.do(chat, self.user(who), action, key=chat_stream(chat))

    async def make_direct(self, _: str, who: int, whom: int, __: int) -> None:
        pair = (USERS[who % 5], USERS[whom % 5])
        action = c.CreateChat(kind="direct", members=pair)
        await self.do(direct_chat_id(*pair), self.user(who), action)

    async def add(self, chat: str, who: int, whom: int, count: int) -> None:
        users = tuple(USERS[(whom + n) % 5] for n in range(count % 3 + 1))
        await self.do(chat, self.member(chat, who), c.AddMembers(users=users))

    async def remove(self, chat: str, who: int, whom: int, _: int) -> None:
        action = c.RemoveMember(user=self.member(chat, whom))
        await self.do(chat, self.member(chat, who), action)

    async def come_and_go(self, chat: str, who: int, _: int, __: int) -> None:
        roster = self.world.states[chat_stream(chat)][ROSTER]
        assert isinstance(roster, Roster)
        user = self.user(who)
        if user in roster.members:
            await self.do(chat, user, c.RemoveMember(user=user))
        else:
            await self.do(chat, "root", c.AddMembers(users=(user,)), rights="operator")

    async def set_role(self, chat: str, who: int, whom: int, how: int) -> None:
        role: Any = "admin" if how % 2 else "member"
        action = c.SetRole(user=self.member(chat, whom), role=role)
        await self.do(chat, self.member(chat, who), action)

    async def change_chat(self, chat: str, who: int, _: int, how: int) -> None:
        actions = (
            c.ChangeChat(name="new name", avatar="of-ann"),
            c.ChangeChat(name=None),
            c.ChangeChat(description="about"),
        )
        await self.do(chat, self.member(chat, who), actions[how % 3], key=chat_stream(chat))

    # Messages

    async def send(self, chat: str, who: int, what: int, how: int) -> None:
        kind: Any = ("text", "text", "text", "image", "location")[what % 5]
        expires_in = (None, None, None, 3, 20)[how % 5]
        action = c.SendMessage(
            kind=kind,
            content=self.words(what, how),
            metadata={"location": {"lat": 1.5, "lng": 2}} if kind == "location" else None,
            media=f"of-{USERS[how % 2]}" if kind == "image" else None,
            reply_to=self.message(chat, what) if how % 3 == 0 else None,
            mentions=(USERS[how % 5],),
            expires_in=expires_in,
            schedule=f"schedule-{len(self.world.log)}" if how % 4 == 0 else None,
        )
        key = None if expires_in is None else f"messages/{len(self.world.log)}"
        await self.do(chat, self.member(chat, who), action, key=key)

    def words(self, what: int, how: int) -> str:
        return " ".join(WORDS[(what + n * how) % len(WORDS)] for n in range(what % 4))

    async def edit(self, chat: str, who: int, what: int, how: int) -> None:
        message = self.message(chat, what)
        user = self.sender(chat, message) if who % 10 else self.user(who)
        mentions = (USERS[how % 5],)
        content = self.words(how, who)
        action = c.EditMessage(message=message, content=content, mentions=mentions)
        await self.do(chat, user, action)

    async def delete(self, chat: str, who: int, what: int, how: int) -> None:
        message = self.message(chat, what)
        user = self.sender(chat, message) if who % 3 else self.member(chat, who)
        rights: Any = ("client", "client", "client", "moderator")[how % 4]
        await self.do(chat, user, c.DeleteMessage(message=message), rights=rights)

    async def expire(self, chat: str, _: int, what: int, __: int) -> None:
        for message in {self.message(chat, what + n) for n in range(9)}:
            action = c.ExpireMessage(message=message, key="messages/1")
            await self.do(chat, "system", action, rights="system")

    async def react(self, chat: str, who: int, what: int, how: int) -> None:
        action = c.React(message=self.message(chat, what), emoji=("+1", "-1", None)[how % 3])
        await self.do(chat, self.member(chat, who), action)

    # Scheduled messages

    async def schedule(self, chat: str, who: int, what: int, how: int) -> None:
        number = len(self.world.log)
        expires_in = (None, None, 3)[how % 3]
        action = c.ScheduleMessage(
            schedule=schedule_id(str(number)),
            chat=chat,
            due=instant(self.world.seconds + (0.001, 1, 5, 30)[how % 4]),
            kind="text",
            content=self.words(what, how),
            metadata={"a": how} if how % 2 else None,
            reply_to=self.message(chat, what) if how % 5 == 0 else None,
            mentions=(USERS[how % 5],),
            expires_in=expires_in,
        )
        key = None if expires_in is None else f"messages/{number}"
        await self.do_alone(self.member(chat, who), action, key=key)

    def scheduled(self, which: int) -> Envelope | None:
        made = [e for e in self.world.log if e.type == "message.scheduled"]
        return made[-1 - which % min(len(made), 5)] if made else None

    async def change_schedule(self, _: str, who: int, what: int, how: int) -> None:
        made = self.scheduled(who)
        if made is None:
            return
        data = json.loads(bytes(made.data))
        change: dict[str, Any] = (
            {"content": self.words(what, how)},
            {"due": instant(self.world.seconds + how % 9)},
            {"mentions": (USERS[how % 5],)},
        )[what % 3]
        action = c.ChangeSchedule(schedule=data["schedule"], **change)
        await self.do_alone(made.actor, action, key=data["content"]["sealed"])

    async def cancel_schedule(self, _: str, who: int, __: int, ___: int) -> None:
        if (made := self.scheduled(who)) is not None:
            schedule = json.loads(bytes(made.data))["schedule"]
            await self.do_alone(made.actor, c.CancelSchedule(schedule=schedule))

    async def fire(self, _: str, who: int, what: int, how: int) -> None:
        """The next step of a schedule."""
        if (made := self.scheduled(who)) is None:
            return
        data = json.loads(bytes(made.data))
        id, stream = data["schedule"], made.stream
        schedule = self.world.states[stream][schedule_part(id)]
        assert isinstance(schedule, Schedule)
        action: c.AnyAction = c.ClaimSchedule(schedule=id, due=schedule.due)
        if schedule.status == "claimed":
            action = c.FireSchedule(schedule=id, refusal="chat_not_found")
            if made.actor not in self.erased:
                message = c.SendMessage(
                    kind=data["kind"],
                    content=self.words(what, how),
                    mentions=tuple(data["mentions"]),
                    expires_in=data.get("expires_in"),
                    schedule=id,
                )
                sent = await self.world.do(
                    made.actor,
                    chat_stream(data["chat"]),
                    message,
                    rights="system",
                    key=data["content"]["sealed"],
                )
                if sent.status == "accepted":
                    action = c.FireSchedule(schedule=id, seq=sent.seq)
        await self.world.do("system", stream, action, rights="system")

    # What a user does alone, and what happens by itself

    async def mark(self, chat: str, who: int, what: int, how: int) -> None:
        mark = c.MarkRead if how % 2 else c.MarkDelivered
        action = mark(chat=chat, up_to=self.message(chat, what))
        stream = chat_stream(chat)
        seen = Basis(stream, self.world.head(stream) - what % 3)
        await self.do_alone(self.member(chat, who), action, basis=[seen])

    async def notice(self, _: str, who: int, which: int, __: int) -> None:
        """A user has read what they were told of up to one of the rows."""
        user = self.user(who)
        rows = (await notifications.page(await self.world.reading(), user)).items
        if rows:
            action = c.ReadNotifications(up_to=rows[which % len(rows)].id)
            await self.do_alone(user, action)

    async def block(self, _: str, who: int, whom: int, how: int) -> None:
        action = c.BlockUser if how % 2 else c.UnblockUser
        await self.do_alone(self.user(who), action(user=USERS[whom % 5]))

    async def hide(self, chat: str, who: int, what: int, _: int) -> None:
        action = c.HideMessage(chat=chat, message=self.message(chat, what))
        await self.do_alone(self.member(chat, who), action)

    async def file(self, chat: str, who: int, what: int, how: int) -> None:
        on = how % 3 > 0
        actions = (
            c.FileChat(chat=chat, pinned=on),
            c.FileChat(chat=chat, archived=on),
            c.FileChat(chat=chat, muted_until=instant(self.world.seconds + 9) if on else None),
        )
        stream = chat_stream(chat)
        basis = [Basis(stream=stream, seq=self.world.head(stream))]
        await self.do_alone(self.member(chat, who), actions[what % 3], basis=basis)

    async def change_profile(self, _: str, who: int, __: int, ___: int) -> None:
        await self.do_alone(self.user(who), c.PutProfile(name="new name"))

    async def note_import(self, _: str, __: int, ___: int, ____: int) -> None:
        action = c.NoteImport(source="file", lines={"message": 1})
        await self.world.do("root", "operators/root", action, rights="operator")

    async def erase(self, _: str, who: int, __: int, ___: int) -> None:
        """One user's key is destroyed, after a while."""
        if len(self.world.log) > 80 and not self.erased:
            self.erased.add(USERS[who % 5])
            await self.world.destroy(user_stream(USERS[who % 5]))

    async def fold(self, _: str, __: int, ___: int, most: int) -> None:
        await self.world.fold(most % 7 + 1)

    async def fold_again(self, _: str, __: int, back: int, length: int) -> None:
        """A batch comes once more, as after a crash."""
        start = max(0, self.world.folded - back % 30)
        batch = self.world.log[start : self.world.folded][: length % 30]
        await self.world.engine.apply(Logged("events", start + len(batch), batch))

    async def time_passes(self, _: str, __: int, ___: int, how: int) -> None:
        self.world.seconds += (0.001, 1, 5, 30)[how % 4]

    # What everyone sees

    async def agree(self, user: str, limit: int) -> None:
        new = self.world.log[len(self.events) :]
        self.events += [Event(encode(envelope)) for envelope in new]
        keys = await self.world.keyring.get(list(self.world.key_ids))
        brute = BruteForce(self.events, keys, self.world.now)
        reading = await self.world.reading()
        await all_agrees(reading, brute, user, limit)


def test_readers_agree(new_store_url: Callable[[], str]) -> None:
    # Questions to a server take some ten times as long.
    examples = 25 if new_store_url().startswith("sqlite:") else 3
    run_state_machine_as_test(
        cast(Any, lambda: Readers(new_store_url())),
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
