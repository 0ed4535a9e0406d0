"""What every realtime does."""

import asyncio

from projections.realtime.port import Publication, Realtime
from tests.contract.realtime.conftest import NewEar

FULL = Publication(
    channel="chats/full",
    kind="event",
    frame=b'{"op":"event","data":{"content":"\xc3\xa9\x00"}}',
    seq=2**53,
    type="message.sent",
    redacted=b"{}",
    message=7,
    chat="c",
    touches=("ann", "bob"),
    command="command",
    time="2024-05-01T00:00:00.000Z",
    ordinal=3,
    user="ann",
    up_to=9,
)


def event(channel: str, seq: int) -> Publication:
    return Publication(channel=channel, kind="event", frame=b"%d" % seq, seq=seq)


async def test_a_publication_arrives_as_it_was_sent(realtime: Realtime, new_ear: NewEar) -> None:
    ear = await new_ear(FULL.channel)
    await realtime.publish([FULL])
    await ear.until(lambda: bool(ear.heard))
    assert ear.heard == [FULL]


async def test_a_channel_is_heard_in_its_order(realtime: Realtime, new_ear: NewEar) -> None:
    ear = await new_ear("chats/a", "chats/b")
    sent = [event(channel, seq) for seq in range(1, 2500) for channel in ("chats/a", "chats/b")]
    for start in range(0, len(sent), 1250):
        await realtime.publish(sent[start : start + 1250])
    await ear.until(lambda: len(ear.heard) == len(sent))
    for channel in ("chats/a", "chats/b"):
        assert [published.seq for published in ear.in_channel(channel)] == [*range(1, 2500)]


async def test_a_subscription_stands_when_it_returns(realtime: Realtime, new_ear: NewEar) -> None:
    ear = await new_ear()

    async def join(number: int) -> None:
        channel = f"chats/{number}"
        await ear.realtime.subscribe([channel, "chats/all"])
        await realtime.publish([event(channel, 1)])

    await asyncio.gather(*(join(number) for number in range(300)))
    await ear.until(lambda: len(ear.heard) == 300)
    assert {published.channel for published in ear.heard} == {f"chats/{n}" for n in range(300)}


async def test_what_is_left_and_taken_up_again_stands(realtime: Realtime, new_ear: NewEar) -> None:
    ear = await new_ear("chats/a")
    for seq in range(1, 51):
        ear.realtime.unsubscribe(["chats/a"])
        if seq % 2:
            # Let the server be told, or not.
            await ear.realtime.subscribe([f"chats/{seq}"])
        await ear.realtime.subscribe(["chats/a"])
        await realtime.publish([event("chats/a", seq)])
    await ear.until(lambda: len(ear.in_channel("chats/a")) == 50)


async def test_nothing_to_subscribe_or_to_publish(realtime: Realtime, new_ear: NewEar) -> None:
    ear = await new_ear()
    await ear.realtime.subscribe([])
    ear.realtime.unsubscribe(["chats/never"])
    await realtime.publish([])
    assert ear.heard == []


async def test_mail_reaches_whoever_receives_under_the_name(
    realtime: Realtime, new_ear: NewEar
) -> None:
    ear = await new_ear("chats/a")
    await ear.realtime.receive("gateway-1", ear.take_mail, ear.interrupted)
    await realtime.send("gateway-2", [b"another's"])
    await realtime.send("gateway-1", [b"one", b"\x00\xff"])
    await realtime.send("gateway-1", [b"three"])
    await ear.until(lambda: len(ear.mail) == 3)
    assert ear.mail == [b"one", b"\x00\xff", b"three"]
    assert ear.heard == []


async def test_it_can_be_closed_unused(realtime: Realtime) -> None:
    await realtime.close()
