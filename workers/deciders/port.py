"""The way from whoever has a command to the single writer of its stream, and back."""

from collections.abc import Callable
from typing import Protocol

from domain.commands import Command
from domain.decider import Verdict

Reply = Callable[[Verdict | None], None]


class Overloaded(Exception):
    """Too many commands are waiting."""


class Deciders(Protocol):
    def submit(self, command: Command, reply: Reply) -> None:
        """Send a command on its way. `reply` is called once: with its verdict when that is
        durable, or with None when the log could not take it.

        Raises:
            Overloaded: too many wait.
        """

    @property
    def waiting(self) -> int:
        """How many commands have no reply yet."""

    @property
    def oldest(self) -> float:
        """The seconds for which the first of them has had none; 0 without any."""

    async def carry(self) -> None:
        """Bring commands to their deciders and replies back, until cancelled."""

    async def decide(self) -> None:
        """Be the decider of what falls to this process, until cancelled. What was submitted to a
        decider of one process alone is committed and answered before that."""

    async def drain(self) -> None:
        """Return once all that was submitted has its reply."""

    async def close(self) -> None: ...
