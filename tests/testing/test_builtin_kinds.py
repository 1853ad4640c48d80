"""Every built-in search, reward, task and engine passes the conformance kit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from o1kit import registry
from o1kit.testing.check import Check
from o1kit.testing.conformance import GROUPS, checks_of
from o1kit.testing.lab import ASK_MARK
from o1kit.testing.subject import Subject

DATA = Path(__file__).parents[2] / "recipes" / "data"
SHORT = "{problem} {chain}?"
LABELS = {"kind": "labels", "good": "a", "bad": "b", "alternatives": 110}
SECTIONS: list[tuple[str, str, dict[str, Any]]] = [
    ("searches", "greedy", {}),
    ("searches", "sample", {"num_samples": 3}),
    ("searches", "best_of_n", {"num_samples": 3}),
    ("searches", "best_of_n", {"num_samples": 4, "diversity": {"temperatures": [0.5, 1.0], "models": ["other"]}}),
    ("searches", "beam", {"num_beams": 2, "num_children": 2}),
    ("searches", "beam", {"num_beams": 1, "num_children": 2, "num_subtrees": 2, "scored_by": "confidence"}),
    ("searches", "mcts", {"num_simulations": 3, "num_children": 2}),
    ("searches", "mcts", {"num_simulations": 3, "num_children": 2, "expand": "chain", "leaf_value": "value_head"}),
    ("searches", "self_refine", {"critique_tokens": 8, "algorithm": {"kind": "mctsr", "num_rollouts": 2}}),
    ("searches", "cfr", {"mode": {"kind": "tree", "num_iterations": 4, "walks_per_batch": 2}}),
    ("rewards", "verifier", {}),
    ("rewards", "prm", {"model": "any"}),
    ("rewards", "orm", {"model": "any"}),
    ("rewards", "pairwise", {"model": "any", "anchors": 2}),
    ("rewards", "confidence", {}),
    ("rewards", "value_head", {}),
    ("rewards", "likelihood", {"model": "any"}),
    ("rewards", "calculator", {}),
    ("rewards", "self_score", {"prompt": "{problem} {answer}\n" + ASK_MARK}),
    ("rewards", "judge", {"rubric": SHORT, "reply": LABELS}),
    (
        "rewards",
        "constitution",
        {"principles": ["Be brief."], "prompt": SHORT + "{principle}{critique}", "alternatives": 110},
    ),
    ("rewards", "mixture", {"of": [{"kind": "prm", "model": "any"}, {"kind": "confidence"}]}),
    ("tasks", "reasoning_gym", {"generator": "chain_sum"}),
    ("tasks", "jsonl", {"path": "doubled_letters.jsonl"}),
    ("tasks", "jsonl", {"path": "doubled_letters.jsonl", "grader": {"kind": "numeric"}}),
    ("engines", "torch", {}),
]
SUBJECTS = [Subject(group, kind, options, DATA) for group, kind, options in SECTIONS]
CASES = [(subject, check) for subject in SUBJECTS for check in checks_of(subject.group)]
QUICK = {
    ("searches", "beam", "budget"),
    ("rewards", "prm", "any_batch"),
    ("tasks", "jsonl", "disjoint_splits"),
    ("engines", "torch", "logprobs"),
}
"""Checked every time; the rest is for the slow part."""


def _case(subject: Subject, check: Check) -> Any:
    quick = (subject.group, subject.kind, check.name) in QUICK
    name = f"{subject.kind}{SUBJECTS.index(subject)}-{check.name}"
    return pytest.param(subject, check, id=name, marks=() if quick else pytest.mark.slow)


@pytest.mark.parametrize(("subject", "check"), [_case(*case) for case in CASES])
def test_built_in_kinds_conform(subject: Subject, check: Check) -> None:
    check(subject)


def test_no_built_in_kind_is_left_out() -> None:
    """Servers answer to the tests of their own engine."""
    listed = {(subject.group, subject.kind) for subject in SUBJECTS}
    kinds = {(group, kind) for group in GROUPS for kind in registry.BUILTIN[group]}
    assert kinds - listed == {("engines", "http")}
