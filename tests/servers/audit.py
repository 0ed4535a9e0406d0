"""Looks at the data after the fact, without the code that wrote it where that matters."""

import contextlib
import hashlib
import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from projections.catalogue import COLLECTIONS
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
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",
    )
    await consumer.start()
    records: list[tuple[str, bytes]] = []
    try:
        for kind in ("chats", "users"):
            topic = f"{prefix}.{kind}"
            partitions = [TopicPartition(topic, number) for number in range(count)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            await consumer.seek_to_beginning(*partitions)
            while any([await consumer.position(p) < ends[p] for p in partitions]):
                for found in (await consumer.getmany(timeout_ms=200)).values():
                    for record in found:
                        assert record.key is not None
                        assert record.value is not None
                        stream = record.key.decode()
                        assert stream.startswith("chats/") == (kind == "chats")
                        records.append((stream, record.value))
    finally:
        await consumer.stop()
    return checked(records)


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
            for collection in COLLECTIONS
            if await fresh.scan(collection, [Scan()]) != await kept.scan(collection, [Scan()])
        ]
