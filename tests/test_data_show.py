"""`o1kit data show`: which tokens a stage trains on, as they stand in the text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from o1kit.artifacts import write_done
from o1kit.cli import main

ROWS = [
    {"question": "1+1?", "answer": "2", "thought": ["one and one"]},
    {"question": "2+2?", "answer": "4", "thought": ["two", "and two"]},
    {"question": "3+3?", "answer": "6", "thought": ["x" * 200]},
]
RECIPE = """
o1kit: 1
name: shown
model: {kind: scratch, hidden_size: 32, num_layers: 1, num_heads: 2, num_kv_heads: 1, context_length: 96}
tasks:
  train: {num_problems: 3, sources: [{kind: jsonl, path: rows.jsonl, thought_field: thought}]}
  other: {num_problems: 1, sources: [{kind: jsonl, path: other.jsonl}]}
stages:
  - {kind: sft, name: sft, steps: 1}
  - {kind: prm, name: prm, policy: sft, labels: {kind: file, path: labels.jsonl, format: o1kit}}
  - {kind: dpo, name: dpo, policy: sft, pairs: {kind: file, path: pairs.jsonl}}
  - {kind: labels, name: labels, policy: sft, source: {kind: monte_carlo, num_problems: 3}}
  - {kind: prm, name: second, policy: sft, labels: {kind: stage, stage: labels}}
tracking: {wandb: {mode: disabled}}
"""


def lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("\n".join(map(json.dumps, rows)))


def labelled(problem: str, *labels: float | None) -> dict[str, Any]:
    steps = [*(f"step {i}\n" for i in range(len(labels) - 1)), "So the answer is 7"]
    about = {"problem": problem, "prompt": f"{problem}?", "provenance": {"source": "test"}}
    return about | {"steps": steps, "labels": list(labels), "correct": labels[-1] == 1.0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shown.yaml").write_text(RECIPE)
    lines(tmp_path / "rows.jsonl", ROWS)
    lines(tmp_path / "other.jsonl", [{"question": "9?", "answer": "9"}])
    labels = [labelled("held", 1.0, 1.0), labelled("a", 0.25, None, 1.0), labelled("b", 0.5, 0.0)]
    lines(tmp_path / "labels.jsonl", labels)
    pair = {"prompt": "q?", "provenance": {"source": "test"}}
    chains = {"chosen": ["same\n", "good"], "rejected": ["same\n", "gone"]}
    lines(tmp_path / "pairs.jsonl", [{"problem": name, **pair, **chains} for name in ("held", "p")])
    return tmp_path


def shown(folder: Path, *words: str, capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    assert main(["data", "show", str(folder / "shown.yaml"), *words]) == code
    said = capsys.readouterr()
    return said.err if code else said.out


def text_of(out: str, name: str) -> str:
    """The rendered text of one sample, its lines joined."""
    block = next(block for block in out.split("\n\n") if block.startswith(name))
    return "\n".join(line.removeprefix("    ") for line in block.split("\n")[1:])


def test_the_chain_and_its_end_are_trained_and_the_prompt_is_not(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shown(folder, capsys=capsys)
    by_question = {text_of(out, block)[:4]: block for block in re.findall(r"(?m)^train/\S+(?=: )", out)}
    assert set(by_question) == {"1+1?", "2+2?"}  # the third does not fit
    assert text_of(out, by_question["1+1?"]) == "1+1?↵\n⟦one and one↵\nThe answer is 2<eos>⟧"
    assert text_of(out, by_question["2+2?"]) == "2+2?↵\n⟦two↵\nand two↵\nThe answer is 4<eos>⟧"
    # A token a character, and one more for the end.
    prompt, chain = len("1+1?\n"), len("one and one\nThe answer is 2") + 1
    head = next(line for line in out.splitlines() if line.startswith(by_question["1+1?"]))
    share = f"{chain / (prompt + chain):.1%}"
    expected = f"{prompt + chain} tokens, {prompt} of them the prompt, {chain} trained ({share}), end-of-text trained"
    assert head.endswith(expected)
    assert "sequences 2;" in out and "refused 1;" in out and "do not fit the model's context of 96" in out


def test_labels_stand_where_steps_end(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(folder, "--stage", "prm", capsys=capsys)
    assert text_of(out, "a:") == "a?↵\nstep 0⟦↵⟧ ◂0.25 \nstep 1↵\nSo the answer is 7⟦<eos>⟧ ◂1.00 "
    assert text_of(out, "b:") == "b?↵\nstep 0⟦↵⟧ ◂0.50 \nSo the answer is 7⟦<eos>⟧ ◂0.00 "
    assert "held:" not in out and "sequences 2;" in out and "ignored 1" in out
    held = shown(folder, "--stage", "prm", "--split", "heldout", capsys=capsys)
    assert "held:" in held and "\na:" not in held


def test_of_a_pair_only_what_differs_is_trained(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(folder, "--stage", "dpo", capsys=capsys)
    assert text_of(out, "p (better)") == "q?↵\nsame↵\ngo⟦od<eos>⟧"
    assert text_of(out, "p (other)") == "q?↵\nsame↵\ngo⟦ne<eos>⟧"
    whole = shown(folder, "--stage", "dpo", "--set", "stages.dpo.mask_shared_prefix=false", capsys=capsys)
    assert text_of(whole, "p (better)") == "q?↵\n⟦same↵\ngood<eos>⟧"


def test_what_another_stage_has_written_is_read_from_its_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = shown(folder, "--stage", "second", capsys=capsys, code=4)
    assert "reads what 'labels' has written" in error and "--run" in error
    run = folder / "run" / "labels"
    run.mkdir(parents=True)
    (folder / "labels.jsonl").rename(run / "labels.jsonl")
    write_done(run, "labels", "labels", "x")
    out = shown(folder, "--stage", "second", "--run", str(folder / "run"), capsys=capsys)
    assert "step 0⟦↵⟧ ◂0.25 " in out
    made = shown(folder, "--stage", "labels", "--run", str(folder / "run"), capsys=capsys)
    assert text_of(made, "a:") == "a?↵\nstep 0↵ ◂0.25 \nstep 1↵ ◂- \nSo the answer is 7<eos> ◂1.00 "


def test_prompts_are_shown_of_stages_that_make_their_own_chains(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shown(folder, "--stage", "labels", "--split", "other", capsys=capsys)
    assert "makes its chains when it runs" in out and "the answer is 9" in out and "9?↵" in out and "⟦9" not in out
    assert "Did you mean 'labels'?" in shown(folder, "--stage", "lables", capsys=capsys, code=2)
    assert "Did you mean" in shown(folder, "--split", "othr", capsys=capsys, code=4)


def test_colours_only_on_a_terminal_that_wants_them(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    coloured = shown(folder, "-n", "1", capsys=capsys)
    assert "\x1b[32m" in coloured and "⟦one" not in coloured
    for words, variable in ((("--plain",), "X"), ((), "NO_COLOR")):
        monkeypatch.setenv(variable, "1")
        plain = shown(folder, "-n", "1", *words, capsys=capsys)
        assert "\x1b" not in plain and "<eos>⟧" in plain


def test_control_characters_of_a_file_are_written_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines(folder / "rows.jsonl", [{**row, "question": f"{row['answer']}\x1b]0;t\x07"} for row in ROWS])
    out = shown(folder, capsys=capsys)
    assert "2\\x1b]0;t\\x07↵" in out and "\x1b" not in out
