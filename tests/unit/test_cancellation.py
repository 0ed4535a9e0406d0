"""Cancellations that come at the worst moment, or to the wrong one."""

import asyncio

import pytest

from projections.cancellation import BrokenOff, own_cancellation


async def cancelled_as_it_is_done(*, fails: bool = False) -> "asyncio.Task[None]":
    """A task that was cancelled in the turn of the loop in which what it waits for was done."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        with own_cancellation():
            await asyncio.wait_for(done, 60)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    if fails:
        done.set_exception(RuntimeError)
    else:
        done.set_result(None)
    task.cancel()
    await asyncio.wait([task])
    return task


async def test_it_is_kept() -> None:
    assert (await cancelled_as_it_is_done()).cancelled()


async def test_it_is_kept_when_the_work_fails() -> None:
    assert (await cancelled_as_it_is_done(fails=True)).cancelled()


async def test_that_of_another_is_an_error() -> None:
    shared: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    shared.cancel()
    with pytest.raises(BrokenOff), own_cancellation():
        await shared


async def test_a_timeout_within_is_none() -> None:
    with own_cancellation(), pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await asyncio.sleep(60)


async def test_a_timeout_around_it_is_a_timeout() -> None:
    async def work() -> None:
        with own_cancellation():
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await work()
