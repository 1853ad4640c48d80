"""A run without torch, in a process of its own: `python -m tests.control.worker FOLDER [end]`.

It locks, records itself and counts steps as a run does, until it is asked to stop. `end`: `ok`, `error` or a stage's
name, after two steps.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from o1kit.control import attempt
from o1kit.control.interrupt import Interrupt
from o1kit.control.lock import locked
from o1kit.control.records import Launch
from o1kit.errors import DivergedError
from o1kit.tracking.progress import Display, Progress, use

attempt.BEAT_S = 0.05


def main(directory: Path, end: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    display = Display(plain=True)
    with (
        locked(directory),
        Interrupt(display.say).listening() as interrupt,
        attempt.recorded(directory, Launch(recipe="/r.yaml"), ["a", "b"], ["a", "b"]) as beats,
        use(display),
    ):
        display.watcher = beats.moved
        interrupt.defer = True
        beats.enter("a")
        with Progress("step", 1000) as progress:
            for step in range(1000):
                progress.update(step + 1, loss=0.5)
                if step == 1 and end:
                    break
                if interrupt.signal:
                    (directory / "saved").write_text(str(step))
                interrupt.leave()
                time.sleep(0.02)
        if end == "error":
            raise DivergedError("step 2: the loss is nan.\nLower optimizer.lr.")
        for name in ("a", "b"):
            (directory / name).mkdir()
            (directory / name / "done.json").write_text("{}")
            beats.leave(name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
