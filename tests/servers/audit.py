"""Looks at a data folder after the fact, without the code that wrote it where that matters."""

import hashlib
import json
import shutil
import sqlite3
from collections import defaultdict
from pathlib import Path
from typing import Any

from projections.catalogue import COLLECTIONS
from projections.engine import Engine
from projections.keyring import open_keyring
from projections.progress import Progress
from projections.store import open_store
from projections.store.port import Scan
from projections.vault import Vault
from workers.log import open_embedded_log
from workers.secrets_file import open_secrets
from workers.settings import read_settings


def read_log(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Every stream's events, after checking ids, seq without gaps, times and the hash chain."""
    streams: dict[str, list[dict[str, Any]]] = defaultdict(list)
    prev: dict[str, str] = {}
    with sqlite3.connect(f"file:{folder}/log.db?mode=ro", uri=True) as log:
        rows = log.execute(
            "SELECT originator_id, originator_version, state FROM stored_events ORDER BY rowid"
        ).fetchall()
    log.close()
    for stream, seq, state in rows:
        event = json.loads(state)
        before = streams[stream]
        assert event["seq"] == seq == len(before) + 1
        assert event["id"] == f"{stream}/{seq}"
        assert event["prev"] == prev.get(stream, hashlib.sha256(stream.encode()).hexdigest())
        assert not before or before[-1]["time"] <= event["time"]
        prev[stream] = hashlib.sha256(state).hexdigest()
        before.append(event)
    return streams


async def read_models_differ(folder: Path, scratch: Path) -> list[str]:
    """The names of the read models whose documents are not those of a fresh fold of the log.

    No server may be running on the folder.
    """
    copy = scratch / "fresh"
    shutil.copytree(folder, copy)
    for stale in copy.glob("read.db*"):
        stale.unlink()
    settings = read_settings({"HANSARD_DATA_DIR": str(copy)})
    secrets = open_secrets(settings)
    log = await open_embedded_log(settings.log_url)
    keyring = await open_keyring(settings.keyring_url, secrets.master_key)
    fresh = await open_store(settings.store_url, COLLECTIONS)
    kept = await open_store(f"sqlite:///{folder}/read.db", COLLECTIONS)
    try:
        engine = Engine(fresh, Vault(keyring), Progress(fresh))
        await engine.start()
        for partition in log.partitions:
            after = 0
            while (batch := await log.read(partition, after, 300)).end > after:
                await engine.apply(batch)
                after = batch.end
        return [
            collection.name
            for collection in COLLECTIONS
            if await fresh.scan(collection, [Scan()]) != await kept.scan(collection, [Scan()])
        ]
    finally:
        await fresh.close()
        await kept.close()
        await keyring.close()
        await log.close()
        shutil.rmtree(copy)
