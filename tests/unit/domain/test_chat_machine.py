"""Many users act on one chat at random; every answer must be that of the brute-force reader."""

import hashlib
import json
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from domain import commands as c
from domain import decider
from domain.catalogue import decode_data
from domain.commands import Action, Command, Outcome, Rights
from domain.envelope import decode
from domain.state import HEAD, Part
from tests.unit.domain.brute_force import Answer, Asker, ChatReader
from tests.unit.domain.streams import Stream, at, events_of

NAMES = ["ann", "bob", "cat", "dan", "eve"]
USERS = st.sampled_from(NAMES)
# Resolved by the machine to someone, or something, that mostly is there.
ACTORS = PLACES = st.integers(0, 999)


class ChatMachine(RuleBasedStateMachine):
    """`Stream` itself checks that the needed parts lead to the same verdict as the whole state."""

    def __init__(self) -> None:
        super().__init__()
        self.stream = Stream("chats/g")
        self.log: list[dict[str, Any]] = []
        self.decided: list[tuple[Command, Outcome]] = []
        self.clock = 0

    def act(self, action: Action, actor: str, rights: Rights = "client") -> None:
        last = self.log[-1]["time"]
        now = max(at(self.clock), last)
        expected = ChatReader(self.log).answer(action, Asker(actor, rights, now))
        # The scheduler's clock is taken to be right: it asks for nothing before its time.
        time = now if rights == "system" else at(self.clock)
        self.compare(self.stream.command(action, actor, rights, time=time), expected)

    def compare(self, command: Command, expected: Answer) -> None:
        verdict = self.stream.handle(command)
        outcome = verdict.outcome
        answer = Answer(outcome.status, events_of(verdict.records), outcome.code)
        assert answer == expected
        self.log += [json.loads(record.value) for record in verdict.records]
        if verdict.kept:
            self.decided.append((command, outcome))
        assert outcome.seq == len(self.log)

    @initialize(
        kind=st.sampled_from(["direct", "group", "group", "group"]),
        history=st.sampled_from(["all", "since_joined"]),
        others=st.lists(USERS.filter(lambda name: name != "ann"), min_size=1, unique=True),
    )
    def create(self, kind: Any, history: Any, others: list[str]) -> None:
        members = ("ann", *(others if kind == "group" else others[:1]))
        action = c.CreateChat(kind=kind, members=members, history=history)
        verdict = self.stream.do(action, "ann", time=at(0))
        self.log = [json.loads(record.value) for record in verdict.records]
        assert [event["type"] for event in self.log] == ["chat.created"]
        assert self.log[0]["data"]["members"] == list(members)
        assert self.log[0]["data"]["admins"] == (["ann"] if kind == "group" else [])

    @rule(seconds=st.integers(-5, 40))
    def time_passes(self, seconds: int) -> None:
        self.clock = max(0, self.clock + seconds)

    def member(self, pick: int) -> str:
        """A member, or one time in six anyone."""
        members = ChatReader(self.log).members()
        return (members if pick % 6 and members else NAMES)[pick // 6 % (len(members) or 5)]

    def place(self, pick: int) -> int:
        """The seq of one of the newest messages, or one time in six any place."""
        sent = [event["seq"] for event in self.log if event["type"] == "message.sent"][-4:]
        return int(sent[pick // 6 % len(sent)]) if pick % 6 and sent else pick % 60

    @rule(actor=ACTORS, name=st.sampled_from(["Lunch", None]))
    def change(self, actor: int, name: str | None) -> None:
        self.act(c.ChangeChat(name=name), self.member(actor))

    @rule(actor=ACTORS, users=st.lists(USERS, max_size=3).map(tuple))
    def add(self, actor: int, users: tuple[str, ...]) -> None:
        self.act(c.AddMembers(users=users), self.member(actor))

    @rule(actor=ACTORS, user=USERS)
    def remove(self, actor: int, user: str) -> None:
        self.act(c.RemoveMember(user=user), self.member(actor))

    @rule(user=ACTORS)
    def leave(self, user: int) -> None:
        self.act(c.RemoveMember(user=self.member(user)), self.member(user))

    @rule(actor=ACTORS, user=ACTORS, role=st.sampled_from(["admin", "member"]))
    def set_role(self, actor: int, user: int, role: Any) -> None:
        self.act(c.SetRole(user=self.member(user), role=role), self.member(actor))

    @rule(actor=ACTORS, kind=st.sampled_from(["text", "image"]))
    def send(self, actor: int, kind: Any) -> None:
        self.act(c.SendMessage(kind=kind, content="hi"), self.member(actor))

    @rule(actor=ACTORS, expires_in=st.integers(1, 60))
    def send_for_a_while(self, actor: int, expires_in: int) -> None:
        action = c.SendMessage(kind="text", content="hush", expires_in=expires_in)
        self.act(action, self.member(actor))

    @rule(actor=ACTORS, reply_to=PLACES)
    def reply(self, actor: int, reply_to: int) -> None:
        action = c.SendMessage(kind="text", content="yes", reply_to=self.place(reply_to))
        self.act(action, self.member(actor))

    @rule(actor=ACTORS, message=PLACES, blank=st.booleans())
    def edit(self, actor: int, message: int, blank: bool) -> None:
        action = c.EditMessage(message=self.place(message), content="hello", blank=blank)
        self.act(action, self.member(actor))

    @rule(actor=ACTORS, message=PLACES)
    def delete(self, actor: int, message: int) -> None:
        self.act(c.DeleteMessage(message=self.place(message)), self.member(actor))

    @rule(actor=ACTORS, message=PLACES, emoji=st.sampled_from(["👍", "🎉", None]))
    def react(self, actor: int, message: int, emoji: str | None) -> None:
        self.act(c.React(message=self.place(message), emoji=emoji), self.member(actor))

    @rule(message=PLACES)
    def expire(self, message: int) -> None:
        self.act(c.ExpireMessage(message=self.place(message)), "system", "system")

    @rule(message=PLACES, rights=st.sampled_from(["moderator", "operator"]))
    def remove_message(self, message: int, rights: Rights) -> None:
        self.act(c.DeleteMessage(message=self.place(message)), "olga", rights)

    @rule(user=USERS, adding=st.booleans())
    @precondition(lambda self: len(ChatReader(self.log).members()) > 0)
    def operate(self, user: str, adding: bool) -> None:
        action = c.AddMembers(users=(user,)) if adding else c.RemoveMember(user=user)
        self.act(action, "olga", "operator")

    @precondition(lambda self: len(self.decided) > 0)
    @rule(which=st.integers(0), honest=st.booleans())
    def repeat(self, which: int, honest: bool) -> None:
        command, outcome = self.decided[which % len(self.decided)]
        if not honest:
            command = msgspec.structs.replace(command, digest="other")
        verdict = self.stream.handle(command)
        assert not verdict.records
        assert not verdict.kept
        if honest:
            assert verdict.outcome == outcome
        else:
            assert verdict.outcome.code == "idempotency_key_reused"

    def teardown(self) -> None:
        before = self.stream.name.encode()
        last = ""
        folded: dict[str, Part] = {}
        for place, record in enumerate(self.stream.records, 1):
            envelope = decode(record.value)
            assert envelope.seq == place
            assert envelope.prev == hashlib.sha256(before).hexdigest()
            assert envelope.time >= last
            before, last = record.value, envelope.time
            folded |= decider.evolve(
                folded, envelope.stream, decode_data(envelope), envelope.seq, envelope
            )
        # What was kept from command to command is what the record alone says.
        head = {HEAD: self.stream.state[HEAD]} if self.stream.records else {}
        assert folded | head == self.stream.state


ChatMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestChat = ChatMachine.TestCase
