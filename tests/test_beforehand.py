"""What is told before a run's first stage: label tokens that the tokenizer splits, a judge's folder that is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from o1kit.beforehand import faults
from o1kit.cli import main
from o1kit.models.load import save_directory
from o1kit.models.tokenizer import build_char_tokenizer, plain_char_tokenizer
from o1kit.plan import compile_recipe
from o1kit.recipe.loader import load_recipe
from o1kit.tasks.suite import build_suite
from tests.test_cli import NO_TORCH, o1kit
from tests.test_rehearsal import RECIPE
from tests.tiny import tiny

SCRATCH = "model:\n  kind: scratch\n  hidden_size: 64\n  tokenizer: {kind: char, phrases: [ab]}\n"
LABELS = "    labels: {kind: monte_carlo, chains: 2}\n"
JUDGED = "    judge: prm\n    searches:"
assert SCRATCH in RECIPE and LABELS in RECIPE and JUDGED in RECIPE
Run = Callable[..., tuple[int, str]]


def reading(text: str) -> str:
    """The recipe with a `prm` stage that is read in this way."""
    return RECIPE.replace(LABELS, f"{LABELS}    reading: {{{text}}}\n")


def judged(judge: str) -> str:
    """The recipe with another judge of its evaluation."""
    return RECIPE.replace(JUDGED, f"    {judge}\n    searches:")


@pytest.fixture
def told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit code and errors of a recipe that is run, or rehearsed."""
    for name in ("x.jsonl", "y.jsonl", "z.jsonl"):
        rows = [{"question": f"{name} é {i}", "answer": "2"} for i in range(400)]
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    def run(text: str, *options: str) -> tuple[int, str]:
        (tmp_path / "good.yaml").write_text(text)
        code = main(["run", str(tmp_path / "good.yaml"), "--runs-dir", str(tmp_path / "runs"), "--plain", *options])
        return code, capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("text", "told_of"),
    [
        (reading("by: tokens, good: good, bad: b"), "stages[1].reading.good: the good token 'good' is 4 tokens"),
        (reading("by: tokens, good: ab, bad: bb"), "stages[1].reading.bad: the bad token 'bb' is 2 tokens"),
        (reading("by: tokens, good: ab, bad: b, mark: ы"), "stages[1].reading.mark: the mark token 'ы' is 1 tokens"),
        (reading("mark: '##'"), "stages[1].reading.mark: the mark token '##' is 2 tokens"),
        (reading("by: tokens, good: a, bad: b, mark: a"), "stages[1].reading: label tokens and mark must be different"),
        (
            reading("by: tokens, good: 'Yes', bad: b")
            .replace(LABELS, f"{LABELS}    objective: {{kind: pairwise}}\n")
            .replace("kind: prm, model", "kind: pairwise, model"),
            "stages[1].reading.good: the good token 'Yes' is 3 tokens",
        ),
        (judged("judge: {kind: judge, reply: {kind: labels, good: ✓, bad: x}}"), "stages[3].judge.reply.good: this"),
        (judged("judge_folder: nowhere"), "stages[3].judge_folder: "),
        (judged("judge_folder: ."), "holds no reward model"),
    ],
)
def test_what_later_stages_stop_for_is_told_before_the_first_starts(
    text: str, told_of: str, told: Run, tmp_path: Path
) -> None:
    for options in ((), ("--dry-run",)):
        code, errors = told(text, *options)
        assert code == 4
        assert told_of in errors and f"{tmp_path.name}/good.yaml:" in errors
    assert not (tmp_path / "runs" / "good" / "sft").exists()


@pytest.mark.parametrize(
    "text",
    [
        reading("by: tokens, good: ab, bad: b, mark: '#'"),
        reading("by: tokens, good: é, bad: b"),  # a character that only the training problems have
        judged("judge: {kind: judge}"),
        judged("judge: {kind: constitution, principles: [it adds up]}"),
        judged("judge: {kind: judge, reply: {kind: labels, good: é, bad: x}}"),
    ],
)
def test_what_the_tokenizer_can_write_is_no_fault(text: str, told: Run) -> None:
    assert told(text, "--dry-run") == (0, "")


def test_a_folder_s_own_tokenizer_decides(told: Run, tmp_path: Path) -> None:
    model, template = tiny(context=256)
    save_directory(model, template.tokenizer, tmp_path / "model")
    folder = "model:\n  kind: hf\n  source: ./model\n"
    text = reading("by: tokens, good: Z, bad: ZZ").replace(SCRATCH, folder)
    code, errors = told(text)
    assert code == 4 and "stages[1].reading.bad: the bad token 'ZZ' is 2 tokens" in errors
    assert told(text.replace("ZZ", "Y"), "--dry-run") == (0, "")
    (tmp_path / "model" / "tokenizer.json").write_text("{}")  # not known, and told where it is read
    assert "reading" not in told(text, "--dry-run")[1]


def test_what_is_right_is_seen_without_torch(told: Run, tmp_path: Path) -> None:
    assert told(reading("by: tokens, good: ab, bad: b"), "--dry-run")[0] == 0
    done = o1kit("run", tmp_path / "good.yaml", "--dry-run", "--runs-dir", tmp_path / "runs", code=NO_TORCH)
    assert done.returncode == 0, done.stderr


def test_stages_that_do_not_run_are_not_asked(told: Run, tmp_path: Path) -> None:
    told(judged("judge_folder: nowhere"), "--dry-run")
    recipe = load_recipe(tmp_path / "good.yaml")
    plan, suite = compile_recipe(recipe), build_suite(recipe.tasks, recipe.seed, tmp_path)
    assert list(faults(plan, plan.stages[:3], suite, tmp_path)) == []
    assert len(list(faults(plan, plan.stages, suite, tmp_path))) == 1


@pytest.mark.parametrize("text", ["ab", "é", "ü", "<eos>", "Yes ab", "a<eos>b", " Yes\n", "<pad>x"])
def test_without_transformers_texts_are_split_alike(text: str) -> None:
    plain, full = plain_char_tokenizer(["ab", "Yes"], ["é"]), build_char_tokenizer(["ab", "Yes"], ["é"])
    ids = full.encode(text, add_special_tokens=False)
    assert plain.encode(text) == ids
    assert plain.decode(ids) == full.decode(ids)
