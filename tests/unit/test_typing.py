"""Who types is told seldom, and stops by itself."""

import asyncio

import msgspec

from gateway.ws.typing import MAX_MEMBERS, TypingRelay
from projections.realtime.port import Publication
from tests.unit.skipped_time import run


class Told:
    """What the relay passes on, with the second of each."""

    def __init__(self) -> None:
        self.relay = TypingRelay(self._publish)
        self.publications: list[tuple[float, Publication]] = []

    async def _publish(self, publication: Publication) -> None:
        self.publications.append((asyncio.get_running_loop().time(), publication))

    async def types(
        self, on: bool = True, *, user: str = "ann", chat: str = "room", members: int = 2
    ) -> None:
        await self.relay.typing(user, chat, on, members)

    @property
    def at(self) -> list[tuple[float, bool]]:
        return [
            (round(second, 3), msgspec.json.decode(publication.frame)["on"])
            for second, publication in self.publications
        ]


def test_it_says_who_where() -> None:
    async def main() -> None:
        told = Told()
        await told.types()
        [(_, publication)] = told.publications
        assert (publication.channel, publication.kind, publication.user) == (
            "chats/room",
            "typing",
            "ann",
        )
        assert msgspec.json.decode(publication.frame) == {
            "op": "typing",
            "chat": "room",
            "user": "ann",
            "on": True,
        }

    run(main())


def test_it_is_told_again_after_three_seconds_and_not_before() -> None:
    async def main() -> None:
        told = Told()
        for _ in range(8):
            await told.types()
            await asyncio.sleep(1)
        assert told.at == [(0, True), (3, True), (6, True)]

    run(main())


def test_it_stops_six_seconds_after_the_last_word() -> None:
    async def main() -> None:
        told = Told()
        for _ in range(3):
            await told.types()
            await asyncio.sleep(1)
        await asyncio.sleep(60)
        assert told.at == [(0, True), (8, False)]
        await told.types()
        assert told.at[2:] == [(63, True)]

    run(main())


def test_who_says_so_stops_at_once_and_once() -> None:
    async def main() -> None:
        told = Told()
        await told.types(False)
        await told.types()
        await asyncio.sleep(4)
        await told.types(False)
        await told.types(False)
        await asyncio.sleep(60)
        assert told.at == [(0, True), (4, False)]

    run(main())


def test_places_are_apart() -> None:
    async def main() -> None:
        told = Told()
        await told.types()
        await told.types(chat="other")
        await told.types(user="bob")
        await told.types(False, user="bob")
        assert [(p.user, p.channel) for _, p in told.publications] == [
            ("ann", "chats/room"),
            ("ann", "chats/other"),
            ("bob", "chats/room"),
            ("bob", "chats/room"),
        ]

    run(main())


def test_large_groups_are_not_told() -> None:
    async def main() -> None:
        told = Told()
        await told.types(members=MAX_MEMBERS)
        await told.types(user="bob", members=MAX_MEMBERS + 1)
        await asyncio.sleep(60)
        assert {publication.user for _, publication in told.publications} == {"ann"}

    run(main())
