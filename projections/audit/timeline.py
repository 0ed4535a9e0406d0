"""The events of a stream as they were said, whatever became of them since."""

from typing import Any

import msgspec

from domain.catalogue import SEALED_FIELDS
from domain.envelope import Envelope, chain_next
from projections.audit.record import Record, read
from projections.vault import Vault
from projections.views.shapes import Listing, Recorded


async def page(
    record: Record,
    vault: Vault,
    stream: str,
    *,
    since: str | None = None,
    until: str | None = None,
    after: int = 0,
    limit: int = 50,
) -> Listing[Recorded]:
    """Events from an instant (inclusive) to another (exclusive). `after` is the `next` of the page
    before.

    Raises:
        RecordError: they can't be read.
    """
    if since is not None and after == 0:
        after = await _last_before(record, stream, since)
    records = await record.read_stream(stream, after, limit + 1)
    found = [(read(one), one) for one in records]
    wanted = [(e, one) for e, one in found if until is None or e.time < until]
    shown: list[tuple[Envelope, bytes, dict[str, Any]]] = [
        (e, one, msgspec.json.decode(e.data)) for e, one in wanted[:limit]
    ]
    await vault.load(vault.key_ids(v for e, _, data in shown for v in _sealed(e, data)))
    return Listing(
        items=[_show(vault, *one) for one in shown],
        next=shown[-1][0].seq if len(wanted) > limit else None,
    )


async def _last_before(record: Record, stream: str, instant: str) -> int:
    """The seq of the last event before an instant: time never goes back within a stream."""

    async def earlier(seq: int) -> bool:
        records = await record.read_stream(stream, seq - 1, 1)
        return bool(records) and read(records[0]).time < instant

    low, high = 0, 1
    while await earlier(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if await earlier(middle):
            low = middle
        else:
            high = middle
    return low


def _sealed(envelope: Envelope, data: dict[str, Any]) -> list[Any]:
    return [data[name] for name in SEALED_FIELDS.get(envelope.type, ()) if name in data]


def _show(vault: Vault, envelope: Envelope, record: bytes, data: dict[str, Any]) -> Recorded:
    erased = False
    for name in SEALED_FIELDS.get(envelope.type, ()):
        if name in data:
            opened = vault.open(envelope.stream, envelope.commandid, name, data[name])
            data[name] = opened.value
            erased |= opened.erased
    if erased:
        data["erased"] = True
    return Recorded(
        stream=envelope.stream,
        seq=envelope.seq,
        type=envelope.type,
        time=envelope.time,
        actor=envelope.actor,
        command=envelope.commandid,
        data=data,
        prev=envelope.prev,
        hash=chain_next(record),
        original_time=envelope.originaltime,
        basis=envelope.basis,
    )
