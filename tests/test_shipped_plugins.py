"""The plugins in `plugins/`, each installed in a virtual environment of its own: checked, tested, and run."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.plugin_venv import ROOT, PluginVenv

PLUGINS = ROOT / "plugins"
SHORT = {
    "o1kit-rebase": [
        "tasks.heldout.num_problems=2",
        "stages=[{kind: evaluate, name: evaluate, policies: [model], splits: [heldout], "
        "searches: [{kind: rebase, num_samples: 2, max_steps: 2, scored_by: confidence}]}]",
    ],
    "o1kit-countdown": ["tasks.train.num_problems=60", "tasks.heldout.num_problems=4", "stages.sft.steps=5"],
    "o1kit-tensorboard": ["tasks.train.num_problems=40", "stages.sft.steps=5"],
}
"""What makes the example recipes run in seconds."""
STAGES = {"o1kit-rebase": "evaluate", "o1kit-countdown": "sft", "o1kit-tensorboard": "sft"}


def test_every_shipped_plugin_is_tested() -> None:
    assert {path.parent.name for path in PLUGINS.glob("*/pyproject.toml")} == set(SHORT)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT)
def test_installed_on_its_own_it_works(name: str, tmp_path: Path) -> None:
    environment = PluginVenv(tmp_path)
    if name == "o1kit-tensorboard" and find_spec("tensorboardX") is None:
        try:
            environment.pip("--no-deps", "tensorboardX>=2.6")
        except AssertionError as error:
            pytest.skip(f"tensorboardX is not here and cannot be fetched: {str(error)[-200:]}")
    folder = environment.install(PLUGINS / name)
    assert "ok  o1kit." in environment.o1kit(folder, "plugins", "check", name)
    assert " passed" in environment.pytest(folder)
    sets = [word for change in (*SHORT[name], "tracking.wandb.mode=disabled") for word in ("--set", change)]
    environment.o1kit(folder, "run", "recipe.yaml", "--plain", "--stage", STAGES[name], *sets)
    run = folder / "runs" / name
    assert json.loads((run / STAGES[name] / "done.json").read_text())
    if name == "o1kit-rebase":
        rows = json.loads((run / "evaluate" / "results.json").read_text())["rows"]
        assert [row["search"] for row in rows] == ["rebase@2 confidence (weighted) (2 steps)"]
    if name == "o1kit-tensorboard":
        (events,) = (run / "tensorboard-logs" / "sft").glob("events.out.tfevents.*")
        assert b"sft/loss" in events.read_bytes()
    here = subprocess.run(
        [sys.executable, "-m", "o1kit", "plugins", "list"], capture_output=True, text=True, check=True
    )
    assert name not in here.stdout, "it stayed in its own environment"
