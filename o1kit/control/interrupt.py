"""`Interrupt`: what Ctrl-C, SIGTERM, `o1kit stop` and a closed terminal do to a run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Ctrl-C and SIGTERM: the first one waits for a checkpoint while training, the second ends the run at once.

    SIGHUP, which says that the terminal was closed, waits as well. It may come twice and is heard once.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.signal = 0
        self.defer = False
        self._say = say
        self._terminals: list[int] = []

    def leave(self) -> None:
        """Ends the run if it was interrupted, with the exit code a shell expects: 129, 130 or 143."""
        if self.signal:
            raise SystemExit(128 + self.signal)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            _discard(self._terminals)
            if self.signal:
                return
        again, self.signal = bool(self.signal), number
        if again or not self.defer:
            self.leave()
        self._say("interrupted: saving a checkpoint (once more to stop at once)")

    @contextmanager
    def listening(self) -> Iterator[Interrupt]:
        """Catches the signals for as long as it is open; outside the main thread it does nothing."""
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup sets it: the run outlives the terminal
            numbers.append(signal.SIGHUP)
        self._terminals = [number for number in (1, 2) if os.isatty(number)]
        try:
            old = {number: signal.signal(number, self._handle) for number in numbers}
        except ValueError:
            yield self
            return
        try:
            yield self
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)


def _discard(terminals: list[int]) -> None:
    """What is printed to a terminal that was closed goes nowhere, and is no error."""
    if terminals:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for number in terminals:
            os.dup2(nowhere, number)
        os.close(nowhere)
