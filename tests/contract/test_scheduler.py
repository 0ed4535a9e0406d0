"""The scheduler on a real core: every schedule fires once, whoever dies and however many try."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from domain import commands as c
from domain import instants
from domain.decider import Verdict
from domain.ids import chat_stream, schedule_step, user_stream
from projections.messages import MESSAGES
from projections.schedules import SCHEDULES
from projections.store.port import Scan
from tests.contract.scene import HOUR, Scene, opened
from tests.waiting import until
from workers.core import now, running
from workers.scheduler import BATCH


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path / "data") as scene:
        yield scene


async def test_what_is_due_is_sent_by_its_user_and_what_is_not_stays(scene: Scene) -> None:
    due = await scene.schedule(content="now", mentions=("bob",), metadata={"a": 1})
    later = await scene.schedule(due=instants.later(now(), 3 * HOUR))
    scene.ahead = HOUR
    await scene.sweep()
    await scene.fired_once(due)
    known = await scene.schedules()
    assert (known[due].status, known[later].status) == ("sent", "scheduled")
    [(envelope, data)] = await scene.events("message.sent")
    assert envelope.actor == "ann"
    assert envelope.commandid == schedule_step(due, known[due].due, "send")
    assert (data["schedule"], data["mentions"]) == (due, ["bob"])
    stream = chat_stream(scene.chat)
    await scene.core.vault.load([user_stream("ann")])
    for field, value in (("content", "now"), ("metadata", {"a": 1})):
        opened = scene.core.vault.open(stream, envelope.commandid, field, data[field])
        assert opened == (value, False)
    steps = await scene.events("schedule.claimed", "schedule.fired")
    assert [step.actor for step, _ in steps] == ["system", "system"]


async def test_how_late_it_is_is_measured(scene: Scene) -> None:
    schedule = await scene.schedule()
    due = (await scene.schedules())[schedule].due

    def value(name: str, **labels: str) -> float:
        return scene.core.registry.get_sample_value(f"hansard_{name}", labels) or 0.0

    scene.ahead = 2 * HOUR
    late = (instants.to_millis(scene.clock()) - instants.to_millis(due)) / 1000
    await scene.core.settle()
    await scene.scheduler(lambda _, reply: reply(None)).sweep()
    assert value("scheduler_lag_seconds", kind="schedule") >= late
    assert value("schedule_lateness_seconds_count") == 0
    await scene.sweep()
    assert value("schedule_lateness_seconds_count") == 1
    assert value("schedule_lateness_seconds_sum") >= late
    assert value("scheduler_lag_seconds", kind="schedule") == 0


async def test_nothing_is_due_before_its_instant(scene: Scene) -> None:
    schedule = await scene.schedule()
    await scene.sweep()
    assert (await scene.schedules())[schedule].status == "scheduled"


@pytest.mark.parametrize("decided", [False, True])
async def test_a_death_between_any_two_steps_changes_nothing(scene: Scene, decided: bool) -> None:
    made: list[str] = []
    step = 1
    while True:
        made += [
            await scene.schedule(content=f"plain {step}"),
            await scene.schedule(content=f"short-lived {step}", expires_in=60),
        ]
        scene.ahead += HOUR
        if not await scene.dies_at(step, decided=decided):
            break
        for schedule in await scene.schedules():
            # Whoever comes next finds it claimed or not, sent or not, and does the rest.
            assert schedule in made
        await scene.sweep()
        step += 1
    await scene.sweep()
    # Two claims, two sendings, two times fired, and the ends of those that were sent before.
    assert step > 6
    await scene.fired_once(*made)
    scene.ahead += HOUR
    await scene.sweep()
    expired = [data["message"] for _, data in await scene.events("message.expired")]
    ending = [e.seq for e, data in await scene.events("message.sent") if "expires_at" in data]
    assert sorted(expired) == sorted(ending)


@pytest.mark.parametrize("seed", range(5))
async def test_many_at_once_that_die_at_random(scene: Scene, seed: int) -> None:
    randomness = random.Random(seed)
    made = [await scene.schedule(expires_in=randomness.choice([None, 1])) for _ in range(20)]
    scene.ahead = HOUR
    for _ in range(4):
        await asyncio.gather(
            *(
                scene.dies_at(randomness.randrange(1, 60), decided=randomness.random() < 0.5)
                for _ in range(3)
            )
        )
        scene.ahead += 10
    await asyncio.gather(scene.sweep(), scene.sweep())
    scene.ahead += 10
    await scene.sweep()
    await scene.fired_once(*made)
    ending = [e.seq for e, data in await scene.events("message.sent") if "expires_at" in data]
    expired = [data["message"] for _, data in await scene.events("message.expired")]
    assert sorted(expired) == sorted(ending)


async def test_more_than_a_batch_at_the_same_instant(scene: Scene) -> None:
    due = instants.later(now(), HOUR // 2)
    made = await asyncio.gather(*(scene.schedule(due=due) for _ in range(2 * BATCH + 10)))
    scene.ahead = HOUR
    await scene.sweep()
    await scene.fired_once(*made)


async def test_what_fails_does_not_hold_up_the_rest(scene: Scene) -> None:
    """A batch that the log does not take is set aside, and what is behind it is carried out."""
    early = [await scene.schedule(due=instants.later(now(), 60)) for _ in range(3)]
    late = await scene.schedule()
    scene.ahead = HOUR

    def decide(command: c.Command, reply: Callable[[Verdict | None], None]) -> None:
        if isinstance(command.action, c.ClaimSchedule) and command.action.schedule in early:
            asyncio.get_running_loop().call_soon(reply, None)
        else:
            scene.core.deciders.submit(command, reply)

    await scene.core.settle()
    await scene.scheduler(decide).sweep()
    await scene.fired_once(late)
    assert {(await scene.schedules())[one].status for one in early} == {"scheduled"}


async def test_what_was_changed_at_the_last_moment_is_sent_as_it_was_claimed(scene: Scene) -> None:
    schedule = await scene.schedule(content="old")
    scene.ahead = HOUR
    changed = False

    def decide(command: c.Command, reply: Callable[[Verdict | None], None]) -> None:
        nonlocal changed
        if isinstance(command.action, c.ClaimSchedule) and not changed:
            changed = True
            scene.core.deciders.submit(change, lambda _: None)
        scene.core.deciders.submit(command, reply)

    stream = user_stream("ann")
    _, id = scene.core.commander.identify("ann", stream, "change")
    action = c.ChangeSchedule(schedule=schedule, content="new")
    change = await scene.core.commander.command("ann", stream, id, action)
    await scene.core.settle()
    await scene.scheduler(decide).sweep()
    [(envelope, data)] = await scene.events("message.sent")
    await scene.core.vault.load([stream])
    sent = scene.core.vault.open(
        chat_stream(scene.chat), envelope.commandid, "content", data["content"]
    )
    assert sent.value == "new"


async def test_one_that_was_put_off_or_cancelled_at_the_last_moment_is_not_sent(
    scene: Scene,
) -> None:
    put_off, cancelled = await scene.schedule(), await scene.schedule()
    due = instants.later(now(), 5 * HOUR)
    scene.ahead = HOUR
    await scene.core.settle()
    waiting = scene.scheduler()
    [found] = await scene.core.store.scan(SCHEDULES, [Scan()])
    await scene.do("ann", user_stream("ann"), c.ChangeSchedule(schedule=put_off, due=due))
    await scene.do("ann", user_stream("ann"), c.CancelSchedule(schedule=cancelled))
    # It goes by what it read before.
    await waiting._fire(found)
    known = await scene.schedules()
    assert (known[put_off].status, known[put_off].due) == ("scheduled", due)
    assert (known[cancelled].status, known[cancelled].content) == ("cancelled", None)
    assert await scene.events("message.sent", "schedule.claimed") == []


async def test_who_has_left_sends_nothing(scene: Scene) -> None:
    schedule = await scene.schedule("bob")
    await scene.do("bob", chat_stream(scene.chat), c.RemoveMember(user="bob"))
    scene.ahead = HOUR
    await scene.sweep()
    known = (await scene.schedules())[schedule]
    assert (known.status, known.refusal, known.message) == ("failed", "chat_not_found", None)
    assert await scene.events("message.sent") == []
    await scene.sweep()
    assert len(await scene.events("schedule.fired")) == 1


async def test_an_answer_to_what_is_not_there_fails(scene: Scene) -> None:
    schedule = await scene.schedule(reply_to=1)
    scene.ahead = HOUR
    await scene.sweep()
    assert (await scene.schedules())[schedule].refusal == "unknown_message"


async def test_what_destroys_itself_counts_from_its_sending_and_keeps_its_key(
    scene: Scene,
) -> None:
    schedule = await scene.schedule(expires_in=60)
    [(scheduled, data)] = await scene.events("message.scheduled")
    key = data["content"]["sealed"]
    assert key == f"messages/{scheduled.commandid}"
    scene.ahead = HOUR
    await scene.sweep()
    [(sent, data)] = await scene.events("message.sent")
    assert data["content"]["sealed"] == key
    assert data["expires_at"] == instants.later(sent.time, 60)
    scene.ahead += 61
    await scene.sweep()
    [(expired, data)] = await scene.events("message.expired")
    assert (expired.actor, data) == ("system", {"message": sent.seq, "key": key})
    await scene.fired_once(schedule)


async def test_what_was_sent_before_its_key_was_destroyed_is_known_as_sent(scene: Scene) -> None:
    """Its scheduler died after the sending, and its time was over before the next one came."""
    schedule = await scene.schedule(expires_in=1)
    scene.ahead = HOUR
    assert await scene.dies_at(2, decided=True)
    [(_, data)] = await scene.events("message.sent")
    await scene.core.keyring.destroy([data["content"]["sealed"]])
    scene.core.vault.forget([data["content"]["sealed"]])
    await scene.sweep()
    await scene.fired_once(schedule)


async def test_what_can_not_be_opened_any_more_fails(scene: Scene) -> None:
    schedule = await scene.schedule()
    key = user_stream("ann")
    await scene.core.keyring.destroy([key])
    scene.core.vault.forget([key])
    scene.ahead = HOUR
    await scene.sweep()
    assert (await scene.schedules())[schedule].refusal == "user_erased"
    assert await scene.events("message.sent") == []


async def test_a_deleted_message_ends_too_so_that_its_key_goes(scene: Scene) -> None:
    stream = chat_stream(scene.chat)
    action = c.SendMessage(kind="text", content="secret", expires_in=60)
    seq = (await scene.do("ann", stream, action)).seq
    await scene.do("ann", stream, c.DeleteMessage(message=seq))
    scene.ahead = 59
    await scene.sweep()
    assert await scene.events("message.expired") == []
    scene.ahead = 61
    await scene.sweep()
    [(sent, data)] = await scene.events("message.sent")
    key = data["content"]["sealed"]
    assert key == f"messages/{sent.commandid}"
    assert [data for _, data in await scene.events("message.expired")] == [
        {"message": seq, "key": key}
    ]
    [ending] = await scene.core.store.scan(MESSAGES, [Scan(along="ending")])
    assert ending == []


async def test_it_goes_on_by_itself(scene: Scene) -> None:
    made = [await scene.schedule()]

    async def sent() -> bool:
        return (await scene.schedules())[made[-1]].status == "sent"

    scene.ahead = HOUR
    async with running(scene.scheduler().run()):
        await until(sent)
        made.append(await scene.schedule(due=instants.later(scene.clock(), 1)))
        await until(sent)
    await scene.fired_once(*made)
