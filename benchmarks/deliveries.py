"""Whether every acknowledged message arrived exactly once and in order."""

from array import array
from collections.abc import Mapping


class Inbox:
    """What one reader got of one chat, in the order it came: message `numbers[i]` as `seqs[i]`.

    The number of a message is the one its sender gave it; it leads the content.
    """

    def __init__(self, reader: str) -> None:
        self.reader = reader
        self.seqs = array("q")
        self.numbers = array("q")

    def add(self, seq: int, content: str | None) -> int:
        """Returns the message's number, -1 if the content isn't one of ours."""
        number = number_of(content)
        self.seqs.append(seq)
        self.numbers.append(number)
        return number

    def newest(self) -> int:
        """The seq that came last, 0 before the first."""
        return self.seqs[-1] if self.seqs else 0

    def reverse(self) -> None:
        self.seqs.reverse()
        self.numbers.reverse()


def number_of(content: str | None) -> int:
    head = (content or "").partition(" ")[0]
    return int(head) if head.isdecimal() else -1


def faults(acks: Mapping[int, int], inbox: Inbox) -> list[str]:
    """One line for each message that is lost, doubled, out of order or another than acknowledged.

    `acks` gives the seq that each message number was acknowledged with. A message that arrived
    without having been acknowledged is no fault.
    """
    found: list[str] = []
    numbers = {seq: number for number, seq in acks.items()}
    arrived: set[int] = set()
    highest = 0
    for seq, number in zip(inbox.seqs, inbox.numbers, strict=True):
        if seq in arrived:
            found.append(f"{inbox.reader}: seq {seq} (message {number}) arrived twice")
        elif seq < highest:
            found.append(f"{inbox.reader}: seq {seq} (message {number}) arrived after {highest}")
        if acks.get(number, seq) != seq:
            found.append(
                f"{inbox.reader}: message {number} was acknowledged as seq {acks[number]}"
                f" and arrived as seq {seq}"
            )
        elif numbers.get(seq, number) != number:
            found.append(
                f"{inbox.reader}: seq {seq} was acknowledged as message {numbers[seq]}"
                f" and arrived as {'another content' if number < 0 else f'message {number}'}"
            )
        arrived.add(seq)
        highest = max(highest, seq)
    found += [
        f"{inbox.reader}: seq {seq} (message {number}) never arrived"
        for seq, number in numbers.items()
        if seq not in arrived
    ]
    return found
