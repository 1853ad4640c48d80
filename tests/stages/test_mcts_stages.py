"""The variants of tree search inside the stages that run them, and what a recipe says about them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from o1kit.functional.logprobs import token_logprobs
from o1kit.models.load import save_directory
from o1kit.search.config import MctsConfig
from o1kit.stages.evaluate.module import EvaluateModule
from o1kit.stages.ppo.data import PpoData
from o1kit.stages.ppo.module import PpoModule
from tests.recipe.test_loader import GOOD, fails
from tests.small import LETTERS, built, small
from tests.tiny import tiny

FEWER: dict[str, Any] = {"kind": "mcts", "num_simulations": 3, "max_steps": 3}
FEW = {**FEWER, "num_children": 2}
ACTIONS = {"think": {"prefix": "so ", "next": {"check": 1}}, "check": {"prefix": "wait, ", "next": {"think": 1}}}
TYPED = {**FEWER, "unit": {"kind": "actions", "start": {"think": 2}, "actions": ACTIONS}}
MARCO = {**FEW, "unit": {"kind": "tokens", "size": 8}, "leaf_value": "confidence", "rollout": {}}
COUNTED = {**FEW, "stop": {"correct": {"low": 1, "high": 1}}}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a policy and of a process reward model with random weights."""
    folder = tmp_path_factory.mktemp("start")
    for name, seed, head in (("sft", 0, False), ("prm", 3, True)):
        model, template = tiny(seed=seed, head=head, context=160)
        save_directory(model, template.tokenizer, folder / name)
    return {name: folder / name for name in ("sft", "prm")}


@pytest.mark.parametrize("search", [TYPED, MARCO, COUNTED], ids=["typed", "marco", "counted"])
def test_ppo_learns_from_what_was_sampled_and_from_nothing_else(
    search: Any, start: dict[str, Path], tmp_path: Path
) -> None:
    """The ratio of every counted token is one before the first update; words that were put in do not count."""
    made = built(small({"ppo": {"search": search, "problems_per_iteration": 2}}), "ppo", tmp_path, start)
    assert isinstance(made.module, PpoModule) and isinstance(made.data, PpoData)
    batch = next(iter(made.data.train_dataloader()))
    with torch.no_grad():
        hidden = batch.chain(made.module.model.hidden(batch.token_ids[:, :-1], use_cache=False))
        logprobs = token_logprobs(made.module.model.logits(hidden), batch.chain_ids)
    ratio = (logprobs - batch.old_logprobs).exp()[batch.mask]
    torch.testing.assert_close(ratio, torch.ones_like(ratio), atol=1e-4, rtol=0)
    inside = torch.arange(batch.mask.shape[1]) < batch.widths[:, None]
    assert bool((inside & ~batch.mask).any()) is (search is TYPED)
    assert bool(torch.isfinite(batch.advantages).all())
    loss = made.module.training_step(batch, 0)["loss"]
    assert bool(torch.isfinite(loss))


def test_evaluate_names_and_measures_them(start: dict[str, Path], tmp_path: Path) -> None:
    few = {name: {"num_problems": n, "sources": [LETTERS]} for name, n in (("train", 20), ("heldout", 2))}
    searches = [TYPED, MARCO, COUNTED]
    recipe = small({"evaluate": {"searches": searches, "policies": ["sft"]}}, tasks=few)
    made = built(recipe, "evaluate", tmp_path, start)
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    L.Trainer(accelerator="cpu", **quiet).test(made.module, datamodule=made.data, verbose=False)
    assert isinstance(made.module, EvaluateModule)
    rows = {row.search: row for row in made.module.rows}
    titles = [MctsConfig.model_validate(search).title for search in searches]
    assert list(rows) == [*titles[:2], f"{titles[2]} oracle"]
    assert [row.oracle for row in rows.values()] == [False, False, True]
    assert all(row.extra["simulations"] >= 1 for row in rows.values())
    typed = made.module.trees[0]["nodes"]
    assert {node["kind"] for node in typed if node["parent"] == 0} == {"think"}
    assert all(node["seed"] is not None for node in typed if node["parent"] == 0)


def with_search(search: str) -> str:
    return GOOD.replace("{kind: mcts, num_simulations: 4}", search)


@pytest.mark.parametrize(
    ("search", "reason"),
    [
        ("{kind: mcts, selection: {kind: puckt}}", "Did you mean 'puct'?"),
        ("{kind: mcts, unit: {kind: tokens}}", "trained at the ends of steps"),
        ("{kind: mcts, unit: {kind: actions, start: {a: 1}, actions: {a: {hint: x}}}}", "hints do not stay in it"),
        ("{kind: mcts, unit: {kind: actions, start: {b: 1}, actions: {a: {}}}}", "start names 'b'"),
        ("{kind: mcts, unit: {kind: actions, start: {a: 1}, actions: {a: {model: sft}}}}", "PPO learns from its own"),
        ("{kind: mcts, stop: {value: 2.0}}", "stages[2].search.stop.value"),
    ],
)
def test_faults_are_shown_where_they_are(search: str, reason: str) -> None:
    message = fails(with_search(search))
    assert reason in message
    assert "r.yaml:35:" in message


def test_ppo_is_not_rewarded_inside_steps_by_a_model_of_their_ends() -> None:
    cut = "{kind: mcts, unit: {kind: tokens}, leaf_value: confidence}"
    rewarded = with_search(cut).replace("kind: verifier", "kind: prm, model: prm")
    assert "trained at the ends of steps" in fails(rewarded)


def test_confidence_needs_no_prm_stage() -> None:
    text = with_search("{kind: mcts}").replace("    judge: prm\n    reward", "    reward")
    assert "`leaf_value: confidence` here" in fails(text)


def test_titles_tell_what_is_unusual() -> None:
    section = {**FEW, "selection": {"kind": "uct", "c": 0.5}, "rollout": {"share": 0.5}, "temperature": 0.7}
    title = MctsConfig.model_validate(section).title
    assert title == "mcts 3x2 step (weighted) (T=0.7, selection uct, selection.c 0.5, rollout.share 0.5, max_steps 3)"
