"""A small world: commands are sealed and decided as they come, and folded into a read store."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from domain import commands as c
from domain import decider
from domain.commands import Outcome
from domain.envelope import Basis, Envelope
from domain.ids import chat_stream, user_stream
from domain.state import HEAD, Head, Part
from projections.catalogue import COLLECTIONS
from projections.engine import Engine
from projections.keyring import Keyring, open_keyring
from projections.progress import Progress
from projections.store import open_store
from projections.store.port import ReadStore
from projections.vault import Vault
from projections.views.reading import Reading

START = datetime(2024, 5, 1, tzinfo=UTC)
SEALED = (
    "content",
    "metadata",
    "name",
    "description",
    "email",
    "avatar",
    "sha256",
    "reason",
    "subscription",
)


def instant(seconds: float) -> str:
    """The instant so long after the start of the world."""
    return (START + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")[:23] + "Z"


def plain(answer: Any) -> Any:
    """An answer as a client reads it."""
    return json.loads(msgspec.json.encode(answer))


class Logged(NamedTuple):
    """A batch of the log, as the engine takes it."""

    partition: str
    end: int
    events: Sequence[Envelope]
    outcomes: Sequence[Outcome] = ()


class World:
    """Time stands still but for `seconds` being raised."""

    def __init__(self, store: ReadStore, keyring: Keyring) -> None:
        self.store = store
        self.keyring = keyring
        self.vault = Vault(keyring)
        self.engine = Engine(store, self.vault, Progress(store))
        self.states: dict[str, dict[str, Part]] = {}
        self.log: list[Envelope] = []
        self.folded = 0
        self.seconds = 0.0
        self.key_ids: set[str] = set()
        self._commands = 0

    @staticmethod
    async def open(folder: Path, url: str) -> "World":
        keyring = await open_keyring(f"sqlite:///{folder}/keys.db", bytes(32))
        return World(await open_store(url, COLLECTIONS), keyring)

    async def close(self) -> None:
        await self.store.close()
        await self.keyring.close()

    @property
    def now(self) -> str:
        return instant(self.seconds)

    async def reading(self) -> Reading:
        """What the views read with, once all that has happened is folded."""
        await self.fold()
        return Reading(self.store, self.vault, self.now)

    async def fold(self, most: int = 500) -> None:
        """Fold what is new, in batches."""
        while self.folded < len(self.log):
            batch = self.log[self.folded : self.folded + most]
            self.folded += len(batch)
            await self.engine.apply(Logged("events", self.folded, batch))
        assert not self.engine.stale

    async def do(
        self,
        user: str,
        stream: str,
        action: c.AnyAction,
        *,
        rights: c.Rights = "client",
        basis: Sequence[Basis] = (),
        key: str | None = None,
    ) -> Outcome:
        """Carry out a command, sealed under the key of the user unless another is named."""
        self._commands += 1
        command = f"command-{self._commands}"
        key = key or user_stream(user)
        await self.vault.ensure([key])
        self.key_ids.add(key)
        values = {name: getattr(action, name) for name in SEALED if hasattr(action, name)}
        sealed = self.vault.seal(key, stream, command, values)
        state = self.states.get(stream, {})
        verdict = decider.handle(
            state,
            None,
            c.Command(
                id=command,
                digest="digest",
                stream=stream,
                actor=user,
                time=self.now,
                action=msgspec.structs.replace(action, **sealed),
                rights=rights,
                basis=tuple(basis),
            ),
        )
        if verdict.records:
            self.states[stream] = state | dict(verdict.changes)
        self.log += [record.envelope for record in verdict.records]
        return verdict.outcome

    async def to_chat(self, user: str, chat: str, action: c.AnyAction, **more: Any) -> int:
        """Carry out a command on a chat that must be accepted; the seq of its last event."""
        outcome = await self.do(user, chat_stream(chat), action, **more)
        assert outcome.status == "accepted", outcome
        return outcome.seq

    async def to_self(self, user: str, action: c.AnyAction, **more: Any) -> int:
        outcome = await self.do(user, user_stream(user), action, **more)
        assert outcome.status == "accepted", outcome
        return outcome.seq

    def events_of(self, stream: str) -> list[Envelope]:
        return [envelope for envelope in self.log if envelope.stream == stream]

    def head(self, stream: str) -> int:
        head = self.states.get(stream, {}).get(HEAD)
        return head.seq if isinstance(head, Head) else 0

    # The commonest things to do, in a word each.

    async def register(self, *users: str) -> None:
        for user in users:
            action = c.PutProfile(name=user.title(), email=f"{user}@example.org")
            await self.to_self(user, action)

    async def direct(self, chat: str, one: str, other: str) -> None:
        await self.to_chat(one, chat, c.CreateChat(kind="direct", members=(one, other)))

    async def group(self, chat: str, *members: str, **more: Any) -> None:
        action = c.CreateChat(kind="group", members=members, name=f"The {chat}", **more)
        await self.to_chat(members[0], chat, action, key=chat_stream(chat))

    async def say(
        self, user: str, chat: str, content: str, *, key: str | None = None, **more: Any
    ) -> int:
        action = c.SendMessage(kind="text", content=content, **more)
        return await self.to_chat(user, chat, action, key=key)

    async def delete(self, user: str, chat: str, message: int) -> int:
        return await self.to_chat(user, chat, c.DeleteMessage(message=message))

    async def react(self, user: str, chat: str, message: int, emoji: str | None) -> int:
        return await self.to_chat(user, chat, c.React(message=message, emoji=emoji))

    async def add(self, user: str, chat: str, *users: str) -> int:
        return await self.to_chat(user, chat, c.AddMembers(users=users))

    async def leave(self, user: str, chat: str) -> int:
        return await self.to_chat(user, chat, c.RemoveMember(user=user))

    async def read(self, user: str, chat: str, up_to: int) -> None:
        await self.to_self(user, c.MarkRead(chat=chat, up_to=up_to))

    async def receive(self, user: str, chat: str, up_to: int) -> None:
        await self.to_self(user, c.MarkDelivered(chat=chat, up_to=up_to))

    async def hide(self, user: str, chat: str, message: int) -> None:
        await self.to_self(user, c.HideMessage(chat=chat, message=message))

    async def file(self, user: str, chat: str, **filing: Any) -> None:
        """File a chat, having seen all of it so far."""
        stream = chat_stream(chat)
        basis = [Basis(stream=stream, seq=self.head(stream))]
        await self.to_self(user, c.FileChat(chat=chat, **filing), basis=basis)

    async def destroy(self, *keys: str) -> None:
        await self.keyring.destroy(keys)
        self.vault.forget(keys)
