"""Sealing and opening on hot paths: keys are fetched first, then used without waiting.

After `ensure` or `load` returned, the keys asked for are at hand until the caller next awaits.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import structlog

from domain.sealing import (
    CannotOpen,
    derive,
    digest_key,
    is_sealed,
    mac,
    open_box,
    seal,
    synthetic_nonce,
)
from projections.keyring.port import Keyring

#: How long a key is used, in seconds, before the keyring is asked again.
KEEP_SECONDS = 60.0

_DERIVED_KEYS = 4096
_OPENED = 8192

#: Stream, command, field.
_Place = tuple[str, str, str]

log = structlog.get_logger()


class KeyDestroyed(Exception):
    """The key was destroyed: nothing can be sealed with it any more."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"the key {key_id} was destroyed")
        self.key_id = key_id


class KeyNotLoaded(LookupError):
    """A key was used without `ensure` or `load` before: a mistake in the code that did."""


class Opened(NamedTuple):
    """A field as it can be shown; `erased` says that it had a value which can't be had back."""

    value: Any
    erased: bool


class _Entry(msgspec.Struct):
    """What the keyring said at a time of the clock; without a `key` there was none."""

    key: bytes | None
    asked_at: float
    digest_key: bytes | None = None


class Vault:
    """The keys in use, `capacity` at most: those least recently asked for go first."""

    def __init__(
        self,
        keyring: Keyring,
        sealing: bool = True,
        clock: Callable[[], float] = time.monotonic,
        *,
        capacity: int = 50_000,
    ) -> None:
        self._sealing = sealing
        self._clock = clock
        self._capacity = capacity
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._forgotten: set[str] = set()
        # One question at a time: a key just made can't be overtaken by an older "there is none".
        self._turn = asyncio.Lock()
        self._make = _Joined(lambda ids: self._ask(keyring.ensure, ids), self._turn)
        self._fetch = _Joined(lambda ids: self._ask(keyring.get, ids), self._turn)
        self._derive = lru_cache(_DERIVED_KEYS)(derive)
        # What was sealed here is opened here next, by the fan-out and by the search index.
        self._opened: OrderedDict[_Place, tuple[Mapping[str, Any], Any]] = OrderedDict()

    async def ensure(self, key_ids: Collection[str]) -> None:
        """Have these keys at hand, made where there were none.

        Raises:
            KeyDestroyed: one of them was destroyed.
            KeyringError: the keyring could not be asked.
            ValueError: more keys than the vault holds.
        """
        while missing := self._missing(key_ids, gone_too=True):
            await self._make(missing)
            for key_id in missing:
                entry = self._entries.get(key_id)
                if entry is not None and entry.key is None:
                    raise KeyDestroyed(key_id)

    async def load(self, key_ids: Collection[str]) -> None:
        """Have these keys at hand as far as there are any.

        Raises:
            KeyringError: the keyring could not be asked.
            ValueError: more keys than the vault holds.
        """
        while missing := self._missing(key_ids, gone_too=False):
            await self._fetch(missing)

    def forget(self, key_ids: Iterable[str]) -> None:
        """These keys were destroyed: nothing is opened or sealed with them from now on."""
        now = self._clock()
        for key_id in key_ids:
            if self._turn.locked():
                self._forgotten.add(key_id)
            if key_id in self._entries:
                self._keep(key_id, None, now)

    def seal(
        self, key_id: str, stream: str, command: str, fields: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The fields with their values sealed, but for None and UNSET; plain with sealing off.

        Raises:
            KeyDestroyed: the key was destroyed since `ensure`.
        """
        sealed = dict(fields)
        if self._sealing:
            for field, value in fields.items():
                if value is not None and value is not msgspec.UNSET:
                    derived = self._derive(self._key(key_id), stream, command)
                    box = _box(key_id, derived, stream, command, field, value)
                    self._keep_opened(stream, command, field, box, value)
                    sealed[field] = box
        return sealed

    def open(self, stream: str, command: str, field: str, value: Any) -> Opened:
        """A field's value as it was before sealing; what is no box is returned as it is.

        A box whose key is gone, and one that does not open, read as erased.
        """
        key_id = _key_id(value)
        if key_id is None:
            return Opened(value, erased=False)
        key = self._entry(key_id).key
        if key is None:
            return Opened(None, erased=True)
        kept = self._opened.get((stream, command, field))
        if kept is not None and kept[0] == value:
            return Opened(kept[1], erased=False)
        try:
            derived = self._derive(key, stream, command)
            clear = open_box(derived, stream, command, field, value)
            self._keep_opened(stream, command, field, value, clear)
            return Opened(clear, erased=False)
        except CannotOpen as error:
            log.warning(
                "box_not_opened",
                key_id=key_id,
                stream=stream,
                command=command,
                field=field,
                reason=str(error),
            )
            return Opened(None, erased=True)

    def digest(self, key_id: str, canonical: bytes) -> str:
        """The digest of a command: hex HMAC-SHA256 of its canonical form.

        Raises:
            KeyDestroyed: the key was destroyed since `ensure`.
        """
        entry = self._entry(key_id)
        if entry.digest_key is None:
            entry.digest_key = digest_key(self._key(key_id))
        return mac(entry.digest_key, canonical).hex()

    @staticmethod
    def key_ids(values: Iterable[Any]) -> set[str]:
        """The ids of the keys that the boxes among these values need."""
        return {key_id for value in values if (key_id := _key_id(value)) is not None}

    def _keep_opened(
        self, stream: str, command: str, field: str, box: Mapping[str, Any], value: Any
    ) -> None:
        self._opened[stream, command, field] = (box, value)
        if len(self._opened) > _OPENED:
            self._opened.popitem(last=False)

    def _entry(self, key_id: str) -> _Entry:
        entry = self._entries.get(key_id)
        if entry is None:
            # Reading it as erased would write a hole into the read models.
            raise KeyNotLoaded(key_id)
        return entry

    def _key(self, key_id: str) -> bytes:
        key = self._entry(key_id).key
        if key is None:
            raise KeyDestroyed(key_id)
        return key

    def _missing(self, key_ids: Collection[str], *, gone_too: bool) -> list[str]:
        if len(key_ids) > self._capacity:
            raise ValueError(f"{len(key_ids)} keys at once, the vault holds {self._capacity}")
        fresh_after = self._clock() - KEEP_SECONDS
        missing = []
        for key_id in key_ids:
            entry = self._entries.get(key_id)
            if entry is None or entry.asked_at <= fresh_after or (gone_too and entry.key is None):
                missing.append(key_id)
            else:
                self._entries.move_to_end(key_id)
        return missing

    async def _ask(
        self, ask: Callable[[Sequence[str]], Awaitable[dict[str, bytes]]], key_ids: list[str]
    ) -> None:
        self._forgotten.clear()
        asked_at = self._clock()
        found = await ask(key_ids)
        for key_id in key_ids:
            # The answer may be from before the notice.
            if key_id not in self._forgotten:
                self._keep(key_id, found.get(key_id), asked_at)

    def _keep(self, key_id: str, key: bytes | None, asked_at: float) -> None:
        known = self._entries.pop(key_id, None)
        self._entries[key_id] = _Entry(key, asked_at)
        if known is not None and known.key is not None and key is None:
            # What was derived from it goes too; no other way leads to it in the cache.
            self._derive.cache_clear()
            self._opened.clear()
        if len(self._entries) > self._capacity:
            self._entries.popitem(last=False)


class _Joined:
    """Asks for ids in one go: those wanted while a question is under way join the next one."""

    def __init__(self, ask: Callable[[list[str]], Awaitable[None]], turn: asyncio.Lock) -> None:
        self._ask = ask
        self._turn = turn
        self._wanted: set[str] = set()
        self._next: asyncio.Task[None] | None = None

    async def __call__(self, ids: Iterable[str]) -> None:
        self._wanted.update(ids)
        if self._next is None:
            self._next = asyncio.create_task(self._run())
        # Who gives up waiting does not end it for the others.
        await asyncio.shield(self._next)

    async def _run(self) -> None:
        async with self._turn:
            wanted, self._wanted, self._next = self._wanted, set(), None
            await self._ask(list(wanted))


def _key_id(value: Any) -> str | None:
    """The id of the key that sealed the value; None of what is no box."""
    if is_sealed(value) and isinstance(value["sealed"], str):
        return value["sealed"]
    return None


def _box(
    key_id: str, derived: bytes, stream: str, command: str, field: str, value: Any
) -> dict[str, Any]:
    nonce = synthetic_nonce(derived, field, msgspec.json.encode(value))
    return seal(key_id, derived, nonce, stream, command, field, value)
