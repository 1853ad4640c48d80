"""An installed package holds the shipped recipes; in a wheel built from this checkout."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("hatchling") is None, reason="hatchling builds the wheel")
def test_recipes_are_found_in_an_installed_package(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path / "site")
    installed = tmp_path / "site/o1kit"
    for file in ("quickstart.yaml", "rewards.yaml", "data/doubled_letters.jsonl"):
        assert (installed / "_recipes" / file).read_bytes() == (ROOT / "recipes" / file).read_bytes()
    assert (installed / "sharing/start.yaml").is_file() and (installed / "py.typed").is_file()
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    words = [sys.executable, "-m", "o1kit", "recipe", "cp", "quickstart"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and (tmp_path / "data/doubled_letters.jsonl").is_file(), done.stderr
