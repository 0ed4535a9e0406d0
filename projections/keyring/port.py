"""Where the keys are kept that sealed fields were sealed with.

The keyring is no read model: it can't be rebuilt. A key in it is wrapped by the master key.
Key ids are `users/{id}`, `chats/{id}`, and `messages/{command id}` for what destroys itself.
"""

from collections.abc import Sequence
from typing import Protocol


class KeyringError(Exception):
    """The keyring did not do what it was asked; the caller may try again."""


class Keyring(Protocol):
    async def ensure(self, ids: Sequence[str]) -> dict[str, bytes]:
        """The 32-byte keys of these ids, made where there were none, durable on return.

        An id whose key was destroyed is left out and never gets another. Of two who ensure the
        same id at the same time both get the same key.
        """

    async def get(self, ids: Sequence[str]) -> dict[str, bytes]:
        """The keys that there are."""

    async def destroy(self, ids: Sequence[str]) -> None:
        """Destroy the keys of these ids for good, durable on return; ids without one too."""

    async def close(self) -> None: ...
