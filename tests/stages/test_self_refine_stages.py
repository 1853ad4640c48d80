"""Self-refinement inside the stages that search: rows and trees of an evaluation, experiences of PPO."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from o1kit.functional.logprobs import token_logprobs
from o1kit.models.load import save_directory
from o1kit.stages.evaluate.module import EvaluateModule
from o1kit.stages.ppo.data import PpoData
from o1kit.stages.ppo.module import PpoModule
from tests.small import LETTERS, built, small
from tests.tiny import tiny

PROMPTS = {
    "critique_prompt": "C {problem} {answer}",
    "rewrite_prompt": "R {problem} {answer} {critique}",
    "critique_tokens": 4,
}
MCTSR = {
    "kind": "self_refine",
    **PROMPTS,
    "algorithm": {"kind": "mctsr", "num_rollouts": 1, "score": {"kind": "judge"}},
}
FEW = {split: {"num_problems": 4, "sources": [LETTERS]} for split in ("train", "heldout")}
PAIR = {"kind": "pairwise", "prompt": "? {problem} {first} {second}", "model": "sft", "alternatives": 60}
BERRY = {"kind": "self_refine", **PROMPTS, "critic": "ppo"}
BERRY |= {"algorithm": {"kind": "sr_mcts", "max_nodes": 2, "score": PAIR}}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of two policies and a process reward model with random weights."""
    folder = tmp_path_factory.mktemp("start")
    for name, seed, head in (("sft", 0, False), ("ppo", 5, False), ("prm", 3, True)):
        model, template = tiny(seed=seed, head=head, context=112)
        save_directory(model, template.tokenizer, folder / name)
    return {name: folder / name for name in ("sft", "ppo", "prm")}


@pytest.mark.filterwarnings("ignore:You are trying to `self.log")
def test_an_evaluation_compares_both_algorithms(start: dict[str, Path], tmp_path: Path) -> None:
    oracle: dict[str, Any] = MCTSR | {"algorithm": MCTSR["algorithm"] | {"stop_when_correct": True}}  # type: ignore[operator]
    recipe = small({"evaluate": {"policies": ["sft"], "searches": [MCTSR, BERRY, oracle]}}, tasks=FEW)
    module = built(recipe, "evaluate", tmp_path, start).module
    assert isinstance(module, EvaluateModule)
    module.test_step(("sft", "heldout"), 0)
    names = [row.search for row in module.rows]
    assert [name.partition(" (")[0] for name in names] == [
        "mctsr 1x3 prm",
        "sr_mcts 2x2 pairwise, critic ppo",
        "mctsr 1x3 prm",
    ]
    assert "critique_tokens 4" in names[0]
    assert names[2] == f"{names[0]} oracle"
    for row in module.rows:
        assert 0 <= row.accuracy <= 1 and row.tokens_per_problem > 0 and row.n == 4
        assert row.oracle is row.search.endswith("oracle")
        assert row.extra["nodes"] >= 1 and "score_errors" in row.extra
    assert len(module.trees) == 9
    nodes = module.trees[0]["nodes"]
    assert [node["parent"] for node in nodes][:2] == [None, None]
    assert any(node["parent"] is not None for tree in module.trees for node in tree["nodes"])


def test_ppo_learns_from_rewrites_with_their_own_prompts(start: dict[str, Path], tmp_path: Path) -> None:
    """The ratio of a rewrite is one before the first update: it is learned after the prompt it was written for."""
    stage = built(
        small({"ppo": {"search": MCTSR, "problems_per_iteration": 2, "batch_size": 4}}, tasks=FEW),
        "ppo",
        tmp_path,
        start,
    )
    assert isinstance(stage.module, PpoModule) and isinstance(stage.data, PpoData)
    batch: Any = next(iter(stage.data.train_dataloader()))
    with torch.no_grad():
        hidden = batch.chain(stage.module.model.hidden(batch.token_ids[:, :-1], use_cache=False))
        logprobs = token_logprobs(stage.module.model.logits(hidden), batch.chain_ids)
    ratio = (logprobs - batch.old_logprobs).exp()[batch.mask]
    torch.testing.assert_close(ratio, torch.ones_like(ratio), atol=1e-4, rtol=0)
    template = stage.data.collector.template
    prompts = {
        template.decode(row[:size].tolist())[:2] for row, size in zip(batch.token_ids, batch.starts, strict=True)
    }
    assert "R " in prompts and len(prompts) > 1, "first answers and rewrites"
