"""A virtual environment of its own for a plugin: it sees what is here, and nothing of it is seen here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import entry_points
from pathlib import Path

ROOT = Path(__file__).parents[1]


class PluginVenv:
    """An environment that has o1kit from this tree and, besides, what this environment has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder / "venv", with_pip=False, symlinks=True)
        self.python = folder / "venv" / "bin" / "python"
        shared = sysconfig.get_path("purelib")
        site = Path(shared.replace(sys.prefix, str(folder / "venv"), 1))
        (site / "o1kit_here.pth").write_text(f"{ROOT}\nimport site; site.addsitedir({shared!r})\n")

    def install(self, source: Path) -> Path:
        """Installs a copy of a package's folder as a user would, from nothing that is not here; returns the copy."""
        copy = self.folder / source.name
        shutil.copytree(source, copy)
        self.pip("--no-deps", "--no-build-isolation", str(copy))
        return copy

    def pip(self, *arguments: str) -> None:
        """`pip install` into the environment."""
        command = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "-q", "--no-cache-dir"]
        self.run([*command, "--disable-pip-version-check", *arguments], self.folder)

    def o1kit(self, folder: Path, *arguments: str) -> str:
        """The output of a command of o1kit."""
        return self.run([str(self.python), "-m", "o1kit", *arguments], folder)

    def pytest(self, folder: Path, *arguments: str) -> str:
        """The output of pytest; the kit's options are there also where o1kit was installed before it had them."""
        known = entry_points(group="pytest11", name="o1kit")
        plugin = [] if known else ["-p", "o1kit.testing.pytest_plugin"]
        command = [str(self.python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *plugin]
        return self.run([*command, *arguments], folder)

    def run(self, command: list[str], folder: Path) -> str:
        """The output of a process.

        Raises:
            AssertionError: it failed.
        """
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST"))}
        env = {**kept, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
        return done.stdout
