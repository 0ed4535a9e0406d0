"""Turns each event into the frame that members see, and publishes it once."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import structlog

from domain import events as e
from domain.catalogue import decode_data, sealed_values
from domain.envelope import Envelope
from domain.ids import chat_stream, split_stream, user_stream
from projections.feed import redact
from projections.fold import Held
from projections.keyring.port import KeyringError
from projections.messages import MESSAGES, message_of
from projections.profiles import PROFILES
from projections.realtime.port import Publication, Realtime, RealtimeError
from projections.store.port import Batch, ReadStore, StoreError
from projections.vault import Vault
from projections.views.circles import circles
from workers.following import Follower
from workers.log.port import EventLog, LogError
from workers.metrics import Metrics
from workers.shares import RETRY, follow_shares

log = structlog.get_logger()

BATCH = 256
#: Seconds between checkpoints: what is published twice is shown once.
CHECKPOINT = 1.0
#: Before the name of a partition, in the checkpoints of the read store.
CHECKPOINTS = "fanout:"

#: A message by the source of its event and its seq.
_Place = tuple[str, int]

_encode = msgspec.json.Encoder().encode


class _Audience(NamedTuple):
    """The channels in which a profile is told, and its fields as the read model shows them."""

    channels: list[str]
    shown: Mapping[str, Held | None]


class Fanout:
    """Publishes every event at least once, each partition from its checkpoint on."""

    def __init__(
        self,
        event_log: EventLog,
        realtime: Realtime,
        store: ReadStore,
        vault: Vault,
        clock: Callable[[], str],
        *,
        anew: bool,
        metrics: Metrics | None = None,
    ) -> None:
        """`anew` says that nobody can have been connected before: it begins at the log's end."""
        self._log = event_log.reader()
        self._realtime = realtime
        self._store = store
        self._vault = vault
        self._clock = clock
        self._anew = anew
        self._at: dict[str, int] = {}
        self._follower = Follower("fanout", "published", metrics or Metrics())

    async def run(self) -> None:
        """Publish until cancelled."""
        await follow_shares(self._log, "fanout", self._begin, self._follow)

    async def _begin(self, share: Sequence[str]) -> None:
        self._follower.share(share)
        if self._anew:
            self._at = {partition: self._log.end(partition) for partition in share}
            return
        ends = await self._log.ends()
        known = await self._store.checkpoints()
        self._at = {p: known.get(CHECKPOINTS + p, ends[p]) for p in share}
        # From here on nothing is passed over, whenever this process ends.
        await self._keep(self._at)

    async def _keep(self, reached: Mapping[str, int]) -> None:
        await self._store.write(Batch([], {CHECKPOINTS + p: at for p, at in reached.items()}))

    async def _follow(self, partition: str) -> None:
        at = self._at[partition]
        kept_at = time.monotonic()
        while True:
            try:
                await self._log.wait(partition, at)
                batch = await self._log.read(partition, at, BATCH)
                with self._follower.batch(batch) as events:
                    await self._realtime.publish(await self.frames(events))
                at = batch.end
                if time.monotonic() - kept_at >= CHECKPOINT:
                    kept_at = time.monotonic()
                    await self._keep({partition: at})
            except (LogError, StoreError, KeyringError, RealtimeError) as error:
                log.warning("fanout_waits", partition=partition, error=str(error))
                await asyncio.sleep(RETRY)

    async def frames(self, events: Sequence[Envelope]) -> list[Publication]:
        """What these events have to tell, in their order."""
        decoded: list[tuple[Envelope, e.Event]] = []
        keys: set[str] = set()
        for envelope in events:
            try:
                data = decode_data(envelope)
            except (ValueError, KeyError):
                # The projector makes a dead letter of it; clients find the stream stale.
                log.error("event_not_published", stream=envelope.stream, seq=envelope.seq)
                continue
            decoded.append((envelope, data))
            keys |= self._vault.key_ids(sealed_values(data, envelope.type).values())
        audiences = await self._audiences(decoded)
        ends = await self._ends(decoded)
        for audience in audiences.values():
            keys |= self._vault.key_ids(field.value for field in audience.shown.values() if field)
        # From here on nothing is awaited: what is loaded stays loaded.
        await self._vault.load(keys)
        now = self._clock()
        gone = {place for place, end in ends.items() if end <= now}
        gone |= {
            (envelope.source, data.message)
            for envelope, data in decoded
            if isinstance(data, e.MessageDeleted | e.MessageExpired)
        }
        published: list[Publication] = []
        for envelope, data in decoded:
            event = self._event(envelope, data, gone)
            published.append(event)
            published += [_membership(event, user) for user in event.touches]
            if isinstance(data, e.ChatRead | e.ChatDelivered):
                published.append(_receipt(envelope, data))
            elif isinstance(data, e.UserChanged):
                published += self._profiles(envelope, data, audiences)
        return published

    def _event(self, envelope: Envelope, data: e.Event, gone: set[_Place]) -> Publication:
        in_chat = envelope.source.startswith("/chats/")
        about = message_of(data) if in_chat else None
        sent = data if isinstance(data, e.MessageSent) else None
        hidden = data if isinstance(data, e.MessageHidden) else None
        frame, redacted = self._shown(envelope, data), None
        if isinstance(data, e.MessageDeleted | e.MessageExpired):
            about = None
        elif about is not None or sent is not None:
            redacted = _frame(envelope, redact(envelope.data), redacted=True)
            if (envelope.source, about or envelope.seq) in gone:
                frame = redacted
        return Publication(
            channel=envelope.stream,
            kind="event",
            frame=frame,
            redacted=redacted,
            seq=envelope.seq,
            type=envelope.type,
            message=hidden.message if hidden is not None else about,
            chat=hidden.chat if hidden is not None else "",
            touches=_touched(data) if in_chat else (),
            command=envelope.commandid,
            digest=envelope.commanddigest,
            time=envelope.time,
            ordinal=sent.ordinal if sent is not None else None,
            traceparent=envelope.traceparent or "",
        )

    def _shown(self, envelope: Envelope, data: e.Event) -> bytes:
        sealed = sealed_values(data, envelope.type)
        if not sealed:
            return _frame(envelope, envelope.data)
        fields: dict[str, Any] = msgspec.json.decode(envelope.data)
        for field, value in sealed.items():
            if field in fields:
                opened = self._vault.open(envelope.stream, envelope.commandid, field, value)
                fields[field] = opened.value
                if opened.erased:
                    fields["erased"] = True
        return _frame(envelope, fields)

    async def _ends(self, decoded: Sequence[tuple[Envelope, e.Event]]) -> dict[_Place, str]:
        """When the messages that events are about end, of those that do."""
        ends: dict[_Place, str] = {}
        older: dict[_Place, None] = {}
        for envelope, data in decoded:
            if isinstance(data, e.MessageSent):
                if data.expires_at is not None:
                    ends[envelope.source, envelope.seq] = data.expires_at
            elif isinstance(data, e.MessageEdited | e.ReactionSet | e.ReactionCleared):
                older[envelope.source, data.message] = None
        if older:
            keys = [(split_stream(source[1:])[1], message) for source, message in older]
            for document in (await self._store.get(MESSAGES, keys)).values():
                if document.expires_at is not None:
                    source = f"/{chat_stream(document.chat)}"
                    ends[source, document.message] = document.expires_at
        return ends

    async def _audiences(self, decoded: Sequence[tuple[Envelope, e.Event]]) -> dict[str, _Audience]:
        """Who is told of a changed profile, by the user's stream."""
        streams = [envelope.stream for envelope, data in decoded if isinstance(data, e.UserChanged)]
        if not streams:
            return {}
        users = [split_stream(stream)[1] for stream in streams]
        channels = await circles(self._store, users)
        profiles = await self._store.get(PROFILES, [(user,) for user in users])
        audiences = {}
        for stream, user in zip(streams, users, strict=True):
            profile = profiles.get((user,))
            audiences[stream] = _Audience(
                channels[user],
                {"name": profile.name, "avatar": profile.avatar} if profile else {},
            )
        return audiences

    def _profiles(
        self, envelope: Envelope, data: e.UserChanged, audiences: Mapping[str, _Audience]
    ) -> list[Publication]:
        changed = sealed_values(data, envelope.type)
        if not changed.keys() & {"name", "avatar"}:
            return []
        audience = audiences[envelope.stream]
        user = split_stream(envelope.stream)[1]
        fields: dict[str, Any] = {"op": "profile", "user": user}
        for field in ("name", "avatar"):
            held = audience.shown.get(field)
            if field in changed:
                held = Held(changed[field], envelope.commandid)
            fields[field] = (
                self._vault.open(envelope.stream, held.command, field, held.value).value
                if held is not None
                else None
            )
        frame = _encode(fields)
        return [
            Publication(channel=channel, kind="profile", frame=frame, user=user, seq=envelope.seq)
            for channel in audience.channels
        ]


def _frame(
    envelope: Envelope, data: msgspec.Raw | dict[str, Any], *, redacted: bool = False
) -> bytes:
    frame = {
        "op": "event",
        "stream": envelope.stream,
        "seq": envelope.seq,
        "type": envelope.type,
        "time": envelope.time,
        "actor": envelope.actor,
        "command": envelope.commandid,
        "data": data,
    }
    if redacted:
        frame["redacted"] = True
    return _encode(frame)


def _membership(event: Publication, user: str) -> Publication:
    """Whoever has the user's connections may not be listening to the chat yet."""
    return Publication(
        channel=user_stream(user),
        kind="membership",
        seq=event.seq,
        type=event.type,
        chat=split_stream(event.channel)[1],
    )


def _receipt(envelope: Envelope, data: e.ChatRead | e.ChatDelivered) -> Publication:
    user = split_stream(envelope.stream)[1]
    read = isinstance(data, e.ChatRead)
    up_to = "read_up_to" if read else "delivered_up_to"
    return Publication(
        channel=chat_stream(data.chat),
        kind="receipt",
        frame=_encode({"op": "receipt", "chat": data.chat, "user": user, up_to: data.up_to}),
        type="read" if read else "delivered",
        user=user,
        up_to=data.up_to,
    )


def _touched(data: e.Event) -> tuple[str, ...]:
    match data:
        case e.ChatCreated():
            return tuple(data.members)
        case e.MemberAdded() | e.MemberRemoved():
            return (data.user,)
    return ()
