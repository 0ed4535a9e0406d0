"""Commits group after group into a log until it is killed, and names each one that is acknowledged.

Group `n` gives each of five users their `n`th event and refuses a sixth one something.
"""

import asyncio
import sys

from tests.contract.log.scribe import Scribe
from workers.log import open_embedded_log

USERS = [f"u{n}" for n in range(5)]


async def main(url: str) -> None:
    log = await open_embedded_log(url)
    scribe = Scribe()
    n = 0
    while True:
        n += 1
        await log.commit(scribe.group(*((user, f"Name {n}") for user in USERS), ("late", None)))
        print(n, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
