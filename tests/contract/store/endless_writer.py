"""Writes batch after batch into a store until it is killed, and names each one that is written.

Batch `n` raises every note of one room to `seq` n, adds a tag, and has the checkpoint n.
"""

import asyncio
import sys

from projections.store import open_store
from projections.store.port import Batch
from tests.contract.store.notes import COLLECTIONS, Note, Tag, batch

NOTES_A_BATCH = 50


def numbered(n: int) -> Batch:
    notes = [
        Note(seq=n, room="a", number=i, time="t", text="x" * 200, terms={f"v{n}": 1})
        for i in range(NOTES_A_BATCH)
    ]
    return batch(*notes, Tag(seq=1, tag=f"{n}", owner="a", at="t", words=("tag",)), p=n)


async def main(url: str) -> None:
    store = await open_store(url, COLLECTIONS)
    n = 0
    while True:
        n += 1
        await store.write(numbered(n))
        print(n, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
