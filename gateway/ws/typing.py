"""Who is typing: told at most so often, and it stops by itself."""

import asyncio
from collections.abc import Awaitable, Callable

from domain.ids import chat_stream
from gateway.ws.frames import TypingShown, encode
from projections.realtime.port import Publication

#: Seconds between two tellings of one user in one chat, and until typing stops by itself.
APART = 3.0
LASTS = 6.0
#: In groups above this size nobody is told.
MAX_MEMBERS = 200

#: (user, chat)
Place = tuple[str, str]


class TypingRelay:
    def __init__(self, publish: Callable[[Publication], Awaitable[None]]) -> None:
        self._publish = publish
        self._recent: set[Place] = set()
        self._stops: dict[Place, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def typing(self, user: str, chat: str, on: bool, members_count: int) -> None:
        """Pass on that a member of the chat types, or has stopped."""
        place = (user, chat)
        if members_count > MAX_MEMBERS:
            return
        if not on:
            await self._stop(place)
            return
        loop = asyncio.get_running_loop()
        stop = self._stops.pop(place, None)
        if stop is not None:
            stop.cancel()
        self._stops[place] = loop.call_later(LASTS, self._stop_by_itself, place)
        if place not in self._recent:
            self._recent.add(place)
            loop.call_later(APART, self._recent.discard, place)
            await self._tell(place, True)

    def _stop_by_itself(self, place: Place) -> None:
        task = asyncio.get_running_loop().create_task(self._stop(place))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _stop(self, place: Place) -> None:
        stop = self._stops.pop(place, None)
        if stop is not None:
            stop.cancel()
            await self._tell(place, False)

    async def _tell(self, place: Place, on: bool) -> None:
        user, chat = place
        frame = encode(TypingShown(chat, user, on))
        await self._publish(
            Publication(channel=chat_stream(chat), kind="typing", frame=frame, user=user)
        )
