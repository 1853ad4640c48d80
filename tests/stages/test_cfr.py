"""Counterfactual-regret searches inside the stages that run them: PPO learns from the tree, evaluate runs all three."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from o1kit.functional.logprobs import token_logprobs
from o1kit.models.load import save_directory
from o1kit.recipe.loader import recipe_from
from o1kit.recipe.source import parse
from o1kit.search.config import CfrConfig
from o1kit.stages.evaluate.module import EvaluateModule
from o1kit.stages.ppo.data import PpoData
from o1kit.stages.ppo.module import PpoModule
from tests.recipe.test_loader import GOOD, fails
from tests.recipe.test_served import SERVED
from tests.small import LETTERS, built, small
from tests.tiny import tiny

TREE = {"kind": "cfr", "mode": {"kind": "tree", "num_iterations": 2, "walks_per_batch": 2, "max_steps": 3}}
CRITIC = {"kind": "cfr", "mode": {"kind": "critic", "num_samples": 2, "iterations": 20}}
CONSENSUS = {"kind": "cfr", "mode": {"kind": "consensus", "num_samples": 2, "iterations": 20}}
ASKED = {"kind": "cfr", "mode": CRITIC["mode"] | {"judge": "prompt", "critic": "sft"}}  # type: ignore[operator]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of two policies and of a process reward model with random weights."""
    folder = tmp_path_factory.mktemp("start")
    for name, seed, head in (("sft", 0, False), ("ppo", 1, True), ("prm", 3, True)):
        model, template = tiny(seed=seed, head=head, context=160)
        save_directory(model, template.tokenizer, folder / name)
    return {name: folder / name for name in ("sft", "ppo", "prm")}


def test_ppo_learns_from_a_tree(start: dict[str, Path], tmp_path: Path) -> None:
    """Every token has a value and a log-probability of the engine's; the ratio before the first update is one."""
    made = built(small({"ppo": {"search": TREE, "problems_per_iteration": 1}}), "ppo", tmp_path, start)
    assert isinstance(made.module, PpoModule) and isinstance(made.data, PpoData)
    batch = next(iter(made.data.train_dataloader()))
    with torch.no_grad():
        hidden = batch.chain(made.module.model.hidden(batch.token_ids[:, :-1], use_cache=False))
        logprobs = token_logprobs(made.module.model.logits(hidden), batch.chain_ids)
    ratio = (logprobs - batch.old_logprobs).exp()[batch.mask]
    torch.testing.assert_close(ratio, torch.ones_like(ratio), atol=1e-4, rtol=0)
    assert {"search/regret_mean_positive", "search/strategy_entropy", "search/new_actions"} <= made.data.metrics.keys()
    collected = made.data.collector.collect(made.data._round(), 0)
    for chain in (t for result in collected.results for t in result.trajectories):
        for action in chain.state.actions:
            assert len(action.completion.values) == len(action.completion.token_ids)
        assert 0 < chain.prior <= 1


def test_all_three_are_evaluated(start: dict[str, Path], tmp_path: Path) -> None:
    searches: list[dict[str, Any]] = [TREE, CRITIC, CONSENSUS, ASKED]
    few = {name: {"num_problems": n, "sources": [LETTERS]} for name, n in (("train", 20), ("heldout", 2))}
    recipe = small({"evaluate": {"searches": searches, "policies": ["ppo"]}}, tasks=few)
    made = built(recipe, "evaluate", tmp_path, start)
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    L.Trainer(accelerator="cpu", **quiet).test(made.module, datamodule=made.data, verbose=False)
    module = made.module
    assert isinstance(module, EvaluateModule)
    rows = {row.search: row for row in module.rows}
    titles = [CfrConfig.model_validate(search).title for search in searches]
    assert list(rows) == titles
    tree, critic = titles[:2]
    assert all(row.tokens_per_problem > 0 for row in rows.values())
    assert "exploitability" in rows[critic].extra
    found = module.trees[0]
    assert found["search"]["title"] == tree
    assert all(found["nodes"][1][name] is not None for name in ("regret", "avg_strategy"))


def with_search(search: str) -> str:
    return GOOD.replace("{kind: mcts, num_simulations: 4}", search)


@pytest.mark.parametrize(
    ("search", "reason"),
    [
        ("{kind: cfr, mode: {kind: critc}}", "Did you mean 'critic'?"),
        ("{kind: cfr, mode: {kind: tree, epsilon: 0}}", "stages[2].search.mode.epsilon"),
        ("{kind: cfr, mode: {kind: critic, judge: prompt, critic: sft}}", "PPO learns from its own policy's samples"),
        ("{kind: cfr, mode: {kind: critic, critique_cost: 2.0}}", "must be below penalty"),
    ],
)
def test_faults_are_shown_where_they_are(search: str, reason: str) -> None:
    message = fails(with_search(search))
    assert reason in message
    assert "r.yaml:35:" in message


def test_a_tree_needs_a_prm_stage_and_a_prompted_judge_does_not() -> None:
    assert "cfr needs a reward that judges steps" in fails(
        with_search("{kind: cfr}").replace("    judge: prm\n    reward", "    reward")
    )
    prompted = with_search("{kind: cfr, mode: {kind: consensus, judge: prompt}}")
    recipe = recipe_from(parse(prompted.replace("    judge: prm\n    reward", "    reward"), "r.yaml"))
    assert recipe.stages[2].judge is None  # type: ignore[union-attr]
    scored = prompted.replace(", judge: prompt", "").replace("    judge: prm\n    reward", "    reward")
    assert "or `judge: prompt` in its mode." in fails(scored)


def test_a_critic_is_an_earlier_stage_in_this_process() -> None:
    asked = "{kind: cfr, mode: {kind: critic, judge: prompt, critic: NAME}}"
    evaluated = GOOD.replace("{kind: best_of_n, num_samples: 4}", asked)
    assert "there is no stage 'sfd'. Did you mean 'sft'?" in fails(evaluated.replace("NAME", "sfd"))
    assert "stage 'prm' is of kind prm, sft or ppo or dpo is needed." in fails(evaluated.replace("NAME", "prm"))
    assert recipe_from(parse(evaluated.replace("NAME", "sft"), "r.yaml")).stages
    served = SERVED.replace("kind: greedy", asked.replace("NAME", "model"))
    assert "an http engine serves one model, and this search also uses model" in fails(served)
