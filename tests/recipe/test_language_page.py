"""docs/recipes.md: its recipes and commands, executed as they stand there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from o1kit.cli import main
from o1kit.recipe.loader import load

TEXT = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("O1KIT_HOST", raising=False)
    for name, text in re.findall(r"```yaml\n# (\S+)\n(.*?)```", TEXT, re.S):
        (tmp_path / name).write_text(f"# {name}\n{text}")
    return tmp_path


def test_commands_print_what_the_page_says(examples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = re.findall(r"^\$ o1kit (.*)\n((?:(?!\$|```).*\n)*)", TEXT, re.M)
    assert len(commands) == 4
    for command, expected in commands:
        main(shlex.split(command))
        said = capsys.readouterr()
        assert expected.strip() in said.out + said.err, command


def test_the_examples_mean_what_the_page_says(examples: Path) -> None:
    mine = load(Path("mine.yaml")).recipe
    assert mine.model.kind == "scratch"
    assert mine.model.hidden_size == 128
    assert mine.engine.max_batch == 256, "unset: the default, not the inherited 64"
    sft, evaluate = mine.stages
    assert (sft.steps, sft.optimizer.lr, sft.optimizer.warmup_steps) == (500, 3e-4, 10)
    assert [search.kind for search in evaluate.searches] == ["greedy", "sample"]
    assert mine.tasks["heldout"].sources[0].params == {"min_terms": 4, "max_terms": 4}
    assert mine.tasks["heldout"].num_problems == 20
    quick = load(Path("mine.yaml"), ["name=123"], [Path("quick.yaml")]).recipe
    assert (quick.name, quick.stages[0].steps, quick.tasks["train"].num_problems) == ("123", 10, 50)
    shared = load(Path("shared.yaml")).recipe
    assert shared.name == "shared-64"
    assert shared.tasks["heldout"].sources == shared.tasks["train"].sources
    assert shared.stages[0].batch_size == 20
