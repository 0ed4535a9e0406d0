"""What the channels have in common: what can become of something that is sent."""

from typing import Literal, NamedTuple


class Sent(NamedTuple):
    """`taken` by the other side; `gone` is its place for good; `refused` for what it is; or to be
    tried `later`, in `pause` seconds at the earliest. `reason` is for the log."""

    outcome: Literal["taken", "gone", "refused", "later"]
    reason: str = ""
    pause: int | None = None


TAKEN = Sent("taken")
