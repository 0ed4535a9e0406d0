"""Cancellations that libraries lose, or that are not meant for those who get them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class BrokenOff(Exception):
    """What was waited for was cancelled, but not by who cancels the one that waits."""


@contextmanager
def own_cancellation() -> Iterator[None]:
    """Be cancelled if this task is, and only then.

    Up to Python 3.11 `asyncio.wait_for` passes over a cancellation that comes just when what it
    waits for is done (CPython gh-86296), and so do the libraries that use it. A task that goes on
    in spite of it is waited for in vain when its process is to end. The other way round, of two
    who wait for one future of a library, one that gives up cancels it for the other, whose task
    would end without a word.

    Raises:
        BrokenOff: a CancelledError came though this task was not cancelled.
    """
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    try:
        yield
    except asyncio.CancelledError as error:
        if task is not None and task.cancelling() == before:
            raise BrokenOff("broken off by somebody else") from error
        raise
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError
