"""`o1kit run --dry-run`: finds what would stop a run, and touches nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from o1kit.cli import main
from o1kit.models.config import HfModelConfig
from o1kit.models.load import save_directory
from o1kit.recipe.loader import load_recipe
from tests.recipe.test_loader import GOOD, RECIPES
from tests.test_cli import NO_TORCH, o1kit
from tests.tiny import tiny

SOURCE, MODEL = (
    "kind: reasoning_gym, generator: chain_sum, params: {min_terms: 2}",
    "kind: scratch\n  hidden_size: 64\n",
)
RECIPE = GOOD.replace(SOURCE, "kind: jsonl, path: z.jsonl")
SERVED = """\
o1kit: 1
name: served
model: {kind: hf, source: ./model}
engine: {kind: http, endpoints: ['http://127.0.0.1:1/v1'], api_key_env: NO_SUCH_KEY}
tasks: {heldout: {num_problems: 5, sources: [{kind: jsonl, path: y.jsonl}]}}
stages: [{kind: evaluate, name: evaluate, policies: [model], searches: [{kind: greedy}]}]
"""
Dry = Callable[..., tuple[int, str, str]]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "good.yaml"
    path.write_text(RECIPE)
    for name in ("x.jsonl", "y.jsonl", "z.jsonl"):
        rows = [{"question": f"{name} {i}", "answer": "2"} for i in range(400)]
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def dry(recipe: Path, capsys: pytest.CaptureFixture[str]) -> Dry:
    """Exit code, output and errors of a dry run."""

    def run(*options: str) -> tuple[int, str, str]:
        code = main(["run", str(recipe), "--dry-run", "--runs-dir", str(recipe.parent / "runs"), *options])
        return code, *capsys.readouterr()

    return run


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p.relative_to(folder)): (p.lstat().st_mtime_ns, p.lstat().st_size) for p in folder.rglob("*")}


def test_a_dry_run_shows_all_stages_and_touches_nothing(recipe: Path) -> None:
    before = listing(recipe.parent)
    done = o1kit("run", recipe, "--dry-run", "--runs-dir", recipe.parent / "runs", code=NO_TORCH)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[1:-1]]
    assert rows == [["sft", "sft", "run"], ["prm", "prm", "run"], ["ppo", "ppo", "run"], ["eval", "evaluate", "run"]]
    assert done.stdout.endswith("ready to run\n")
    assert listing(recipe.parent) == before


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_is_ready_to_run(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = load_recipe(path).model
    if isinstance(model, HfModelConfig) and not Path(model.source).is_dir():
        pytest.skip(f"its model is not here: {model.source}")
    assert main(["run", str(path), "--dry-run", "--runs-dir", str(tmp_path / "runs")]) == 0
    assert capsys.readouterr().out.endswith("ready to run\n")
    assert list(tmp_path.iterdir()) == []


def test_everything_that_is_missing_is_told_at_once(recipe: Path, tmp_path: Path, dry: Dry) -> None:
    model = f"{MODEL}  tokenizer: {{kind: char, phrases: [ab]}}"
    assert model in RECIPE
    recipe.write_text(RECIPE.replace(model, "kind: hf\n  source: ./no-model"))
    (tmp_path / "x.jsonl").unlink()
    (tmp_path / "y.jsonl").write_text('{"question": "1+1"}\n')
    before = listing(tmp_path)
    code, out, errors = dry()
    assert code == 4
    assert "tasks.train.sources[1]" in errors and "x.jsonl" in errors
    assert "tasks.heldout.sources[0]" in errors and "answer" in errors
    assert "no-model: there is no such folder" in errors
    assert "ready" not in out
    assert listing(tmp_path) == before


def test_adapters_of_a_folder_s_model_that_has_no_such_layers_are_told(
    recipe: Path, tmp_path: Path, dry: Dry, capsys: pytest.CaptureFixture[str]
) -> None:
    model, template = tiny(context=256)
    save_directory(model, template.tokenizer, tmp_path / "model")
    text = RECIPE.replace(f"{MODEL}  tokenizer: {{kind: char, phrases: [ab]}}", "kind: hf\n  source: ./model")
    recipe.write_text(text.replace("lora: {rank: 4}", "lora: {rank: 4, targets: [q_porj]}"))
    capsys.readouterr()
    code, out, errors = dry()
    assert code == 2 and "ready" not in out
    assert "stages[0].lora.targets: the model has no linear layer 'q_porj'. Did you mean 'q_proj'?" in errors
    line = recipe.read_text().splitlines().index("    lora: {rank: 4, targets: [q_porj]}") + 1
    assert f"good.yaml:{line}:" in errors
    recipe.write_text(text.replace("lora: {rank: 4}", "lora: {rank: 4, targets: [q_proj]}"))
    assert dry()[0] == 0


def test_a_stage_that_lacks_another_is_told(dry: Dry) -> None:
    code, _, errors = dry("--stage", "ppo")
    assert code == 2
    assert "stage 'ppo': needs sft, prm, not finished and not selected" in errors
    assert dry("--stage", "sft..ppo")[0] == 0


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path, dry: Dry) -> None:
    (tmp_path / "runs").write_text("a file")
    code, _, errors = dry()
    assert code == 3
    assert "cannot be written to" in errors


def test_dry_run_and_resume_insist_on_something_to_go_on_with(dry: Dry) -> None:
    code, _, errors = dry("--resume")
    assert code == 2
    assert "nothing to go on with" in errors


def test_an_unset_key_of_a_server_is_told(recipe: Path, dry: Dry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    recipe.write_text(SERVED)
    (recipe.parent / "model").mkdir()
    (recipe.parent / "model" / "config.json").write_text("{}")
    code, out, errors = dry()
    assert code == 3
    assert "export NO_SUCH_KEY=" in errors
    assert "servers, not contacted: http://127.0.0.1:1/v1" in out


def test_servers_of_a_judge_are_named_and_their_unset_key_is_told(
    recipe: Path, dry: Dry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    servers = "{kind: http, endpoints: ['http://127.0.0.1:2/v1'], api_key_env: NO_SUCH_KEY}"
    text = RECIPE.replace(
        "    judge: prm\n    searches", f"    judge: {{kind: judge, engine: {servers}}}\n    searches"
    )
    assert text != RECIPE
    recipe.write_text(text)
    code, out, errors = dry()
    assert code == 3 and "stages[3].judge.engine.api_key_env: NO_SUCH_KEY is not set" in errors
    assert "servers, not contacted: http://127.0.0.1:2/v1" in out


def test_looking_at_runs_imports_nothing_heavy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "runs" / "one").mkdir(parents=True)
    (tmp_path / "runs" / "one" / "recipe.json").write_text(json.dumps({"stages": [{"name": "a"}]}))
    done = o1kit("status", "--runs-dir", tmp_path / "runs", "--json", code=NO_TORCH)
    assert done.returncode == 0, done.stderr
    assert [(run["name"], run["state"], run["stages"]) for run in json.loads(done.stdout)] == [("one", "new", ["a"])]
    for command, told in (("stop", "is not running (new"), ("resume", "made by an earlier o1kit")):
        assert main([command, "one", "--runs-dir", str(tmp_path / "runs")]) == 2
        assert told in capsys.readouterr().err


def test_files_with_too_few_problems_are_told(recipe: Path, tmp_path: Path, dry: Dry) -> None:
    """Here z.jsonl, of which two rows ask the same and one is left out since another split has it."""
    rows = ["z 1", "z 1", "z 2", "x.jsonl 3"]
    (tmp_path / "z.jsonl").write_text("".join(json.dumps({"question": row, "answer": "2"}) + "\n" for row in rows))
    code, _, err = dry()
    assert code == 4 and "different problems" in err
