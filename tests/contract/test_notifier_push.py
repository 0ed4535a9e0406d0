"""Push messages on a real core, to a push service that holds them to the rules."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from domain import commands as c
from gateway.push_endpoints import PushHosts
from projections.devices import ATTENTION
from tests.contract.notices import HOUR, PUSH_DELAY, Notices, Work, opened
from tests.servers.push_service import NEVER
from workers.notifier.queue import ATTEMPTS
from workers.notifier.webpush import WebPush


@pytest.fixture
async def notices(tmp_path: Path) -> AsyncIterator[Notices]:
    async with opened(tmp_path) as notices:
        yield notices


async def test_a_mention_is_told_once_to_each_device(notices: Notices) -> None:
    phones = [await notices.phone("bob", device) for device in ("phone", "tablet")]
    seq = await notices.say("ann", "Bob, look", mentions=("bob",))
    await notices.wait(PUSH_DELAY - 2)
    assert [phone.got for phone in phones] == [[], []]
    for _ in range(3):
        await notices.wait(HOUR)
    for phone in phones:
        [got] = phone.got
        assert got.payload | {"id": "", "time": ""} == {
            "id": "",
            "kind": "mention",
            "chat": notices.chat,
            "message": seq,
            "time": "",
            "title": None,
            "text": "a new message",
        }
        assert 0 < int(got.headers["ttl"]) <= 24 * HOUR
        assert got.headers["urgency"] == "normal"
    assert notices.counts == {("push", "sent"): 2}


async def test_names_and_text_go_out_only_where_that_was_allowed(notices: Notices) -> None:
    await notices.use(content=True)
    bob = await notices.phone("bob")
    own = await notices.say("bob", "mine")
    await notices.say("ann", "Bob,\n look", mentions=("bob",))
    await notices.to_chat("cat", c.React(message=own, emoji="👍"))
    await notices.group("ann", "bob", name="another")
    await notices.wait(PUSH_DELAY)
    told = {got.payload["kind"]: (got.payload["title"], got.payload["text"]) for got in bob.got}
    assert told == {
        "mention": ("Ann · room", "Bob, look"),
        "reaction": ("Cat · room", "👍 mine"),
        "group_invite": ("Ann · another", "You were added to a group"),
    }


async def kinds(notices: Notices) -> list[str]:
    """What Bob is told of everything that there is, by the kinds of what he gets."""
    own = await notices.say("bob")
    await notices.read("bob", own)
    await notices.to_chat("ann", c.React(message=own, emoji="👍"))
    await notices.say("ann", reply_to=own)
    await notices.wait(PUSH_DELAY)
    await notices.say("ann", mentions=("bob",))
    await notices.wait(PUSH_DELAY)
    await notices.say("ann")
    await notices.wait(PUSH_DELAY)
    [bob] = notices.service.phones.values()
    return [got.payload["kind"] for got in bob.got]


async def test_every_kind(notices: Notices) -> None:
    await notices.phone("bob")
    assert sorted(await kinds(notices)) == ["mention", "message", "reaction", "reply"]


@pytest.mark.parametrize("kind", ["mention", "reply", "reaction", "message"])
async def test_what_is_not_wanted_is_not_told(notices: Notices, kind: str) -> None:
    await notices.phone("bob")
    await notices.prefer("bob", kind, push=False)
    told = await kinds(notices)
    assert kind not in told
    # A mention and a reply are messages, too.
    expected = ["mention", "message", "reaction", "reply"]
    expected.remove(kind)
    assert sorted(told) == sorted(expected + ["message"] * (kind in ("mention", "reply")))


async def test_a_muted_chat_tells_of_mentions_alone(notices: Notices) -> None:
    await notices.phone("bob")
    await notices.mute("bob")
    assert await kinds(notices) == ["mention"]


async def test_nothing_is_told_of_the_blocked(notices: Notices) -> None:
    await notices.phone("bob")
    await notices.to_self("bob", c.BlockUser(user="ann"))
    assert await kinds(notices) == []
    await notices.to_self("bob", c.UnblockUser(user="ann"))
    await notices.to_self("ann", c.BlockUser(user="bob"))
    await notices.say("ann", mentions=("bob",))
    await notices.wait(PUSH_DELAY)
    [bob] = notices.service.phones.values()
    assert len(bob.got) == 1


async def test_nothing_that_was_read_hidden_or_deleted_meanwhile(notices: Notices) -> None:
    bob = await notices.phone("bob")
    seq = await notices.say("ann", mentions=("bob",))
    await notices.note()
    await notices.read("bob", seq)
    await notices.wait(PUSH_DELAY)
    for action in (c.DeleteMessage, c.HideMessage):
        seq = await notices.say("ann", mentions=("bob",))
        await notices.note()
        if action is c.DeleteMessage:
            await notices.to_chat("ann", c.DeleteMessage(message=seq))
        else:
            await notices.to_self("bob", c.HideMessage(chat=notices.chat, message=seq))
        await notices.wait(PUSH_DELAY)
    own = await notices.say("bob")
    await notices.to_chat("ann", c.React(message=own, emoji="👍"))
    await notices.note()
    await notices.to_chat("ann", c.React(message=own, emoji=None))
    await notices.wait(PUSH_DELAY)
    await notices.say("ann", mentions=("bob",), expires_in=PUSH_DELAY)
    await notices.wait(PUSH_DELAY + 1)
    await notices.say("ann", mentions=("bob",))
    await notices.note()
    await notices.to_chat("bob", c.RemoveMember(user="bob"))
    await notices.wait(PUSH_DELAY)
    assert bob.tried == []


async def test_many_messages_are_one_push_and_none_to_the_one_who_wrote(notices: Notices) -> None:
    bob, cat = await notices.phone("bob"), await notices.phone("cat")
    for _ in range(5):
        await notices.say("ann")
        await notices.note()
    last = await notices.say("bob")
    await notices.wait(PUSH_DELAY)
    assert bob.got == []
    assert [got.payload["message"] for got in cat.got] == [last]
    first = cat.got[0].headers["topic"]
    again = await notices.say("ann")
    await notices.wait(PUSH_DELAY)
    assert [got.payload["message"] for got in cat.got] == [last, again]
    # The newer one takes the place of the older where that was not delivered.
    assert cat.got[1].headers["topic"] == first


async def test_a_message_that_comes_during_a_round_is_told_in_the_next(notices: Notices) -> None:
    cat = await notices.phone("cat")
    first = await notices.say("ann")
    await notices.note()
    notices.ahead += PUSH_DELAY
    other = await notices.start()
    second = await notices.say("ann")
    await notices.note(other)
    await notices.wait(0)
    await notices.wait(PUSH_DELAY)
    assert cat.got[-1].payload["message"] == second
    assert [got.payload["message"] for got in cat.got] in ([second], [first, second])


async def test_failures_are_tried_again_later_and_later(notices: Notices) -> None:
    bob = await notices.phone("bob")
    bob.answers = [500, 503]
    await notices.say("ann", mentions=("bob",))
    await notices.wait(PUSH_DELAY)
    assert (len(bob.tried), len(bob.got)) == (1, 0)
    await notices.wait(9)
    assert len(bob.tried) == 1
    await notices.wait(2)
    assert len(bob.tried) == 2
    await notices.wait(19)
    assert len(bob.tried) == 2
    await notices.wait(2)
    assert (len(bob.tried), len(bob.got)) == (3, 1)
    assert len({got.headers["topic"] for got in bob.tried}) == 1
    await notices.wait(HOUR)
    assert len(bob.tried) == 3
    assert notices.counts == {("push", "put_off"): 2, ("push", "sent"): 1}


@pytest.mark.parametrize("retry_after", ["120", "Fri, 31 Dec 9999 23:59:59 GMT", "nonsense", "-5"])
async def test_the_push_service_says_when(notices: Notices, retry_after: str) -> None:
    bob = await notices.phone("bob")
    bob.answers = [429]
    bob.answer_headers = {"Retry-After": retry_after}
    await notices.say("ann", mentions=("bob",))
    await notices.wait(PUSH_DELAY)
    pause = {"1": 120, "F": HOUR}.get(retry_after[0], 10)
    await notices.wait(pause - 2)
    assert len(bob.tried) == 1
    await notices.wait(3)
    assert len(bob.got) == 1


async def test_one_that_never_answers_is_waited_for_in_vain(notices: Notices) -> None:
    await notices.use(timeout=0.2)
    bob, cat = await notices.phone("bob"), await notices.phone("cat")
    bob.answers = [NEVER]
    await notices.say("ann", mentions=("bob", "cat"))
    await notices.wait(PUSH_DELAY)
    assert (len(bob.got), len(cat.got)) == (0, 1)
    await notices.wait(11)
    assert (len(bob.got), len(cat.got)) == (1, 1)


async def test_in_the_end_it_is_dropped_and_counted(notices: Notices) -> None:
    bob = await notices.phone("bob")
    bob.answers = [500] * 100
    await notices.say("ann", mentions=("bob",))
    for _ in range(ATTEMPTS + 3):
        await notices.wait(HOUR // 2 + 1)
    assert len(bob.tried) == ATTEMPTS
    assert notices.counts["push", "dropped"] == 1


@pytest.mark.parametrize("status", [301, 307, 400, 403, 413])
async def test_what_is_refused_is_not_tried_again(notices: Notices, status: int) -> None:
    bob = await notices.phone("bob")
    other = notices.service.phone("elsewhere")
    bob.answers = [status]
    bob.answer_headers = {"Location": other.subscription["endpoint"]}
    await notices.say("ann", mentions=("bob",))
    for _ in range(3):
        await notices.wait(HOUR)
    assert notices.service.paths == [f"/{bob.name}"]
    assert notices.counts == {("push", "dropped"): 1}


async def devices(notices: Notices, user: str) -> tuple[str, ...]:
    await notices.core.settle()
    return (await notices.core.store.get(ATTENTION, [(user,)]))[user,].devices


@pytest.mark.parametrize("status", [404, 410])
async def test_a_dead_device_is_removed(notices: Notices, status: int) -> None:
    bob, tablet = await notices.phone("bob"), await notices.phone("bob", "tablet")
    bob.answers = [status]
    await notices.say("ann", mentions=("bob",))
    await notices.wait(PUSH_DELAY)
    assert await devices(notices, "bob") == ("tablet",)
    await notices.say("ann", mentions=("bob",))
    await notices.wait(PUSH_DELAY)
    assert (len(bob.tried), len(tablet.got)) == (1, 2)


async def test_a_new_subscription_outlives_the_dead_one(notices: Notices) -> None:
    old = await notices.phone("bob")
    await notices.core.settle()
    new = notices.service.phone("new")
    taken = old.take

    def subscribed_anew(headers: dict[str, str], body: bytes) -> int:
        taken(headers, body)
        return 410

    old.take = subscribed_anew  # type: ignore[method-assign]
    send = notices.core.commander.command

    async def just_before(*arguments: Any, **options: Any) -> c.Command:
        made = await send(*arguments, **options)
        if isinstance(made.action, c.RemoveDevice):
            notices.core.commander.command = send  # type: ignore[method-assign]
            await notices.subscribe("bob", new)
        return made

    notices.core.commander.command = just_before  # type: ignore[method-assign]
    await notices.say("ann", mentions=("bob",))
    await notices.wait(PUSH_DELAY)
    assert await devices(notices, "bob") == ("phone",)
    await notices.say("ann", mentions=("bob",))
    await notices.wait(PUSH_DELAY)
    assert len(new.got) == 1


async def test_nothing_goes_where_nothing_may_go(notices: Notices) -> None:
    """The endpoint is in a private network, which the operator has not named."""
    bob = await notices.phone("bob")
    await notices.use(hosts=PushHosts())
    await notices.say("ann", mentions=("bob",))
    await notices.wait(PUSH_DELAY)
    await notices.use(hosts=PushHosts(["push.example.org"]))
    await notices.say("ann", mentions=("bob",))
    await notices.wait(PUSH_DELAY)
    assert (bob.tried, notices.service.connections) == ([], 0)
    assert notices.counts == {("push", "dropped"): 2}


@pytest.mark.parametrize(
    ("endpoint", "outcome"),
    [
        # It has a public name, and a private address.
        ("https://localhost/x", "no public address"),
        (f"https://{'a' * 64}.example.org/x", "UnicodeError"),
        ("https://[2606:4700::1]:65536/", "bad subscription: BadEndpoint"),
    ],
)
async def test_where_a_message_can_not_go(notices: Notices, endpoint: str, outcome: str) -> None:
    sender = WebPush(bytes(31) + b"\1", "mailto:a@b", PushHosts(), notices.clock)
    subscription = notices.service.phone("x").subscription | {"endpoint": endpoint}
    sent = await sender.send(subscription, b"x", topic="x", ttl=0, urgency="low")
    await sender.aclose()
    assert (sent.outcome, sent.reason) == ("refused", outcome)


async def test_what_happened_before_the_first_start_is_past(tmp_path: Path) -> None:
    """So it is for a read store that is made anew, with the checkpoint gone."""
    async with opened(tmp_path, begun=False) as notices:
        bob = await notices.phone("bob")
        await notices.say("ann", mentions=("bob",))
        await notices.wait(PUSH_DELAY)
        assert bob.tried == []
        await notices.say("ann", mentions=("bob",))
        await notices.core.settle()
        # Whoever comes next goes on where the first one began.
        await notices.wait(PUSH_DELAY, await notices.start())
        assert len(bob.got) == 1


async def test_what_lay_for_a_day_is_not_told(notices: Notices) -> None:
    bob = await notices.phone("bob")
    await notices.say("ann", mentions=("bob",))
    await notices.core.settle()
    notices.ahead += 25 * HOUR
    await notices.wait(PUSH_DELAY)
    assert bob.tried == []
    await notices.say("ann", mentions=("bob",))
    notices.ahead -= 25 * HOUR
    await notices.wait(25 * HOUR)
    assert bob.tried == []


async def test_the_work_for_a_message_does_not_grow_with_the_chat(notices: Notices) -> None:
    """Whatever is noted down for a message: a round looks at the members, once in a while."""
    spent = []
    for size in (3, 300):
        work = Work(notices.core.store)
        users = [f"u{size}.{n}" for n in range(size)]
        await notices.group("ann", *users, name=f"of {size}")
        await notices.note()
        notifier = await notices.start(store=work)
        for _ in range(3):
            await notices.say("ann")
            await notices.note(notifier)
        spent.append(work.documents)
    assert spent[0] == spent[1]


async def test_a_large_chat_has_fewer_rounds(notices: Notices) -> None:
    users = [f"u{n}" for n in range(500)]
    await notices.group("ann", "bob", *users, name="large")
    bob = await notices.phone("bob")
    told = []
    for _ in range(3):
        last = await notices.say("ann")
        told.append(last)
        await notices.wait(PUSH_DELAY)
    # At 50 members a second the next is 10 seconds after the first.
    messages = [got.payload["message"] for got in bob.got if got.payload["kind"] == "message"]
    assert messages == [told[0], told[2]]
