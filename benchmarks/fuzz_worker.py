"""Loads recipes that are made to break something, one after another, and says how each ended; see `recipe_fuzz`."""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import os
import resource
import sys
import time
import traceback
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from benchmarks.recipe_fuzz import MEMORY
from benchmarks.recipe_texts import SMALL, recipes
from o1kit.cli import main as command_line
from o1kit.cli.planning import replanned
from o1kit.errors import O1kitError
from o1kit.plan import Plan, compile_recipe
from o1kit.planning.estimate import Ground, estimate
from o1kit.planning.estimate import as_data as as_plain
from o1kit.planning.levers import remedy_for
from o1kit.planning.machine import Machine
from o1kit.planning.show import estimate_lines, remedy_lines
from o1kit.recipe.faults import as_data
from o1kit.recipe.loader import load

EVERY = 20
"""Of so many, one goes through the whole command line, as `validate --json`."""
SPAWNING = (
    "subprocess.",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.spawn",
    "pty.",
    "socket.",
    "ctypes.",
)
WRITING = (
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "shutil.",
    "tempfile.",
)
RUNNING = ("pickle.", "code.__new__", "cpython.run")
TRUSTED = tuple({str(Path(__file__).parents[1]), sys.prefix, sys.base_prefix})
READING = (typing.__file__, inspect.__file__)
"""Modules that evaluate the annotations of our own commands."""
TINY = Machine(cores=2, threads=2, cpu="", memory=2**20, disk=2**20)
EMPTY = Path("/proc/self/fdinfo")
"""A folder in which no file of a recipe is found."""
CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Watch:
    """Notes what must not happen while it is on."""

    def __init__(self) -> None:
        self.on = False
        self.found: list[dict[str, str]] = []
        sys.addaudithook(self._event)

    def _event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        self.on = False  # what it does itself is not meant
        kind = self._kind(event, arguments)
        if kind is not None:
            self.found.append({"kind": kind, "what": f"{event} {arguments!r}"[:300]})
        self.on = True

    def _kind(self, event: str, arguments: tuple[Any, ...]) -> str | None:
        if event == "open":
            _, mode, flags = arguments
            writes = (isinstance(mode, str) and set(mode) & set("wax+")) or flags & CHANGES
            return "file" if writes else None
        if event.startswith(WRITING):
            return "file"
        if event.startswith((*SPAWNING, *RUNNING)):
            return "code"
        if event in ("exec", "compile") and sys._getframe(2).f_code.co_filename in READING:
            return None  # typer reads the annotations of our own commands
        if event == "exec":
            code = arguments[0]
            ours = code.co_name == "<module>" and code.co_filename.startswith((*TRUSTED, "<frozen"))
            return None if ours else "code"
        if event == "compile":
            return None if str(arguments[1]).startswith((*TRUSTED, "<frozen")) else "code"
        return None


class Checker:
    """Takes recipes as bytes through a file in memory: nothing needs to be written."""

    def __init__(self, watch: Watch, say: Callable[[dict[str, Any]], None]) -> None:
        self.watch, self.say, self.count = watch, say, 0
        self.file = os.memfd_create("recipe.yaml")
        self.path = Path(f"/proc/self/fd/{self.file}")

    def check(self, raw: bytes) -> None:
        """Loads a recipe, and says how it ended."""
        self.count += 1
        os.ftruncate(self.file, 0)
        os.pwrite(self.file, raw, 0)
        self.say({"start": raw.decode("utf-8", "backslashreplace")[:5000]})
        self.watch.found = []
        started = time.process_time()
        self.watch.on = True
        try:
            end = self._command() if self.count % EVERY == 0 else self._load()
        except MemoryError as error:
            self.watch.on = False
            end = "memory"
            self.watch.found.append({"kind": "memory", "what": repr(error)})
        except BaseException:
            self.watch.on = False
            end = "traceback"
            self.watch.found.append({"kind": "traceback", "what": "".join(traceback.format_exc()[-1500:])})
        self.watch.on = False
        seconds = time.process_time() - started
        self.say({"end": end, "seconds": seconds, "findings": self.watch.found[:5]})

    def _load(self) -> str:
        try:
            self._plan(compile_recipe(load(self.path).recipe))
        except O1kitError as error:
            self._told(error)
            return "refused"
        return "valid"

    def _plan(self, made: Plan) -> None:
        """What `o1kit plan` does with it, on a machine that is too small: so the changes that would help are sought."""
        known = Ground(TINY)
        found = estimate(made, EMPTY, known)
        remedy = remedy_for(made.recipe, found, replanned(made, self.path, ([], []), known, None))
        json.dumps(as_plain(found), allow_nan=False)
        "\n".join([*estimate_lines(found), *remedy_lines(found, remedy)]).encode()

    def _told(self, error: O1kitError) -> None:
        """A refusal must be one that can be printed, and read by programs."""
        text = str(error)
        assert error.exit_code == 2 and text and "Traceback" not in text, text
        assert text.replace("\n", "").isprintable(), repr(text)
        text.encode()
        json.dumps(as_data(error, str(self.path)), allow_nan=False).encode()

    def _command(self) -> str:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            code = command_line(["validate", str(self.path), "--json"])
        assert code in (0, 2), code
        return "refused" if code else "valid"


def main() -> None:
    count, seed = int(sys.argv[1]), int(sys.argv[2])
    out = os.dup(1)

    def say(what: dict[str, Any]) -> None:
        os.write(out, json.dumps(what).encode() + b"\n")

    checker = Checker(Watch(), lambda what: None)
    checker.count = EVERY - 2
    for text in (SMALL, SMALL, SMALL.replace("steps", "stepz"), "- 1"):  # loads what is loaded when it is needed
        checker.check(text.encode())
    checker.say = say
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    @seeded(seed)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(recipes())
    def run(raw: bytes) -> None:
        if checker.count < first + count:
            checker.check(raw)

    first = checker.count
    while checker.count < first + count:  # hypothesis may have enough of them early
        run()


if __name__ == "__main__":
    main()
