"""Sends push messages that are due, each after a last look at whether it should still be sent."""

import asyncio
import base64
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec
import structlog

from domain import commands as c
from domain import instants
from domain.ids import user_stream
from domain.notifications import fingerprint
from gateway.commander import Commander
from gateway.problems import Problem
from projections.devices import DEVICES, Device
from projections.fold import Held
from projections.messages import MESSAGES
from projections.notifications import NOTIFICATIONS, Notification
from projections.outbox import PUSHES, Push
from projections.views.notifications import of_message, row_id
from projections.views.reading import Reading
from workers.notifier.channel import Sent
from workers.notifier.queue import Queue
from workers.notifier.told import MAX_AGE, of, still
from workers.notifier.webpush import WebPush
from workers.notifier.wording import Line, lines

log = structlog.get_logger()

#: What is sent at once.
BATCH = 128

_PushKey = tuple[str, int, str, str]


class Pushes:
    def __init__(
        self,
        queue: Queue,
        reading: Callable[[], Reading],
        commander: Commander,
        web_push: WebPush,
        counts: Counter[tuple[str, str]],
        *,
        content: bool,
    ) -> None:
        """`content` says whether names and text may be sent."""
        self._queue = queue
        self._reading = reading
        self._commander = commander
        self._web_push = web_push
        self._counts = counts
        self._content = content

    async def carry_out(self, partition: str) -> None:
        """Send what is due."""
        while found := await self._queue.due(PUSHES, partition, BATCH):
            taken = await self._queue.take(PUSHES, found)
            reading = self._reading()
            rows = await self._still(reading, taken)
            devices = await reading.get(DEVICES, [(push.user, push.device) for push in taken])
            said = dict(
                zip(
                    rows,
                    await lines(reading, list(rows.values()), content=self._content),
                    strict=True,
                )
            )
            await reading.unlock(device.subscription for device in devices.values())
            subscriptions = {
                key: reading.open(user_stream(device.user), "subscription", device.subscription)
                for key, device in devices.items()
            }
            async with asyncio.TaskGroup() as group:
                for push in taken:
                    row = rows.get(_key(push))
                    device = devices.get((push.user, push.device))
                    subscription = (
                        subscriptions[push.user, push.device].value if device is not None else None
                    )
                    if row is None or device is None or subscription is None:
                        group.create_task(self._end(push, "passed_over"))
                    else:
                        group.create_task(
                            self._send(push, device, subscription, row, said[_key(push)])
                        )

    async def _still(
        self, reading: Reading, pushes: Sequence[Push]
    ) -> dict[_PushKey, Notification]:
        """The rows of those pushes that are still to be sent."""
        earliest = instants.later(reading.now, -MAX_AGE)
        recent = [push for push in pushes if push.time > earliest]
        stored = await reading.get(NOTIFICATIONS, {(p.user, p.chat, p.event) for p in recent})
        messages = await reading.get(
            MESSAGES, {(p.chat, p.event) for p in recent if p.kind == "message"}
        )
        rows: dict[_PushKey, Notification] = {}
        for push in recent:
            message = messages.get((push.chat, push.event))
            row = stored.get((push.user, push.chat, push.event))
            if push.kind == "message":
                row = of_message(push.user, message) if message is not None else None
            if row is not None:
                rows[_key(push)] = row
        told = await still(reading, list(rows.values()), "push")
        return {key: row for key, row in rows.items() if of(row) in told}

    async def _send(
        self,
        push: Push,
        device: Device,
        subscription: Mapping[str, object],
        row: Notification,
        line: Line,
    ) -> None:
        age = instants.to_millis(self._queue.clock()) - instants.to_millis(push.time)
        sent = await self._web_push.send(
            subscription,
            _payload(row, line),
            topic=_topic(row),
            ttl=max(0, MAX_AGE - age // 1000),
            urgency="low" if row.kind == "reaction" else "normal",
        )
        await self._ended(push, device, sent)

    async def _ended(self, push: Push, device: Device, sent: Sent) -> None:
        if sent.outcome == "taken":
            await self._end(push, "sent")
            return
        log.info("push_not_sent", outcome=sent.outcome, reason=sent.reason)
        if sent.outcome == "later":
            later = self._queue.put_off(push, sent.pause)
            if later is not None:
                self._counts["push", "put_off"] += 1
                await self._queue.keep(PUSHES, later)
                return
        if sent.outcome == "gone":
            await self._remove(device)
        await self._end(push, "dropped")

    async def _end(self, push: Push, outcome: str) -> None:
        self._counts["push", outcome] += 1
        await self._queue.keep(PUSHES, self._queue.done(push))

    async def _remove(self, device: Device) -> None:
        """Nothing gets to this device any more, on the word of its push service."""
        assert isinstance(device.subscription, Held)
        stream = user_stream(device.user)
        _, command = self._commander.identify(device.user, stream, None)
        action = c.RemoveDevice(
            device=device.device, fingerprint=fingerprint(device.subscription.value)
        )
        try:
            await self._commander.execute(
                await self._commander.command(
                    device.user, stream, command, action, rights="system", time=self._queue.clock()
                )
            )
        except Problem as problem:
            # The next message to it will be answered likewise.
            log.warning("device_not_removed", code=problem.code)


def _key(push: Push) -> _PushKey:
    return push.chat, push.event, push.user, push.device


def _payload(row: Notification, line: Line) -> bytes:
    return msgspec.json.encode(
        {
            "id": row_id(row),
            "kind": row.kind,
            "chat": row.chat,
            "message": row.message,
            "time": row.time,
            "title": line.title,
            "text": line.text,
        }
    )


def _topic(row: Notification) -> str:
    """What a device that is away is told once: of a chat's messages the newest, of all else each
    thing, however often it was sent."""
    about = f"{row.chat} messages" if row.kind == "message" else row.place
    digest = hashlib.sha256(about.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode()[:32]
