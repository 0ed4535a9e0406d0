"""Ensures keys in the keyring of the first argument, tells them, and waits to be killed."""

import asyncio
import signal
import sys

import msgspec

from projections.keyring import open_keyring


async def main(url: str, master_key: str, *ids: str) -> None:
    keyring = await open_keyring(url, bytes.fromhex(master_key))
    keys = await keyring.ensure(ids)
    print(msgspec.json.encode(keys).decode(), flush=True)
    signal.pause()


asyncio.run(main(*sys.argv[1:]))
