"""One decider process that takes a partition and answers a command, for `benchmarks.takeover`."""

import asyncio
import sys
import time
from pathlib import Path

import msgspec
import structlog
import uvloop

from domain import commands as c
from domain.commands import Command
from domain.ids import user_stream
from projections.objects import open_objects
from projections.realtime import open_realtime
from workers.core import now, now_millis
from workers.deciders.partitions import PartitionDecider
from workers.log import open_command_log
from workers.log.port import ReplyTo, Tenure


class Answered(msgspec.Struct):
    """Seconds since the process began: the partition was taken, the command answered; CPU seconds
    of all threads until then, and the records that had to be folded."""

    taken_s: float
    answered_s: float
    cpu_s: float
    folded: int


async def answer(log_url: str, caches: Path, objects_url: str, began: float) -> Answered:
    realtime, replied = open_realtime("memory://"), asyncio.Event()
    await realtime.receive("newcomer", lambda _: replied.set(), lambda: None)
    commands = await open_command_log(log_url, caches, open_objects(objects_url))
    decider, taken_s = PartitionDecider(realtime, now_millis), 0.0

    async def work(tenure: Tenure) -> None:
        nonlocal taken_s
        taken_s = time.time() - began
        await decider.work(tenure)

    ask = Command(
        id=f"newcomer-{began}",
        digest="newcomer",
        stream=user_stream("user-0"),
        actor="user-0",
        time=now(),
        action=c.PutProfile(name=f"Newcomer {began}"),
    )
    await commands.put(ask, ReplyTo("newcomer", 1))
    with structlog.testing.capture_logs() as told:
        holding = asyncio.create_task(commands.hold(work))
        waiting = asyncio.create_task(replied.wait())
        await asyncio.wait((holding, waiting), return_when=asyncio.FIRST_COMPLETED)
        answered_s, cpu_s = time.time() - began, time.process_time()
        holding.cancel()
        waiting.cancel()
        await asyncio.wait((holding, waiting))
    await commands.close()
    folded = sum(one["records"] for one in told if one["event"] == "partition_restored")
    return Answered(round(taken_s, 2), round(answered_s, 2), round(cpu_s, 2), folded)


if __name__ == "__main__":
    url, folder, objects, start = sys.argv[1:]
    found = uvloop.run(answer(url, Path(folder), objects, float(start)))
    print(msgspec.json.encode(found).decode())
