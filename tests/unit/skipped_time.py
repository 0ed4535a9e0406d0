"""An event loop on which nobody waits."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class _Skipping(selectors.DefaultSelector):
    """Where a selector would wait for the next timer it moves the time on instead."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everything waits, and nothing will happen any more"
        self.skipped += max(0.0, timeout)
        return super().select(0)


class _SkippingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        """Seconds that would have been waited."""
        return self._skipping.skipped


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run on a loop whose time stands still while there is anything to do, and jumps to the next
    timer when there is not."""
    with asyncio.Runner(loop_factory=_SkippingLoop) as runner:
        runner.run(main)
