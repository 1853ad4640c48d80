"""Progress: plain lines at a bounded rate, bars on a terminal, and never a leftover bar."""

from __future__ import annotations

import io
import re

import pytest

from o1kit.tracking import progress
from o1kit.tracking.progress import Display, Progress, current, duration, say, use


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_plain_lines_appear_every_ten_seconds_with_rate_and_time_left(clock: Clock) -> None:
    stream = io.StringIO()
    with use(Display(stream)) as display:
        display.stage = "sft"
        with Progress("step", total=2500) as bar:
            for _ in range(500):
                clock.now += 0.0625
                bar.advance(loss=0.4123)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "sft  step 160/2500  loss 0.412  16 it/s  ETA 2m26s"
    assert len(lines) == 4
    assert lines[-1] == "sft  step 500/2500  loss 0.412  31s"


def test_short_loops_inside_a_longer_one_are_silent(clock: Clock) -> None:
    stream = io.StringIO()
    with use(Display(stream)), Progress("iteration", total=3) as outer:
        for _ in range(3):
            with Progress("search", total=10) as inner:
                clock.now += 1
                inner.advance(10)
            outer.advance()
    assert stream.getvalue().splitlines() == ["iteration 3/3  3s"]


def test_a_continued_loop_does_not_count_what_was_done_before(clock: Clock) -> None:
    stream = io.StringIO()
    with use(Display(stream)), Progress("step", total=1000, done=900) as bar:
        clock.now += 10
        bar.update(950)
    assert stream.getvalue().splitlines()[0] == "step 950/1000  5 it/s  ETA 10s"


def test_bars_on_a_terminal_and_messages_above_them() -> None:
    stream = Terminal()
    display = Display(stream)
    assert not display.plain
    with use(display), Progress("step", total=5) as bar:
        bar.advance()
        say("[not markup]")
    assert "[not markup]" in stream.getvalue()
    assert "step 1/5" in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
    assert display._bars is None


def test_an_error_closes_the_bar_without_a_summary() -> None:
    stream = io.StringIO()
    display = Display(stream, plain=True)
    with pytest.raises(RuntimeError), use(display), Progress("step"):
        raise RuntimeError
    assert stream.getvalue() == ""
    assert display.depth == 0


def test_the_display_is_found_and_put_back(capsys: pytest.CaptureFixture[str]) -> None:
    display = Display(io.StringIO())
    with use(display):
        assert current() is display
    assert current() is not display
    say("hello")
    assert capsys.readouterr().out == "hello\n"


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0s"), (59.4, "59s"), (102, "1m42s"), (7500, "2h05m")])
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
