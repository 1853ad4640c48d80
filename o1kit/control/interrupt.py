"""`Interrupt`: what Ctrl-C, SIGTERM and `o1kit stop` do to a run."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Ctrl-C and SIGTERM: the first one waits for a checkpoint while training, the second ends the run at once."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.signal = 0
        self.defer = False
        self._say = say

    def leave(self) -> None:
        """Ends the run if it was interrupted, with the exit code a shell expects: 130 or 143."""
        if self.signal:
            raise SystemExit(128 + self.signal)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again, self.signal = bool(self.signal), number
        if again or not self.defer:
            self.leave()
        self._say("interrupted: saving a checkpoint (once more to stop at once)")

    @contextmanager
    def listening(self) -> Iterator[Interrupt]:
        """Catches the two signals for as long as it is open; outside the main thread it does nothing."""
        try:
            old = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:
            yield self
            return
        try:
            yield self
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)
