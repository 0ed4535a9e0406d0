"""`hansard doctor`: whether everything is as it should be, found out without changing anything."""

import contextlib
import os
import shutil
import stat
from pathlib import Path

import httpx
import msgspec

from domain.envelope import Envelope, decode
from projections.catalogue import COLLECTIONS
from projections.dead_letters import DEAD_LETTERS
from projections.keyring import KeyringError, open_keyring
from projections.store import open_store
from projections.store.port import ReadStore, Scan, StoreError
from workers.core import open_core, writing
from workers.data_lock import DataInUse, DataLock
from workers.log import open_embedded_log
from workers.log.port import EmbeddedLog, LogError
from workers.secrets_file import JWT_SECRET_FILE, MASTER_KEY_FILE, open_secrets
from workers.settings import Settings, StartRefused
from workers.tools.chain import broken, streams_of
from workers.tools.welcome import url

#: Free space below which a data folder is in danger, in bytes.
MIN_FREE = 512 * 1024 * 1024
#: Streams whose hash chain is followed when not all are.
SAMPLE = 20

_PAGE = 1000
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
    """What became of a stale stream; `at` is the event it has stopped at again."""

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
    missing = [
        path
        for at in (settings.keyring_url, settings.log_url, settings.store_url)
        if (path := _file(at)) is not None and not path.exists()
    ]
    if missing:
        # Opening would make it.
        detail = f"{', '.join(map(str, missing))} not there yet; the first start makes it"
        report.add("data", len(missing) == 3, detail)
        return
    async with contextlib.AsyncExitStack() as stack:
        try:
            secrets = open_secrets(settings)
            keyring = await open_keyring(settings.keyring_url, secrets.master_key)
            stack.push_async_callback(keyring.close)
            report.add("keyring", True, "the master key fits")
        except (StartRefused, KeyringError, ValueError) as error:
            report.add("keyring", False, str(error))
        try:
            log = await open_embedded_log(settings.log_url)
            stack.push_async_callback(log.close)
        except (LogError, ValueError) as error:
            report.add("log", False, f"it can't be opened: {error}")
            return
        _log(report, log, _file(settings.log_url))
        try:
            store = await open_store(settings.store_url, COLLECTIONS)
            stack.push_async_callback(store.close)
            await store.bind(log.identity)
            await _store(report, log, store)
        except (StoreError, ValueError) as error:
            report.add("read store", False, str(error))
        await _chains(report, log, everything)


def _log(report: Report, log: EmbeddedLog, path: Path | None) -> None:
    wal = True
    if path is not None:
        with path.open("rb") as file:
            wal = file.read(20)[18:] == _WAL
    ends = ", ".join(f"{log.end(p):,} {p}" for p in log.partitions)
    # The adapter sets synchronous=FULL on every connection and refuses one that has it not.
    mode = "write-ahead log, synchronous=FULL" if wal else "it is in no WAL mode"
    report.add("log", wal, f"{log.identity}: {ends}; {mode}")


async def _store(report: Report, log: EmbeddedLog, store: ReadStore) -> None:
    report.add("read store", True, "it belongs to this log")
    checkpoints = await store.checkpoints()
    behind = {p: log.end(p) - checkpoints.get(p, 0) for p in log.partitions}
    detail = ", ".join(f"{p}: {count:,} to go" for p, count in behind.items())
    # Ahead of its log is a store whose log was put back from an older copy.
    report.add("checkpoints", all(count >= 0 for count in behind.values()), detail)
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
    """Fold the events of stale streams again, each from its dead letter on; one stream or all.

    Raises:
        StartRefused: a server runs on the data folder, or the stream is not stale.
    """
    async with open_core(settings, open_secrets(settings)) as core, writing(core):
        await core.settle()
        stale = core.engine.stale
        retried = []
        for letter in stale.values():
            if stream in (None, letter.stream):
                events: list[Envelope] = []
                after = letter.at - 1
                while records := await core.event_log.read_stream(letter.stream, after, _PAGE):
                    events += map(decode, records)
                    after += len(records)
                ok = await core.engine.retry(letter, events)
                left = core.engine.stale.get(letter.stream)
                at, error = (left.at, left.error) if left is not None else (None, None)
                retried.append(Retried(letter.stream, ok, at, error))
    if stream is not None and not retried:
        raise StartRefused(f"{stream} is not stale")
    return retried
