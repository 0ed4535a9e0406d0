"""Notifiers that die between any two steps, and several at once: who is told how often."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.notices import (
    HOUR,
    MAIL_DELAY,
    PARTITION,
    PUSH_DELAY,
    Life,
    Notices,
    dies_of,
    opened,
)
from workers.notifier.queue import LEASE


@pytest.fixture
async def notices(tmp_path: Path) -> AsyncIterator[Notices]:
    async with opened(tmp_path) as notices:
        yield notices


async def live(notices: Notices, steps: int) -> Life:
    """A notifier's life of so many steps at most, in which it does all that there is."""
    life = Life(steps)
    notifier = notices.notifier(life=life)

    async def work() -> None:
        await notifier.begin([PARTITION])
        while await notifier.take(PARTITION):
            pass
        notices.ahead += PUSH_DELAY
        await notifier.sweep(PARTITION)

    await notices.core.settle()
    assert await dies_of(work()) == life.ended
    return life


async def test_a_death_between_any_two_steps_loses_nothing(notices: Notices) -> None:
    bob = await notices.phone("bob")
    expected: list[int] = []
    repeats = 0
    steps = 0
    while True:
        expected.append(await notices.say("ann", mentions=("bob",)))
        life = await live(notices, steps)
        # Another comes, and what the dead one had taken is free after a while.
        await notices.wait(PUSH_DELAY, await notices.start())
        await notices.wait(LEASE, await notices.start())
        # A push service has no way to be asked: what it took just before the death comes again.
        repeats += life.unrecorded if life.ended else 0
        told = Counter(got.payload["message"] for got in bob.got)
        assert set(told) == set(expected)
        assert sum(told.values()) == len(expected) + repeats
        if not life.ended:
            break
        steps += 1
    assert steps > 8
    # Between its being taken and that being written down lie two steps.
    assert repeats == 2
    # What came twice came under one topic and one id, by which service and device know it.
    names = {(got.headers["topic"], got.payload["id"]) for got in bob.got}
    assert len(names) == len(expected)


@pytest.mark.parametrize("seed", range(6))
async def test_deaths_at_random_among_several(notices: Notices, seed: int) -> None:
    randomness = random.Random(seed)
    phones = {user: [await notices.phone(user, d) for d in "ab"] for user in ("bob", "cat")}
    said = [
        await notices.say("ann", mentions=randomness.choice([("bob",), ("cat",), ("bob", "cat")]))
        for _ in range(12)
    ]
    lives = await asyncio.gather(
        *(live(notices, randomness.randrange(1, 40)) for _ in range(3)),
    )
    for _ in range(3):
        notifier = await notices.start()
        await notices.wait(LEASE, notifier)
    deaths = any(life.ended for life in lives)
    events = [
        (envelope.seq, envelope.data)
        for envelope in (await notices.core.event_log.read(PARTITION, 0, 10_000)).events
        if envelope.type == "message.sent"
    ]
    assert {seq for seq, _ in events} == set(said)
    for user, devices in phones.items():
        wanted = {seq for seq, data in events if f'"{user}"'.encode() in bytes(data)}
        for phone in devices:
            mentions = [g.payload for g in phone.got if g.payload["kind"] == "mention"]
            told = Counter(payload["message"] for payload in mentions)
            assert set(told) == wanted
            # A death takes everything with it that is on the way at that moment.
            assert deaths or max(told.values()) == 1


async def test_two_at_once_tell_everything_once(notices: Notices) -> None:
    """A partition may for a moment be followed by two."""
    phones = [await notices.phone("bob", f"d{n}") for n in range(10)]
    await notices.verify("bob")
    for _ in range(10):
        await notices.say("ann", mentions=("bob",))
    await notices.core.settle()
    both = [await notices.start(), await notices.start()]
    await asyncio.gather(*(notices.note(notifier) for notifier in both))
    notices.ahead += PUSH_DELAY
    await asyncio.gather(*(notifier.sweep(PARTITION) for notifier in both))
    assert [len(phone.got) for phone in phones] == [10] * 10
    notices.ahead += MAIL_DELAY
    await asyncio.gather(*(notifier.sweep(PARTITION) for notifier in both))
    assert len(notices.mail.mails) == 1


async def test_a_death_while_mails_are_written(notices: Notices) -> None:
    await notices.verify("bob")
    steps = 0
    mails = 0
    while True:
        await notices.say("ann", mentions=("bob",))
        life = Life(steps)
        notifier = notices.notifier(life=life)
        await notices.note(await notices.start())
        notices.ahead += MAIL_DELAY
        await dies_of(notifier.sweep(PARTITION))
        await notices.wait(LEASE, await notices.start())
        twice = life.unrecorded if life.ended else 0
        assert len(notices.mail.mails) - mails == 1 + twice
        if twice:
            # It is the same mail, and says so.
            assert len({mail["Message-ID"] for mail in notices.mail.mails[mails:]}) == 1
        mails = len(notices.mail.mails)
        notices.ahead += HOUR
        if not life.ended:
            break
        steps += 1
    assert steps >= 6
    assert len({mail["Message-ID"] for mail in notices.mail.mails}) == steps + 1


async def test_an_address_is_asked_once_whoever_dies(notices: Notices) -> None:
    asked: list[int] = []
    while True:
        user = f"new{len(asked)}"
        before = len(notices.mail.mails)
        await notices.register(user)
        await notices.note(await notices.start())
        notices.ahead += 60
        life = Life(len(asked))
        await dies_of(notices.notifier(life=life).sweep(PARTITION))
        for _ in range(3):
            await notices.wait(LEASE, await notices.start())
        asked.append(len(notices.mail.mails) - before)
        if not life.ended:
            break
    # Who dies after noting down that a mail goes out, and before it does, takes it along.
    assert asked == [1, 0, 0, 1, 1, 1, 1]
