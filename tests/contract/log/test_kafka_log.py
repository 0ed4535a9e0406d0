"""What only the Kafka log must do: see what is committed and nothing else, know its own topics, and
outlive its broker."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from domain.envelope import Envelope
from domain.ids import user_stream
from tests.contract.log.kafka_writer import KafkaWriter
from tests.contract.log.scribe import Scribe, batches, streams, values
from tests.contract.log.written import WrittenKafkaLog, open_written_log
from tests.servers.kafka import KafkaServer
from tests.servers.proxy import Proxy
from workers.log import kafka_cluster, kafka_follower, migrate_log, open_log
from workers.log.kafka_topics import (
    OUTCOMES,
    TOPICS,
    USERS,
    KafkaPlace,
    parse_url,
    partition_name,
    partition_of,
)
from workers.log.port import EventLog, LogBatch, LogError

SECONDS = 60
ANN = partition_name(USERS, partition_of(user_stream("ann"), 3))


@pytest.fixture
def url(new_kafka_url: Callable[[], str]) -> str:
    return new_kafka_url()


@pytest.fixture
async def log(url: str) -> AsyncIterator[WrittenKafkaLog]:
    async with open_written_log(url) as log:
        assert isinstance(log, WrittenKafkaLog)
        yield log


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[EventLog]:
    log = await open_log(url)
    try:
        yield log
    finally:
        await log.close()


async def read_to(log: EventLog, start: int, end: int) -> list[int]:
    """The seqs of the events between two positions, waited for."""
    seqs: list[int] = []
    while start < end:
        await log.wait(ANN, start)
        batch = await log.read(ANN, start, 10)
        seqs += [event.seq for event in batch.events]
        start = batch.end
    return seqs


@asynccontextmanager
async def administrator(place: KafkaPlace) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=place.servers)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def test_aborted_transactions_and_markers_leave_gaps_alone(log: WrittenKafkaLog) -> None:
    scribe = Scribe()
    for number in range(5):
        await log.commit(scribe.group(("ann", f"Ann {number}"), ("ann", None)))
    # An aborted event and its marker, a committed one and its marker.
    assert log.end(ANN) == 5 * 4
    found = await batches(log, ANN, 1)
    assert values(found) == [record.envelope for record in scribe.records]
    assert [batch.end for batch in found if batch.events][-1] == 5 * 4


async def test_an_end_of_markers_alone_is_reached(log: WrittenKafkaLog) -> None:
    scribe = Scribe()
    await log.commit(scribe.group(("ann", "Ann")))
    end = log.end(ANN)
    await log.writer.begin(scribe.group(("ann", "Anna")))
    await log.writer.abort()
    async with asyncio.timeout(SECONDS):
        await log.wait(ANN, end)
        assert (await log.ends())[ANN] == end + 2
        assert await log.read(ANN, end, 10) == LogBatch(ANN, end + 2, [])


async def test_nothing_is_seen_of_an_open_transaction_nor_beyond_it(
    url: str, log: WrittenKafkaLog
) -> None:
    scribe = Scribe()
    await log.commit(scribe.group(("ann", "Ann")))
    end = log.end(ANN)
    other = KafkaWriter(parse_url(url), 3, "other")
    async with other:
        await other.begin(scribe.group(("ann", "Anna")))
        await log.writer.commit(scribe.group(("ann", "Annie")))
        assert (await log.ends())[ANN] == end
        # It may be acknowledged any moment, and its events are there.
        assert (await log.acknowledged())[ANN] > end + 1
        waiting = asyncio.create_task(log.reader().wait(ANN, end))
        seen = (await log.read(ANN, 0, 10)).events
        assert [event.seq for event in seen] == [1]
        assert await log.read(ANN, end, 10) == LogBatch(ANN, end, [])
        assert not waiting.done()
        await other.finish()
    async with asyncio.timeout(SECONDS):
        await waiting
        await log.commit(scribe.group(("ann", "Ann")))
        events = [event for event in values(await batches(log, ANN)) if isinstance(event, Envelope)]
    assert [event.seq for event in events] == [1, 2, 3, 4]


async def test_what_is_no_record_stops_neither_its_partition_nor_others(
    log: WrittenKafkaLog,
) -> None:
    scribe = Scribe()
    await log.commit(scribe.group(("ann", "Ann")))
    for value in (b"", b"no JSON", b"{}", b"\xff\xfe", b'{"seq": "one"}'):
        await log.writer.commit_raw(USERS, user_stream("ann"), value)
        await log.writer.commit_raw(OUTCOMES, user_stream("ann"), value)
    await log.commit(scribe.group(("ann", "Anna"), ("ann", None)))
    events = (await streams(log))[user_stream("ann")]
    assert [event.type for event in events] == [
        "user.registered",
        *["unreadable"] * 5,
        "user.changed",
    ]
    outcomes = partition_name(OUTCOMES, partition_of(user_stream("ann"), 3))
    assert [one.status for one in (await log.read(outcomes, 0, 10)).outcomes] == ["refused"]


async def test_a_position_that_the_log_has_not_is_an_error(log: WrittenKafkaLog) -> None:
    await log.commit(Scribe().group(("ann", "Ann")))
    async with asyncio.timeout(SECONDS):
        with pytest.raises(LogError, match="no position 1000"):
            await log.wait(ANN, 1000)
        assert len((await log.read(ANN, 0, 10)).events) == 1


async def test_what_is_missing_is_told_before_migrate(url: str) -> None:
    with pytest.raises(LogError, match="hansard migrate makes it"):
        await open_log(url)


async def test_who_can_not_be_reached_is_told() -> None:
    with pytest.raises(LogError, match="KafkaConnectionError"):
        await open_log("kafka://127.0.0.1:1/hansard")


async def test_two_who_make_a_log_at_once_make_the_same(url: str) -> None:
    made = await asyncio.gather(*(migrate_log(url) for _ in range(3)))
    assert len({one.identity for one in made}) == 1
    names = [name for one in made for name in one.made]
    assert len(names) == len(set(names)) == 5
    again = await migrate_log(url)
    assert (again.identity, again.made, again.faults) == (made[0].identity, [], [])


async def test_a_log_half_made_is_completed(url: str) -> None:
    place = parse_url(url)
    async with administrator(place) as client:
        await client.create_topics([NewTopic(place.topic("log"), 1, 1)])
        await client.create_topics([NewTopic(place.topic(k), 3, 1) for k in TOPICS[:2]])
    with pytest.raises(LogError, match="hansard migrate makes it"):
        await open_log(url)
    made = await migrate_log(url)
    assert sorted(made.made) == sorted(place.topic(kind) for kind in TOPICS[2:])
    # What somebody else had made with other settings is told, and left as it is.
    assert any(fault.startswith(f"{place.topic('chats')}: retention.ms") for fault in made.faults)
    log = await open_log(url)
    assert log.identity == made.identity
    await log.close()


async def test_a_topic_made_anew_is_not_the_logs(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_cluster, "WATCH", 0.05)
    place = parse_url(url)
    async with open_written_log(url) as log, administrator(place) as client:
        await client.delete_topics([place.topic(USERS)])
        await until_refused(log.ends, "is gone")
        with pytest.raises(LogError, match="is gone"):
            await open_log(url)
        await make(client, place.topic(USERS))
        await until_refused(log.ends, "deleted and made anew")
        for refused in (log.wait(ANN, 0), log.read(ANN, 0, 1), open_log(url), migrate_log(url)):
            with pytest.raises(LogError, match="deleted and made anew"):
                await refused


async def make(client: AIOKafkaAdminClient, topic: str) -> None:
    async with asyncio.timeout(SECONDS):
        while True:
            answer = await client.create_topics([NewTopic(topic, 3, 1)])
            if not answer.to_object()["topic_errors"][0]["error_code"]:
                return
            # The server takes a moment to let go of the name.
            await asyncio.sleep(0.05)


async def until_refused(ask: Callable[[], Awaitable[object]], match: str) -> None:
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                await ask()
            except LogError as error:
                if match in str(error):
                    return
            await asyncio.sleep(0.05)


async def test_another_number_of_partitions_is_refused(url: str) -> None:
    await migrate_log(url)
    for other in (open_log, migrate_log):
        with pytest.raises(LogError, match="has 3 partitions and the URL asks for 4"):
            await other(url.replace("partitions=3", "partitions=4"))
    place = parse_url(url)
    async with administrator(place) as client:
        await client.create_partitions({place.topic(USERS): NewPartitions(4)})
    await until_refused(lambda: migrate_log(url), "different numbers of partitions")
    with pytest.raises(LogError, match="has 4 partitions and not 3"):
        await open_log(url)


async def test_settings_that_have_drifted_are_told(url: str) -> None:
    await migrate_log(url)
    place = parse_url(url)
    topic = place.topic("chats")
    async with administrator(place) as client:
        drifted = {"cleanup.policy": "compact", "retention.ms": "1000"}
        await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, drifted)])
    async with asyncio.timeout(SECONDS):
        while not (faults := (await migrate_log(url)).faults):
            continue
    assert f"{topic}: cleanup.policy is compact and should be delete" in faults
    assert f"{topic}: retention.ms is 1000 and should be -1" in faults


async def test_two_members_share_and_one_takes_over(log: WrittenKafkaLog) -> None:
    async with asyncio.timeout(SECONDS), aclosing(log.shares("work")) as first:
        assert len(await anext(first)) == 9
        async with aclosing(log.shares("work")) as second:
            mine, theirs = await asyncio.gather(anext(first), anext(second))
            assert sorted([*mine, *theirs]) == sorted(log.partitions)
            numbers = [{p.rpartition("-")[2] for p in share} for share in (mine, theirs)]
            assert numbers[0].isdisjoint(numbers[1])
        assert len(await anext(first)) == 9


async def test_works_of_other_names_are_shared_apart(log: WrittenKafkaLog) -> None:
    async with asyncio.timeout(SECONDS), aclosing(log.shares("one")) as one:
        assert len(await anext(one)) == 9
        async with aclosing(log.shares("other")) as other:
            assert len(await anext(other)) == 9


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[KafkaServer]:
    """A server of one's own, to be done away with."""
    server = KafkaServer(tmp_path / "kafka")
    await asyncio.to_thread(server.start)
    yield server
    await asyncio.to_thread(server.kill)


async def test_readers_outlive_a_broker_that_is_killed(broker: KafkaServer) -> None:
    url = f"{broker.url_for('log')}?partitions=3"
    scribe = Scribe()
    async with open_written_log(url) as log:
        await log.commit(scribe.group(("ann", "Ann")))
        reader = log.reader()
        position = (await reader.read(ANN, 0, 10)).end
        waiting = asyncio.create_task(reader.wait(ANN, position))
        broker.kill()
        with pytest.raises(LogError):
            await log.ends()
        await asyncio.to_thread(broker.start)
        async with asyncio.timeout(SECONDS):
            async with KafkaWriter(parse_url(url), 3, "other") as writer:
                written = await writer.commit(scribe.group(("ann", "Anna")))
            await waiting
            assert await read_to(reader, position, written[ANN] + 1) == [2]


async def test_readers_outlive_a_connection_that_is_cut_or_stands_still(
    broker: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_cluster, "ANSWER", 1.0)
    monkeypatch.setattr(kafka_follower, "ANSWER", 1.0)
    direct = f"{broker.url_for('log')}?partitions=3"
    scribe = Scribe()
    with Proxy(broker) as proxy:
        async with (
            open_written_log(direct) as log,
            opened(proxy.url_for("log")) as far,
            asyncio.timeout(SECONDS),
        ):
            for harm in (proxy.cut, proxy.hold, proxy.cut):
                known = log.end(ANN)
                waiting = asyncio.create_task(far.wait(ANN, known))
                harm()
                if harm == proxy.hold:
                    with pytest.raises(LogError, match="TimeoutError"):
                        await far.ends()
                await log.commit(scribe.group(("ann", "Ann"), ("ann", "Anna")))
                proxy.release()
                await waiting
                head = scribe.head("ann")
                assert await read_to(far, known, log.end(ANN)) == [head - 1, head]
                assert (await far.ends())[ANN] == log.end(ANN)


async def test_a_silent_coordinator_leaves_no_share(broker: KafkaServer) -> None:
    url = f"{broker.url_for('log')}?partitions=3"
    async with (
        open_written_log(url) as log,
        asyncio.timeout(SECONDS),
        aclosing(log.shares("work")) as shares,
    ):
        assert len(await anext(shares)) == 9
        broker.pause()
        try:
            assert list(await anext(shares)) == []
        finally:
            broker.resume()
        assert len(await anext(shares)) == 9
