"""Following the partitions that fall to this process, as long as they do."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence

import structlog

from projections.keyring.port import KeyringError
from projections.store.port import StoreError
from workers.log.port import EventLog, LogError

log = structlog.get_logger()

#: Seconds between attempts while the log or the store does not answer.
RETRY = 0.5


async def follow_shares(
    event_log: EventLog,
    work: str,
    begin: Callable[[Sequence[str]], Awaitable[None]],
    follow: Callable[[str], Coroutine[None, None, None]],
) -> None:
    """Until cancelled, have a task that follows each partition of this process's share.

    At every change of the share all tasks end, and `begin` is awaited before those of the new share
    start. It may raise `StoreError`, `KeyringError` or `LogError`, and is tried again.
    """
    async with asyncio.TaskGroup() as group:
        following: list[asyncio.Task[None]] = []
        while True:
            try:
                async with contextlib.aclosing(event_log.shares(work)) as shares:
                    async for share in shares:
                        await _stop(following)
                        await begin(share)
                        following = [group.create_task(follow(one)) for one in share]
            except (LogError, StoreError, KeyringError) as error:
                log.warning("share_waits", work=work, error=str(error))
            await _stop(following)
            await asyncio.sleep(RETRY)


async def _stop(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
