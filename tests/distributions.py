"""Real distributions for tests of plugins: a folder on the path of a real process, as pip would have left it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

CONFIG = '''
from typing import Literal
from o1kit.config import Count
from o1kit.plugin import Plugin
from o1kit.search.section import DecodingConfig

class TwiceConfig(DecodingConfig):
    """Samples until one answer has come up twice."""

    kind: Literal["twice"]
    """Selects this search."""
    most_samples: Count = 4
    """Samples at most."""

plugin = Plugin(api=1, config=TwiceConfig, factory="twice_search.search:Twice")
'''
SEARCH = """
from o1kit.search.sample import independent
import numpy  # what runs may be heavy

class Twice:
    def __init__(self, config):
        self.config = config

    async def run(self, root, *, policy, reward, key):
        states = []
        for i in range(self.config.most_samples):
            states += await policy.complete(root, 1, key=key, decoding=self.config.decoding, first=i)
            answers = [policy.answer(s) for s in states]
            if answers[-1] is not None and answers.count(answers[-1]) == 2:
                break
        return independent(states, root, policy)
"""
TWICE = {"twice_search/__init__.py": CONFIG, "twice_search/search.py": SEARCH}


def install(
    folder: Path, name: str, entries: Mapping[str, Mapping[str, str]], files: Mapping[str, str], version: str = "1.2"
) -> Path:
    """A distribution with these entry points (by group, without `o1kit.`) and modules; returns the folder."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [
        f"[o1kit.{group}]\n" + "".join(f"{k} = {v}\n" for k, v in kinds.items()) for group, kinds in entries.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def twice(folder: Path) -> Path:
    """A search plugin that works."""
    return install(folder, "o1kit-twice", {"searches": {"twice": "twice_search:plugin"}}, TWICE)


def variants(folder: Path, changes: Mapping[str, tuple[str, str]]) -> Path:
    """The same plugin, broken in several ways: each a package `pkg-<name>` of its own with the kind `<name>`."""
    for name, (old, new) in changes.items():
        assert old in CONFIG or not old
        text = (CONFIG.replace(old, new) if old else new).replace("twice_search", f"m_{name}")
        text = text.replace('Literal["twice"]', f'Literal["{name}"]')
        files = {f"m_{name}/__init__.py": text, f"m_{name}/search.py": SEARCH}
        install(folder, f"pkg-{name}", {"searches": {name: f"m_{name}:plugin"}}, files)
    return folder


def o1kit(
    site: Path, *arguments: object, code: str | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """The command line, or a program, in a process in which the distributions of a folder are installed."""
    start = [sys.executable, "-c", code] if code else [sys.executable, "-m", "o1kit"]
    path = os.pathsep.join([str(site), *map(os.path.abspath, sys.path)])
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run([*start, *map(str, arguments)], capture_output=True, text=True, timeout=120, env=env, cwd=cwd)


SEVERAL = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from o1kit.cli import main
results = []
for arguments in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(arguments)
    results.append([code, out.getvalue(), err.getvalue()])
heavy = {"torch", "lightning", "transformers", "numpy"} & set(sys.modules)
print(json.dumps({"results": results, "heavy": sorted(heavy)}))
"""


class Ended(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def several(site: Path, *calls: Sequence[object], cwd: Path | None = None, light: bool = False) -> list[Ended]:
    """Several commands in one process, which takes less time; with `light` they may import nothing heavy."""
    done = o1kit(site, json.dumps([[*map(str, call)] for call in calls]), code=SEVERAL, cwd=cwd)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert not (light and told["heavy"]), told["heavy"]
    return [Ended(*result) for result in told["results"]]
