"""What every view reads with."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from domain.ids import chat_stream
from projections.fold import Held
from projections.messages import Message
from projections.store.port import Collection, D, Key, ReadStore, Scan
from projections.vault import Opened, Vault


class NotFound(Exception):
    """What was asked for is not there for this user; `code` is the one clients see."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Reading:
    """The instant `now` is the one that the answer holds for: views read no clock."""

    store: ReadStore
    vault: Vault
    now: str

    async def get(self, collection: Collection[D], keys: Iterable[Key]) -> dict[Key, D]:
        """As the store's; nothing asked costs nothing."""
        wanted = list(keys)
        return await self.store.get(collection, wanted) if wanted else {}

    async def scan(self, collection: Collection[D], scans: Sequence[Scan]) -> list[list[D]]:
        return await self.store.scan(collection, scans) if scans else []

    async def count(self, collection: Collection[Any], scans: Sequence[Scan]) -> list[int]:
        return await self.store.count(collection, scans) if scans else []

    async def unlock(self, fields: Iterable[Held | None]) -> None:
        """Have the keys of these fields at hand, until the next await."""
        await self.vault.load(self.vault.key_ids(field.value for field in fields if field))

    def open(self, stream: str, name: str, field: Held | None) -> Opened:
        """The value of a field called `name` that an event of this stream brought."""
        if field is None:
            return Opened(None, erased=False)
        return self.vault.open(stream, field.command, name, field.value)

    def open_in_chat(self, chat: str, name: str, field: Held | None) -> Opened:
        return self.open(chat_stream(chat), name, field)

    def gone(self, message: Message) -> bool:
        """Whether a message was deleted for everyone, or has expired by now."""
        return message.gone or (message.expiring is not None and message.expiring <= self.now)
