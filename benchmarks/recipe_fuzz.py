"""Recipes from a stranger: `python -m benchmarks.recipe_fuzz --count 20000`.

Half of them are data made by hypothesis (sections of the schema with values that do not belong there, keys with slips,
sections put into one another), half are the texts of valid recipes with bytes, lines and pieces of YAML changed. Each
is loaded, planned (with what it takes, and what would help on a machine that is too small) and, if it is wrong, told
about: in a process that can be killed, with 500 MB above what it started
with, in an empty folder, under an audit hook. Prints how many were valid or refused, and all that must not be:
tracebacks, recipes that took more than 2 s, memory, files written, code run. Target: none of each. `--seed N` makes
others.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

LIMIT_S = 2.0
MEMORY = 500 * 2**20
STARTING_S = 120.0
KINDS = ("traceback", "hang", "memory", "file", "code")
FEW = 20


def fuzz(count: int, seed: int = 0, jobs: int = 1) -> tuple[Counter[str], list[dict[str, Any]], float]:
    """How many recipes ended how, what was found, and the longest time of one in seconds."""
    shares = [count // jobs + (i < count % jobs) for i in range(jobs)]
    tally: Counter[str] = Counter()
    findings: list[dict[str, Any]] = []
    longest = 0.0
    crew = [_Crew(share, seed * 1000 + i) for i, share in enumerate(shares)]
    while any(member.left for member in crew):
        for member in [m for m in crew if m.left]:
            member.step(tally, findings)
    for member in crew:
        longest = max(longest, member.longest)
        findings += [{"kind": "file", "what": name, "text": ""} for name in member.close()]
    return tally, findings, longest


class _Crew:
    """One worker after another, each in the same empty folder, until so many recipes are done."""

    def __init__(self, count: int, seed: int) -> None:
        self.left, self.seed, self.round = count, seed, 0
        self.folder = tempfile.TemporaryDirectory(prefix="fuzz-")
        self.own = tempfile.TemporaryDirectory(prefix="hypothesis-")
        self.process: subprocess.Popen[bytes] | None = None
        self.buffer, self.text, self.longest = b"", "", 0.0
        self.deadline = 0.0

    def step(self, tally: Counter[str], findings: list[dict[str, Any]]) -> None:
        """Reads what the worker says; ends it when it is silent for too long."""
        if self.process is None:
            self._start()
        assert self.process is not None and self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], 0.05)
        if ready:
            piece = os.read(self.process.stdout.fileno(), 1 << 20)
            if not piece:
                self._ended(tally, findings)
                return
            self.buffer += piece
            *lines, self.buffer = self.buffer.split(b"\n")
            for line in lines:
                self._line(json.loads(line), tally, findings)
        elif time.monotonic() > self.deadline:
            findings.append({"kind": "hang", "what": f"more than {LIMIT_S} s", "text": self.text})
            self._count("hang", tally)
            self.process.kill()
            self.process.wait()
            self.process = None

    def close(self) -> list[str]:
        """The names of what was left in the folder."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        names = [str(path.relative_to(self.folder.name)) for path in Path(self.folder.name).rglob("*")]
        self.folder.cleanup()
        self.own.cleanup()
        return names

    def _start(self) -> None:
        self.round += 1
        command = [sys.executable, "-m", "benchmarks.fuzz_worker", str(self.left), str(self.seed * 100 + self.round)]
        root = str(Path(__file__).parents[1])
        environment = {**os.environ, "PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
        environment["HYPOTHESIS_STORAGE_DIRECTORY"] = self.own.name
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, cwd=self.folder.name, env=environment, stdin=subprocess.DEVNULL
        )
        self.buffer, self.text, self.deadline = b"", "", time.monotonic() + STARTING_S

    def _line(self, said: dict[str, Any], tally: Counter[str], findings: list[dict[str, Any]]) -> None:
        if "start" in said:
            # Twice the limit of processor time: other processes may hold the machine.
            self.text, self.deadline = said["start"], time.monotonic() + 5 * LIMIT_S
            return
        self.deadline = time.monotonic() + STARTING_S  # it makes the next one
        self.longest = max(self.longest, said["seconds"])
        if said["seconds"] > LIMIT_S:
            findings.append({"kind": "hang", "what": f"{said['seconds']:.1f} s", "text": self.text})
        findings += [{**found, "text": self.text} for found in said["findings"]]
        self._count(said["end"], tally)

    def _count(self, end: str, tally: Counter[str]) -> None:
        tally[end] += 1
        self.left -= 1

    def _ended(self, tally: Counter[str], findings: list[dict[str, Any]]) -> None:
        """The worker is gone: it is done, or something killed it."""
        assert self.process is not None
        code = self.process.wait()
        self.process = None
        if self.left and code != 0:
            findings.append({"kind": "traceback", "what": f"the process ended with {code}", "text": self.text})
            self._count("died", tally)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--findings", type=Path, help="write the recipes found to this file, as JSON lines")
    wanted = parser.parse_args()
    started = time.monotonic()
    tally, findings, longest = fuzz(wanted.count, wanted.seed, wanted.jobs)
    found = Counter(finding["kind"] for finding in findings)
    print(f"{sum(tally.values())} recipes in {time.monotonic() - started:.0f} s: {dict(tally)}")
    print(f"longest {longest:.2f} s of processor time")
    for kind in KINDS:
        print(f"{kind:<12}{found[kind]:>6}")
    for finding in findings[:FEW]:
        print(f"\n{finding['kind']}: {finding['what']}\n    {finding['text'][:300]!r}")
    if wanted.findings is not None:
        wanted.findings.write_text("".join(json.dumps(finding) + "\n" for finding in findings))
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()
