"""What a person sees while a run works: bars with rate and time left on a terminal, plain lines elsewhere.

    with Progress("labels", total=len(problems)) as progress:
        for problem in problems:
            ...
            progress.advance(solved=0.4)

Nobody passes a display around: the runner sets it (`use`), everyone else finds it (`current`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as RichBars

from o1kit.functional.secrets import hide

LINE_EVERY_S = 10.0
"""Seconds between the plain lines of one loop."""
BAR_EVERY_S = 0.2
"""Seconds between the updates of one bar."""


class Display:
    """Where messages and progress go: one stream, drawn on if it is a terminal, else written to line by line."""

    def __init__(self, stream: TextIO | None = None, *, plain: bool = False) -> None:
        self.console = Console(file=stream, highlight=False, soft_wrap=True)
        self.plain = plain or not self.console.is_terminal
        self.stage = ""
        self.depth = 0
        self.watcher: Callable[[Progress], None] | None = None
        """Is told of every movement of every loop."""
        self._bars: RichBars | None = None

    def say(self, text: str) -> None:
        """Prints one message, above the bars if there are any."""
        self.console.print(hide(text), markup=False)
        self.console.file.flush()

    def open_bar(self, label: str, total: float | None) -> TaskID:
        """Shows a bar; the first one starts the live area."""
        if self._bars is None:
            self._bars = RichBars(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=30),
                TextColumn("{task.fields[line]}", markup=False),
                console=self.console,
                transient=True,
                refresh_per_second=5,
            )
            self._bars.start()
        return self._bars.add_task(label, total=total, line="")

    def move_bar(self, bar: TaskID, done: float, line: str) -> None:
        """Sets how far a bar is and what stands beside it."""
        if self._bars is not None:
            self._bars.update(bar, completed=done, line=line)

    def close_bar(self, bar: TaskID) -> None:
        """Removes a bar; the last one ends the live area."""
        if self._bars is not None:
            self._bars.remove_task(bar)
            if not self._bars.task_ids:
                self._bars.stop()
                self._bars = None


_display: ContextVar[Display | None] = ContextVar("o1kit_display", default=None)
_fallback: list[Display] = []


def current() -> Display:
    """The display in use; without a runner, one on standard output."""
    display = _display.get()
    if display is not None:
        return display
    if not _fallback or _fallback[0].console.file is not sys.stdout:
        _fallback[:] = [Display()]
    return _fallback[0]


@contextmanager
def use(display: Display) -> Iterator[Display]:
    """Makes a display the current one."""
    token = _display.set(display)
    try:
        yield display
    finally:
        _display.reset(token)


def say(text: str) -> None:
    """Prints one message on the current display."""
    current().say(text)


class Progress:
    """A loop that reports how far it is, how fast, and how long it will take. A context manager."""

    def __init__(self, label: str, total: float | None = None, *, done: float = 0) -> None:
        self.label, self.total, self.done = label, total, done
        self._first = done
        self.fields: dict[str, float | str] = {}
        self.nested = False
        """True for a loop inside another one."""
        self._display = current()
        self._start = self._shown = time.monotonic()
        self._bar: TaskID | None = None

    def __enter__(self) -> Progress:
        self._start = self._shown = time.monotonic()
        self.nested = self._display.depth > 0
        self._display.depth += 1
        if not self._display.plain:
            self._bar = self._display.open_bar(self._heading(), self.total)
        self._tell()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.depth -= 1
        if self._bar is not None:
            self._display.close_bar(self._bar)
        # Short loops inside longer ones would only flood the log.
        if kind is None and (not self.nested or self._elapsed() >= LINE_EVERY_S):
            self._display.say(f"{self._heading()} {self._count()}{self._values()}  {duration(self._elapsed())}")

    def advance(self, n: float = 1, /, **fields: float | str) -> None:
        """Counts `n` more units as done; the fields are shown beside the count."""
        self.update(self.done + n, **fields)

    def update(self, done: float, /, **fields: float | str) -> None:
        """Sets the count of finished units; the fields are shown beside it."""
        self.done = done
        self.fields.update(fields)
        self._tell()
        now = time.monotonic()
        if now - self._shown < (LINE_EVERY_S if self._display.plain else BAR_EVERY_S):
            return
        self._shown = now
        if self._bar is not None:
            self._display.move_bar(self._bar, done, f"{self._count()}{self._values()}  {self._pace()}")
        else:
            self._display.say(f"{self._heading()} {self._count()}{self._values()}  {self._pace()}")

    @property
    def rate(self) -> float:
        """Units a second so far."""
        return (self.done - self._first) / max(self._elapsed(), 1e-9)

    @property
    def text(self) -> str:
        """Label and count: `problem 12/64`."""
        return f"{self.label} {self._count()}"

    def _tell(self) -> None:
        if self._display.watcher is not None:
            self._display.watcher(self)

    def _heading(self) -> str:
        return f"{self._display.stage}  {self.label}" if self._display.stage else self.label

    def _count(self) -> str:
        return f"{self.done:g}/{self.total:g}" if self.total is not None else f"{self.done:g}"

    def _values(self) -> str:
        return "".join(f"  {name} {format_value(value)}" for name, value in self.fields.items())

    def _elapsed(self) -> float:
        return time.monotonic() - self._start

    def _pace(self) -> str:
        rate = self.rate
        text = f"{rate:.3g} it/s"
        if self.total is None or rate <= 0:
            return text
        return f"{text}  ETA {duration(max(self.total - self.done, 0) / rate)}"


def duration(seconds: float) -> str:
    """A time span for people: `9s`, `1m42s`, `2h05m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


def format_value(value: float | str) -> str:
    """A number with three significant digits, or the text as it is."""
    return value if isinstance(value, str) else f"{value:.3g}"


def short_names(metrics: Mapping[str, float]) -> dict[str, float]:
    """Metrics under their last path component: `sft/loss` becomes `loss`."""
    return {name.rpartition("/")[2]: value for name, value in metrics.items()}
