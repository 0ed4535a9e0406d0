"""The log as auditors read it: one stream at a time."""

from typing import Protocol


class Record(Protocol):
    async def read_stream(self, stream: str, after: int, limit: int) -> list[bytes]:
        """The records of a stream after a seq, byte for byte."""
