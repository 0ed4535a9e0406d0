"""Where bytes are kept that are too large for the log: uploads, and snapshots of the deciders.

An object has a name, `/` between its parts, and is replaced as a whole or not at all.
"""

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import NamedTuple, Protocol


class ObjectsError(Exception):
    """The store did not do what it was asked; the caller may try again."""


class NoSuchObject(ObjectsError):
    """There is no object of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no object {name}")
        self.name = name


class Stored(NamedTuple):
    """`size` is in bytes; `modified` is the instant it was last put, cut to the second on S3."""

    name: str
    size: int
    modified: str


class Objects(Protocol):
    async def put(self, name: str, content: AsyncIterable[bytes]) -> None:
        """Keep an object, in place of one of the same name, durably on return.

        A few megabytes of it are in memory at a time. What `content` raises is raised, and nothing
        is kept then.
        """

    async def get(self, name: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end`, exclusive (the whole without), in chunks of at most
        1 MiB, read as they are asked for.

        Raises `NoSuchObject` before the first chunk. A chunk raises `ObjectsError` when the object
        has been replaced or deleted meanwhile. A range without bytes is empty.
        """

    async def head(self, name: str) -> Stored:
        """What is known of an object. Raises `NoSuchObject`."""

    async def delete(self, names: Iterable[str]) -> None:
        """Delete these objects; those that are not there, too."""

    def list(self, prefix: str = "") -> AsyncIterator[Stored]:
        """The objects whose names begin with the parts of the prefix, in no order."""
