"""Where events are kept."""

from pathlib import Path

from projections.objects import Objects
from workers.log.port import CommandLog, EmbeddedLog, EventLog, Migration, SharedLog
from workers.log.sqlite import SqliteLog


async def open_log(url: str) -> EventLog:
    """Open the log that a URL names, for reading: `sqlite:///path`, which is made where there is
    none, or `kafka://host:port/prefix`, which `migrate_log` makes.

    Raises:
        ValueError: the URL names no kind of log.
        LogError: it can't be opened, or is not what it was.
    """
    if url.startswith("kafka:"):
        # Only who uses it waits for its driver to load.
        from workers.log import kafka, kafka_topics

        return await kafka.KafkaLog.open(kafka_topics.parse_url(url))
    return await open_embedded_log(url)


async def open_embedded_log(url: str) -> EmbeddedLog:
    """Open a log that this process alone writes, making it where there is none.

    Raises:
        ValueError: the URL names no log of this kind.
        LogError: it can't be opened.
    """
    scheme, _, path = url.partition(":///")
    if scheme == "sqlite" and path:
        return await SqliteLog.open(path)
    raise ValueError(f"no log of this kind: {scheme}")


async def open_shared_log(url: str) -> SharedLog:
    """Open a log that several processes use.

    Raises:
        ValueError: the URL names no log of this kind.
        LogError: it can't be opened, or is not what it was.
    """
    log = await open_log(url)
    if not isinstance(log, SharedLog):
        await log.close()
        raise ValueError("no log that is shared")
    return log


async def examine_log(url: str) -> Migration:
    """What of a shared log is not as it should be; it is left as it is.

    Raises:
        ValueError: the URL names no log that is shared.
        LogError: there is none, it is not what it was, or it can't be reached.
    """
    from workers.log import kafka_identity, kafka_topics

    return await kafka_identity.examine(kafka_topics.parse_url(url))


def is_shared(url: str) -> bool:
    """Whether several processes can write and read the log that a URL names."""
    return url.startswith("kafka:")


async def open_command_log(url: str, caches: Path, objects: Objects) -> CommandLog:
    """The queue of commands of a shared log. `caches` is the folder for what this process's
    deciders keep, and in `objects` all of them keep their snapshots.

    Raises:
        ValueError: the URL names no log that is shared.
        LogError: it can't be opened, or is not what it was.
    """
    from workers.log import kafka_commands, kafka_topics

    place = kafka_topics.parse_url(url)
    return await kafka_commands.KafkaCommandLog.open(place, caches, objects)


async def migrate_log(url: str) -> Migration:
    """Make what is missing of a log, and say what of it is not as it should be. May be repeated.

    Raises:
        ValueError: the URL names no kind of log.
        LogError: it can't be reached, or its parts do not belong together.
    """
    if url.startswith("kafka:"):
        from workers.log import kafka_identity, kafka_topics

        return await kafka_identity.migrate(kafka_topics.parse_url(url))
    log = await open_embedded_log(url)
    await log.close()
    return Migration(log.identity, len(log.partitions), [], [])
