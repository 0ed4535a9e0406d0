"""Whoever listens to realtime: what was heard, and what was missed."""

import asyncio
from collections.abc import Callable, Sequence

from projections.realtime.port import Publication, Realtime


class Ear:
    def __init__(self, realtime: Realtime) -> None:
        self.realtime = realtime
        self.heard: list[Publication] = []
        self.mail: list[bytes] = []
        self.interruptions = 0
        self._changed = asyncio.Event()
        realtime.listen(self._hear, self.interrupted)

    def _hear(self, publications: Sequence[Publication]) -> None:
        self.heard += publications
        self._changed.set()

    def take_mail(self, messages: Sequence[bytes]) -> None:
        self.mail += messages
        self._changed.set()

    def interrupted(self) -> None:
        self.interruptions += 1
        self._changed.set()

    def in_channel(self, channel: str) -> list[Publication]:
        return [published for published in self.heard if published.channel == channel]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                self._changed.clear()
                await self._changed.wait()
