"""`o1kit export`: what a stage leaves, as a folder that plain transformers loads; nothing unfinished or changed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from o1kit.artifacts import write_done
from o1kit.models.load import save_directory
from tests.distributions import install, several
from tests.tiny import tiny

EXPORTER = '''
from typing import Literal
from o1kit.export.config import ExporterSection
from o1kit.plugin import Plugin

class NamesConfig(ExporterSection):
    """A list of the files."""
    kind: Literal["names"]
    """Selects it."""
    title: str
    """First line."""

class Names:
    def __init__(self, config):
        self.config = config
    def write(self, stage, directory):
        (directory / "names.txt").write_text("\\n".join([self.config.title, *sorted(stage.hashes)]))

plugin = Plugin(1, NamesConfig, Names)
'''


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    folder = tmp_path / "runs/mine/sft"
    folder.mkdir(parents=True)
    model, template = tiny()
    save_directory(model, template.tokenizer, folder)
    (folder / "metrics.jsonl").write_text('{"step": 1}\n')
    (folder.parent / "recipe.json").write_text('{"o1kit": 1, "name": "mine"}')
    write_done(folder, "sft", "sft", "f" * 64, summary={})
    return folder


def test_a_policy_is_loaded_by_plain_transformers(stage: Path, tmp_path: Path) -> None:
    out = tmp_path / "out/model"
    done, again = several(tmp_path / "site", ["export", stage, out], ["export", stage, out])
    assert done.returncode == 0, done.stderr
    assert not (out / "metrics.jsonl").exists() and not (out / "done.json").exists()
    loaded = AutoModelForCausalLM.from_pretrained(out, local_files_only=True)
    model, _ = tiny()
    ids = torch.tensor([[3, 4, 5]])
    assert torch.equal(loaded(ids).logits, model.lm(ids).logits)
    assert AutoTokenizer.from_pretrained(out, local_files_only=True)("1+1=").input_ids
    card = (out / "README.md").read_text()
    weights = hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()
    assert f"| model.safetensors | `{weights}` |" in card and '"name": "mine"' in card
    assert again.returncode == 3 and "is there already" in again.stderr


def test_what_is_not_finished_or_changed_is_refused(stage: Path, tmp_path: Path) -> None:
    weights = stage / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    changed, unfinished = several(tmp_path, *(["export", folder, tmp_path / "out"] for folder in (stage, stage.parent)))
    assert changed.returncode == 4 and "are not what done.json says" in changed.stderr
    assert unfinished.returncode == 4 and "no finished stage" in unfinished.stderr
    assert not (tmp_path / "out").exists()


def test_plugins_add_exporters(stage: Path, tmp_path: Path) -> None:
    site = install(
        tmp_path / "site", "names", {"exporters": {"names": "names_plugin:plugin"}}, {"names_plugin.py": EXPORTER}
    )
    options = (["--option", "title=all files"], ["--option", "titel=x"])
    calls = (["export", stage, tmp_path / f"out{i}", "--to", "names", *more] for i, more in enumerate(options))
    done, wrong = several(site, *calls)
    assert done.returncode == 0, done.stderr
    listed = (tmp_path / "out0/names.txt").read_text().splitlines()
    assert listed[0] == "all files" and listed[1:] == sorted(json.loads((stage / "done.json").read_text())["files"])
    assert wrong.returncode == 2 and "unknown key 'titel'. Did you mean 'title'?" in wrong.stderr
    assert "to.title: is required" in wrong.stderr
