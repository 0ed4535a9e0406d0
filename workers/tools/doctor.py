"""`hansard doctor`: whether everything is as it should be, found out without changing anything."""

import asyncio
import contextlib
import os
import shutil
import stat
from pathlib import Path

import httpx
import msgspec

from projections.catalogue import COLLECTIONS
from projections.dead_letters import DEAD_LETTERS, DeadLetter
from projections.keyring import KeyringError, open_keyring
from projections.store import open_store
from projections.store.port import Batch, Key, ReadStore, Scan, StoreError
from workers import projector
from workers.core import open_core, writing
from workers.data_lock import DataInUse, DataLock
from workers.log import examine_log, is_shared, open_embedded_log, open_shared_log
from workers.log.port import EmbeddedLog, EventLog, LogError, SharedLog
from workers.secrets_file import JWT_SECRET_FILE, MASTER_KEY_FILE, open_secrets
from workers.settings import Settings, StartRefused
from workers.tools.chain import broken, streams_of, walk
from workers.tools.welcome import url

#: Free space below which a data folder is in danger, in bytes.
MIN_FREE = 512 * 1024 * 1024
#: Streams whose hash chain is followed when not all are.
SAMPLE = 20
#: Positions at the end of each partition of a shared log that are looked at when not all are.
SAMPLE_POSITIONS = 1000
#: Seconds that a decider's clock may differ from the brokers'. Beyond 60 s it refuses commands that
#: come in time.
MAX_SKEW = 5.0
#: Seconds for the projectors to read streams again.
RETRIED_WITHIN = 60.0

_HTTP_SECONDS = 5.0
#: Bytes 18 and 19 of an SQLite file are 2 when it is in WAL mode (sqlite.org/fileformat2.html).
_WAL = b"\x02\x02"


class Finding(msgspec.Struct, frozen=True):
    """What a check has found."""

    check: str
    ok: bool
    detail: str


class Report(msgspec.Struct):
    ok: bool = True
    findings: list[Finding] = msgspec.field(default_factory=list)

    def add(self, check: str, ok: bool, detail: str) -> None:
        self.findings.append(Finding(check, ok, detail))
        self.ok = self.ok and ok


class Retried(msgspec.Struct, frozen=True):
    """What became of a stale stream; `at` is the event it has stopped at."""

    stream: str
    ok: bool
    at: int | None = None
    error: str | None = None


async def examine(settings: Settings, *, everything: bool) -> Report:
    """Examine the settings, the data and a server that is running on them. `everything` follows the
    hash chains of all streams."""
    report = Report()
    report.add("settings", True, "every HANSARD_ variable is one, and has a value it can have")
    folder = settings.data_dir
    if not folder.is_dir():
        report.add("data folder", True, f"{folder} is not there yet; the first start makes it")
        return report
    _folder(report, folder)
    if is_shared(settings.log_url):
        await _data(report, settings, everything)
        return report
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(DataLock(folder))
            report.add("server", True, "none is running on this folder")
        except DataInUse as error:
            await _server(report, settings, str(error))
        await _data(report, settings, everything)
    return report


def _folder(report: Report, folder: Path) -> None:
    mode = stat.S_IMODE(folder.stat().st_mode)
    own = folder.stat().st_uid == os.geteuid()
    detail = f"{folder} has mode {mode:04o}" + ("" if own else " and belongs to someone else")
    report.add("data folder", own and not mode & 0o077, detail)
    free = shutil.disk_usage(folder).free
    report.add("free disk", free >= MIN_FREE, f"{free / 2**30:.1f} GiB")
    for name in (JWT_SECRET_FILE, MASTER_KEY_FILE):
        path = folder / name
        if path.exists():
            mode = stat.S_IMODE(path.stat().st_mode)
            report.add(name, not mode & 0o077, f"mode {mode:04o}")


async def _server(report: Report, settings: Settings, holder: str) -> None:
    try:
        async with httpx.AsyncClient(timeout=_HTTP_SECONDS) as client:
            answer = await client.get(f"{url(settings)}/readyz")
    except httpx.HTTPError as error:
        detail = f"{holder}, but {url(settings)}/readyz does not answer: {type(error).__name__}"
        report.add("server", False, detail)
        return
    report.add("server", answer.status_code == 200, f"{holder}; /readyz says {answer.text}")


async def _data(report: Report, settings: Settings, everything: bool) -> None:
    urls = (settings.keyring_url, settings.log_url, settings.store_url)
    files = [path for at in urls if (path := _file(at)) is not None]
    missing = [path for path in files if not path.exists()]
    if missing:
        # Opening would make it.
        detail = f"{', '.join(map(str, missing))} not there yet; the first start makes it"
        report.add("data", len(missing) == len(files), detail)
        return
    async with contextlib.AsyncExitStack() as stack:
        try:
            secrets = open_secrets(settings)
            keyring = await open_keyring(settings.keyring_url, secrets.master_key)
            stack.push_async_callback(keyring.close)
            report.add("keyring", True, "the master key fits")
        except (StartRefused, KeyringError, ValueError) as error:
            report.add("keyring", False, str(error))
        log: EmbeddedLog | SharedLog
        try:
            if is_shared(settings.log_url):
                log = await open_shared_log(settings.log_url)
            else:
                log = await open_embedded_log(settings.log_url)
            stack.push_async_callback(log.close)
        except (LogError, ValueError) as error:
            report.add("log", False, f"it can't be opened: {error}")
            return
        if isinstance(log, SharedLog):
            await _shared_log(report, log, settings.log_url)
        else:
            _log(report, log, _file(settings.log_url))
        try:
            store = await open_store(settings.store_url, COLLECTIONS)
            stack.push_async_callback(store.close)
            await store.bind(log.identity)
            await _store(report, log, store)
        except (StoreError, ValueError) as error:
            report.add("read store", False, str(error))
        if isinstance(log, SharedLog):
            await _all_chains(report, log, everything)
        else:
            await _chains(report, log, everything)


async def _shared_log(report: Report, log: SharedLog, url: str) -> None:
    found = await examine_log(url)
    positions = sum((await log.ends()).values())
    detail = f"{log.identity}: {found.partitions} partitions, {positions:,} positions in use"
    report.add("log", True, detail)
    settings = "; ".join(found.faults) or "as hansard migrate makes them"
    report.add("topics", not found.faults, settings)
    ahead = await log.clocks()
    skewed = [
        f"of partition {number} {abs(seconds):.1f} s {'ahead' if seconds > 0 else 'behind'}"
        for number, seconds in sorted(ahead.items())
        if abs(seconds) > MAX_SKEW
    ]
    # A command that had to wait looks as if the clock were ahead.
    detail = f"against the brokers', the decider's {', '.join(skewed)}"
    report.add("clocks", not skewed, detail if skewed else "the deciders go with the brokers")


def _log(report: Report, log: EmbeddedLog, path: Path | None) -> None:
    wal = True
    if path is not None:
        with path.open("rb") as file:
            wal = file.read(20)[18:] == _WAL
    ends = ", ".join(f"{log.end(p):,} {p}" for p in log.partitions)
    # The adapter sets synchronous=FULL on every connection and refuses one that has it not.
    mode = "write-ahead log, synchronous=FULL" if wal else "it is in no WAL mode"
    report.add("log", wal, f"{log.identity}: {ends}; {mode}")


async def _all_chains(report: Report, log: SharedLog, everything: bool) -> None:
    count, faults = await walk(log, None if everything else SAMPLE_POSITIONS)
    which = "all" if everything else "the newest records of"
    report.add("hash chains", not faults, "; ".join(faults) or f"{which} {count:,} streams")


async def _store(report: Report, log: EventLog, store: ReadStore) -> None:
    report.add("read store", True, "it belongs to this log")
    checkpoints = await store.checkpoints()
    # Asked in this order: what is projected meanwhile is not ahead of anything.
    ends = await log.ends()
    behind = {p: end - checkpoints.get(p, 0) for p, end in ends.items()}
    detail = ", ".join(f"{p}: {count:,} to go" for p, count in behind.items() if count)
    # Ahead of its log is a store whose log was put back from an older copy.
    whole = all(count >= 0 for count in behind.values())
    report.add("checkpoints", whole, detail or "the read models hold the whole log")
    [letters] = await store.scan(DEAD_LETTERS, [Scan()])
    stale = [f"{one.stream} at {one.at} ({one.error})" for one in letters if one.error is not None]
    detail = f"stopped: {'; '.join(stale)}. See hansard doctor retry" if stale else "no stream"
    report.add("stale streams", not stale, detail)


async def _chains(report: Report, log: EmbeddedLog, everything: bool) -> None:
    streams, faults = await streams_of(log, None if everything else SAMPLE)
    faults += [fault for stream in streams if (fault := await broken(log, stream)) is not None]
    which = f"all {len(streams):,} streams" if everything else f"the {len(streams)} newest streams"
    report.add("hash chains", not faults, "; ".join(faults) or f"{which} are whole")


def _file(at: str) -> Path | None:
    """The file that a `sqlite:///` URL names."""
    scheme, _, path = at.partition(":///")
    return Path(path) if scheme == "sqlite" else None


async def retry(settings: Settings, stream: str | None) -> list[Retried]:
    """Fold the events of stale streams again, each from its dead letter on; one stream or all. On a
    shared log the projectors do it, while they run.

    Raises:
        StartRefused: a server runs on the data folder, or the stream is not stale.
        StoreError, LogError: the data can't be reached.
    """
    if is_shared(settings.log_url):
        retried = await _asked_to_retry(settings, stream)
    else:
        retried = await _retried(settings, stream)
    if stream is not None and not retried:
        raise StartRefused(f"{stream} is not stale")
    return retried


async def _asked_to_retry(settings: Settings, stream: str | None) -> list[Retried]:
    store = await open_store(settings.store_url, COLLECTIONS)
    try:
        [letters] = await store.scan(DEAD_LETTERS, [Scan()])
        asked: dict[Key, DeadLetter] = {
            (one.stream,): msgspec.structs.replace(one, seq=one.seq + 1, asked=True)
            for one in letters
            if one.error is not None and stream in (None, one.stream)
        }
        await store.write(Batch([(DEAD_LETTERS, list(asked.values()))], {}))
        answers: dict[Key, DeadLetter] = {}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RETRIED_WITHIN):
                while len(answers) < len(asked):
                    await asyncio.sleep(0.2)
                    found = await store.get(DEAD_LETTERS, asked)
                    answers = {k: v for k, v in found.items() if v.seq > asked[k].seq}
    finally:
        await store.close()
    return [_answer(letter, answers.get(key)) for key, letter in asked.items()]


def _answer(asked: DeadLetter, answer: DeadLetter | None) -> Retried:
    if answer is None:
        return Retried(asked.stream, False, asked.at, "no projector has come to it yet")
    if answer.error is None:
        return Retried(asked.stream, True)
    return Retried(asked.stream, False, answer.at, answer.error)


async def _retried(settings: Settings, stream: str | None) -> list[Retried]:
    async with open_core(settings, open_secrets(settings)) as core, writing(core):
        await core.settle()
        stale = core.engine.stale
        retried = []
        for letter in stale.values():
            if stream in (None, letter.stream):
                ok = await projector.retry(core.event_log, core.engine, letter)
                left = core.engine.stale.get(letter.stream)
                at, error = (left.at, left.error) if left is not None else (None, None)
                retried.append(Retried(letter.stream, ok, at, error))
    return retried
