"""Waiting for what comes true by itself."""

import asyncio
from collections.abc import Awaitable, Callable

PATIENCE = 20.0


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what must come true."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.01)
