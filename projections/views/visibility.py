"""Which messages a reader has: those they hid are gone from every answer."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from projections.hidden import HIDDEN
from projections.messages import MESSAGES, Message
from projections.store.port import Scan
from projections.views.access import Access
from projections.views.reading import NotFound, Reading

#: Messages read in one go while looking for one to show.
MAX_CHUNK = 1000

Place = tuple[str, int]


class Run(NamedTuple):
    """Messages of a chat along an index, as one of its members sees them."""

    access: Access
    scan: Scan

    def beyond(self, seq: int) -> "Run":
        """What the run has after the message at `seq`."""
        scan = self.scan
        further = scan._replace(below=seq) if scan.newest else scan._replace(above=seq)
        return Run(self.access, further)


async def hidden(
    reading: Reading, accesses: Mapping[str, Access], places: Iterable[Place]
) -> set[Place]:
    """Which of these messages, by chat and seq, their reader has hidden."""
    keys = [
        (accesses[chat].user, chat, message)
        for chat, message in places
        if message <= accesses[chat].mark.hidden_up_to
    ]
    return {(one.chat, one.message) for one in (await reading.get(HIDDEN, keys)).values()}


async def visible(
    reading: Reading,
    runs: Sequence[Run],
    wanted: int,
    keep: Callable[[Message], bool] = lambda _: True,
) -> list[list[Message]]:
    """The first `wanted` messages of each run that are not hidden and that `keep` takes.

    A run gives fewer only if it has no more.
    """
    found: list[list[Message]] = [[] for _ in runs]
    accesses = {run.access.id: run.access for run in runs}
    open_runs = dict(enumerate(runs))
    chunk = wanted
    while open_runs:
        scans = [run.scan._replace(limit=chunk) for run in open_runs.values()]
        answers = await reading.scan(MESSAGES, scans)
        unseen = await hidden(
            reading, accesses, ((m.chat, m.message) for answer in answers for m in answer)
        )
        for (number, run), answer in zip(list(open_runs.items()), answers, strict=True):
            found[number] += [m for m in answer if (m.chat, m.message) not in unseen and keep(m)]
            if len(answer) < chunk or len(found[number]) >= wanted:
                del open_runs[number]
            else:
                open_runs[number] = run.beyond(answer[-1].message)
        chunk = min(4 * chunk, MAX_CHUNK)
    return [messages[:wanted] for messages in found]


async def one_visible(reading: Reading, access: Access, seq: int) -> Message:
    """The message at a seq.

    Raises:
        NotFound: `message_not_found` also for one hidden, or too old to be seen.
    """
    place = (access.id, seq)
    message = (await reading.get(MESSAGES, [place])).get(place)
    if message is None or seq < access.floor or await hidden(reading, {access.id: access}, [place]):
        raise NotFound("message_not_found")
    return message
