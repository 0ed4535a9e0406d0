"""Work beside which something is done: a process is not to go on without it."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from projections.cancellation import BrokenOff
from workers.core import running


async def failing() -> None:
    raise ValueError


async def broken_off() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def lasting() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(("work", "error"), [(failing, ValueError), (broken_off, BrokenOff)])
async def test_what_fails_ends_the_body(
    work: Callable[[], Coroutine[None, None, None]], error: type[Exception]
) -> None:
    with pytest.raises(ExceptionGroup) as raised:
        async with running(lasting(), work()):
            await asyncio.Event().wait()
    assert raised.group_contains(error)


async def test_what_lasts_ends_with_the_body() -> None:
    async with running(lasting(), lasting()):
        await asyncio.sleep(0)


async def test_what_has_not_begun_is_ended_too() -> None:
    async with running(lasting()):
        pass
