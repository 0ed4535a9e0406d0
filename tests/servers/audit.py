"""Looks at the data after the fact, without the code that wrote it where that matters."""

import asyncio
import contextlib
import hashlib
import json
import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from projections.catalogue import COLLECTIONS, FOLDED
from projections.engine import Engine
from projections.keyring import open_keyring
from projections.progress import Progress
from projections.store import open_store
from projections.store.port import Scan
from projections.vault import Vault
from workers.log import open_log
from workers.secrets_file import open_secrets
from workers.settings import Settings

Events = dict[str, list[dict[str, Any]]]


def checked(records: Iterable[tuple[str, bytes]]) -> Events:
    """Every stream's events, after checking ids, seq without gaps, times and the hash chain."""
    streams: Events = defaultdict(list)
    prev: dict[str, str] = {}
    for stream, record in records:
        event = json.loads(record)
        before = streams[stream]
        assert event["seq"] == len(before) + 1, (stream, event["seq"], len(before))
        assert event["id"] == f"{stream}/{event['seq']}"
        assert event["prev"] == prev.get(stream, hashlib.sha256(stream.encode()).hexdigest())
        assert not before or before[-1]["time"] <= event["time"]
        prev[stream] = hashlib.sha256(record).hexdigest()
        before.append(event)
    return streams


def read_log(folder: Path) -> Events:
    """The events of an embedded log."""
    with sqlite3.connect(f"file:{folder}/log.db?mode=ro", uri=True) as log:
        rows = log.execute(
            "SELECT originator_id, originator_version, state FROM stored_events ORDER BY rowid"
        ).fetchall()
    log.close()
    streams = checked((stream, state) for stream, _, state in rows)
    assert [seq for _, seq, _ in rows] == [json.loads(state)["seq"] for _, _, state in rows]
    return streams


async def read_topics(servers: str, prefix: str, count: int) -> Events:
    """The committed events of a log of so many partitions on Kafka, each in its own topic."""
    topics = [f"{prefix}.{kind}" for kind in ("chats", "users")]
    partitions = [TopicPartition(topic, number) for topic in topics for number in range(count)]
    # Not the committed reader's own ends: a commit is answered before those have moved.
    async with _consumer(servers) as asker:
        ends = await asker.end_offsets(partitions)
    async with _consumer(servers, isolation_level="read_committed") as consumer:
        return checked(await _read_up_to(consumer, ends))


@contextlib.asynccontextmanager
async def _consumer(servers: str, **settings: Any) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers,
        enable_auto_commit=False,
        auto_offset_reset="none",
        **settings,
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def _read_up_to(
    consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]
) -> list[tuple[str, bytes]]:
    records = []
    consumer.assign(list(ends))
    await consumer.seek_to_beginning(*ends)
    async with asyncio.timeout(60):
        while any([await consumer.position(p) < end for p, end in ends.items()]):
            for partition, found in (await consumer.getmany(timeout_ms=200)).items():
                for record in found:
                    assert record.key is not None
                    assert record.value is not None
                    stream = record.key.decode()
                    assert stream.startswith("chats/") == partition.topic.endswith(".chats")
                    records.append((stream, record.value))
    return records


async def read_models_differ(settings: Settings, scratch: Path) -> list[str]:
    """The names of the read models whose documents are not those of a fresh fold of the log.

    Nothing may be writing them.
    """
    async with contextlib.AsyncExitStack() as stack:
        log = await open_log(settings.log_url)
        stack.push_async_callback(log.close)
        keyring = await open_keyring(settings.keyring_url, open_secrets(settings).master_key)
        stack.push_async_callback(keyring.close)
        kept = await open_store(settings.store_url, COLLECTIONS)
        stack.push_async_callback(kept.close)
        fresh = await open_store(f"sqlite:///{scratch}/fresh.db", COLLECTIONS)
        stack.push_async_callback(fresh.close)
        engine = Engine(fresh, Vault(keyring), Progress(fresh))
        await engine.start()
        for partition, end in (await log.ends()).items():
            after = 0
            while after < end:
                batch = await log.read(partition, after, 300)
                await engine.apply(batch)
                after = batch.end
        return [
            collection.name
            for collection in FOLDED
            if await fresh.scan(collection, [Scan()]) != await kept.scan(collection, [Scan()])
        ]
