"""What shells complete: names and paths in place of arguments, without a word or an error of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from o1kit.cli import main
from o1kit.sharing.shipped import folder

ROOT = Path(__file__).parents[1]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recipe, one that is wrong, and two runs."""
    monkeypatch.chdir(tmp_path)
    text = (folder() / "quickstart.yaml").read_text()
    Path("r.yaml").write_text(text)
    Path("wrong.yaml").write_text(text.replace("seed: 0", "sed: 0"))
    Path("broken.yaml").write_text("a: [")
    for name in ("first", "second"):
        (Path("runs") / name).mkdir(parents=True)
        (Path("runs") / name / "recipe.json").write_text('{"stages": [{"name": "sft"}, {"name": "ppo"}]}')
    (tmp_path / "elsewhere/third").mkdir(parents=True)
    (tmp_path / "elsewhere/third/recipe.json").touch()
    return tmp_path


def completed(
    words: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], shell: str = "bash"
) -> list[str]:
    """What is offered for the last of the words."""
    monkeypatch.setenv("_O1KIT_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("COMP_WORDS", f"o1kit {words}")
    monkeypatch.setenv("COMP_CWORD", str(len(f"o1kit {words}".split(" ")) - 1))
    with pytest.raises(SystemExit):
        main([])
    said = capfd.readouterr()
    assert not said.err
    return said.out.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("recipe show quick", ["quickstart"]),
        ("recipe cp quick", ["quickstart"]),
        ("recipe new mine --from quick", ["quickstart"]),
        ("explain r.yaml --diff quick", ["quickstart"]),
        ("explain r.yaml --diff wr", ["wrong.yaml"]),
        ("run r.yaml --set stages.ppo.loss.kl", ["stages.ppo.loss.kl_coef"]),
        ("run r.yaml --set +tasks.harder.num", ["+tasks.harder.num_problems"]),
        ("resume first --set stages.s", ["stages.sft", "stages.sft.name"]),
        ("data show r.yaml --split har", ["harder"]),
        ("plugins new mine --group sea", ["searches"]),
        ("stop ", ["first", "second"]),
        ("status first se", ["second"]),
        ("resume fi", ["first"]),
        ("fork --runs-dir elsewhere ", ["third"]),
        ("doctor --run se", ["second"]),
        ("run r.yaml --stage ", ["sft", "prm", "ppo", "evaluate"]),
        ("run wrong.yaml --stage p", ["prm", "ppo"]),
        ("run r.yaml --stage ppo..", ["ppo..ppo", "ppo..evaluate"]),
        ("resume first --stage ", ["sft", "ppo"]),
        ("fork first new --stage s", ["sft"]),
        ("data show r.yaml --stage e", ["evaluate"]),
        ("explain r.yaml se", ["seed"]),
        ("explain r.yaml stages.", ["stages.sft", "stages.prm", "stages.ppo", "stages.evaluate"]),
        ("explain r.yaml stages.ppo.loss.g", ["stages.ppo.loss.gamma", "stages.ppo.loss.gae_lambda"]),
        ("explain wrong.yaml stages.prm.labels.co", ["stages.prm.labels.completions"]),
        # What cannot be told is left to the shell.
        *[(words, []) for words in ("run none.yaml --stage ", "run --stage ", "run broken.yaml --stage ")],
        *[(words, []) for words in ("explain none.yaml s", "explain r.yaml a.b.c", "explain r.yaml seed[", "stop x")],
    ],
)
def test_values_are_completed(
    words: str, offered: list[str], desk: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert completed(words, monkeypatch, capfd) == offered


def test_a_section_comes_with_what_it_holds(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """So that the shell puts no space after it."""
    found = completed("explain r.yaml mod", monkeypatch, capfd)
    assert found[0] == "model" and "model.num_layers" in found


def test_nothing_heavy_is_imported(desk: Path) -> None:
    heavy = {"torch", "lightning", "transformers", "peft", "datasets", "wandb", "reasoning_gym"}
    code = f"import sys; from o1kit.cli import main\ntry: main([])\nfinally: assert not {heavy} & sys.modules.keys()"
    asked = {"_O1KIT_COMPLETE": "complete_bash", "COMP_WORDS": "o1kit explain r.yaml stages.ppo.loss.gam"}
    environment = os.environ | asked | {"COMP_CWORD": "3", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=50)
    assert done.stdout.split() == ["stages.ppo.loss.gamma"] and not done.stderr
