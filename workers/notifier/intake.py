"""Reads events and notes down whom they are to be told to."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import NamedTuple

import msgspec

from domain import events as e
from domain import instants
from domain.catalogue import decode_data
from domain.envelope import Envelope
from domain.ids import split_stream
from domain.notifications import wants
from projections.chats import CHATS
from projections.devices import Attention
from projections.notifications import NOTIFICATIONS, Notification
from projections.outbox import PUSHES, ROUNDS, Push, Round
from projections.progress import Progress, Stale
from projections.store.port import Scan
from projections.views.notifications import attention
from projections.views.reading import Reading
from workers.log.port import LogBatch
from workers.notifier.digests import Digests
from workers.notifier.queue import Queue
from workers.notifier.told import MAX_AGE, push_of
from workers.notifier.verifications import Verifications

#: A chat's members are looked at as often as this many members a second, and no more.
MEMBERS_PER_SECOND = 50
#: Seconds to wait for the read models at once.
PATIENCE = 2.0

CHECKPOINTS = "notifier:"


class News(NamedTuple):
    """What a batch has to tell of: chats with the seqs of its events there, the newest message of
    each, and users who may have a new address."""

    chats: Mapping[str, Set[int]]
    newest: Mapping[str, int]
    addressed: Sequence[str]


class Intake:
    def __init__(
        self,
        queue: Queue,
        progress: Progress,
        reading: Callable[[], Reading],
        digests: Digests,
        verifications: Verifications,
        push_delay: int,
    ) -> None:
        """`push_delay` is how many seconds there are to read a thing before it is told."""
        self._queue = queue
        self._progress = progress
        self._reading = reading
        self._digests = digests
        self._verifications = verifications
        self._push_delay = push_delay

    async def take(self, batch: LogBatch) -> None:
        """Note down what a batch asks for, with its checkpoint.

        Raises:
            Behind: the read models do not hold it yet.
            StoreError: it was not noted down; the same batch may be taken again.
        """
        events = await self._seen(batch.events)
        news = _news(events)
        reading = self._reading()
        rows = await self._rows(reading, news)
        known = await attention(reading, {row.user for row in rows})
        await self._digests.want(
            [row.user for row in rows if wants(known[row.user].preferences, row.kind, "email")],
            batch.partition,
        )
        await self._verifications.want(news.addressed, batch.partition)
        rounds = await self._rounds(reading, batch.partition, news.newest)
        await self._queue.write(
            {PUSHES: self._pushes(rows, known, batch.partition), ROUNDS: rounds},
            {CHECKPOINTS + batch.partition: batch.end},
        )

    async def _seen(self, events: Sequence[Envelope]) -> list[Envelope]:
        """The events that are new, once the read models hold them; none of streams that stand
        still."""
        earliest = instants.later(self._queue.clock(), -MAX_AGE)
        recent = [one for one in events if one.time > earliest and one.type in _TELLING]
        while True:
            heads: dict[str, int] = {}
            for one in recent:
                if one.stream not in self._progress.stale:
                    heads[one.stream] = max(one.seq, heads.get(one.stream, 0))
            try:
                await self._progress.wait(heads, PATIENCE)
            except Stale:
                continue
            return [one for one in recent if one.stream in heads]

    async def _rows(self, reading: Reading, news: News) -> list[Notification]:
        scans = [
            Scan((chat,), along="by_event", above=min(seqs) - 1, below=max(seqs) + 1)
            for chat, seqs in news.chats.items()
        ]
        found = await reading.scan(NOTIFICATIONS, scans)
        return [row for answer in found for row in answer if row.event in news.chats[row.chat]]

    def _pushes(
        self, rows: Iterable[Notification], known: Mapping[str, Attention], partition: str
    ) -> list[Push]:
        due = instants.later(self._queue.clock(), self._push_delay)
        return [
            push_of(row, device, partition, due)
            for row in rows
            if wants(known[row.user].preferences, row.kind, "push")
            for device in known[row.user].devices
        ]

    async def _rounds(
        self, reading: Reading, partition: str, newest: Mapping[str, int]
    ) -> list[Round]:
        known = await reading.get(ROUNDS, [(chat,) for chat in newest])
        chats = await reading.get(CHATS, [(chat,) for chat in newest])
        soon = instants.later(self._queue.clock(), self._push_delay)
        rounds = []
        for chat, event in newest.items():
            last = known.get((chat,)) or Round(
                seq=0, chat=chat, partition=partition, event=0, due="", waiting=False
            )
            due = last.due
            if not last.waiting:
                pause = chats[chat,].members_count // MEMBERS_PER_SECOND
                due = max(soon, instants.later(last.done_at, pause)) if last.done_at else soon
            rounds.append(
                msgspec.structs.replace(
                    last, seq=2 * event, event=event, due=due, waiting=True, partition=partition
                )
            )
        return rounds


_TELLING = frozenset(
    (
        "message.sent",
        "reaction.set",
        "member.added",
        "chat.created",
        "user.registered",
        "user.changed",
    )
)


def _news(events: Iterable[Envelope]) -> News:
    chats: dict[str, set[int]] = {}
    newest: dict[str, int] = {}
    addressed: dict[str, None] = {}
    for envelope in events:
        category, id = split_stream(envelope.stream)
        if category == "chats":
            chats.setdefault(id, set()).add(envelope.seq)
            if envelope.type == "message.sent":
                newest[id] = envelope.seq
        else:
            data = decode_data(envelope)
            if isinstance(data, e.UserRegistered | e.UserChanged) and data.email:
                addressed[id] = None
    return News(chats, newest, list(addressed))
