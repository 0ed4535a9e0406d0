"""Who is told of a receipt where a chat is too large for all of its members to be told."""

from domain.ids import split_stream
from projections.marks import MARK_STEPS
from projections.messages import MESSAGES
from projections.realtime.port import Publication
from projections.store.port import Scan
from projections.views.reading import Reading

COVERED = 100


async def newly_covered(reading: Reading, receipt: Publication) -> set[str]:
    """The senders of the last messages that a mark newly covers."""
    chat = split_stream(receipt.channel)[1]
    [steps] = await reading.scan(
        MARK_STEPS,
        [
            Scan(
                equal=(chat, receipt.user, receipt.type),
                below=receipt.up_to,
                newest=True,
                limit=1,
            )
        ],
    )
    [messages] = await reading.scan(
        MESSAGES,
        [
            Scan(
                equal=(chat,),
                along="by_ordinal",
                above=steps[0].up_to if steps else 0,
                below=receipt.up_to + 1,
                newest=True,
                limit=COVERED,
            )
        ],
    )
    return {message.sender for message in messages}
