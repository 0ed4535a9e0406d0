"""The log as auditors read it: one stream at a time."""

from typing import Protocol

from domain.envelope import Envelope, decode


class RecordError(Exception):
    """The log can't be read here."""


class Record(Protocol):
    async def read_stream(self, stream: str, after: int, limit: int) -> list[bytes]:
        """The records of a stream after a seq, byte for byte.

        Raises:
            RecordError: the log did not answer.
        """


def read(record: bytes) -> Envelope:
    """The envelope of a record.

    Raises:
        RecordError: the record was changed so that it is none any more.
    """
    try:
        return decode(record)
    except ValueError as error:
        raise RecordError("a record can't be read") from error
