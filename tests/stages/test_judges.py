"""Every kind of judge through the real stages: evaluation, rollouts and PPO, on tiny models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightning as L
import pytest

from o1kit.errors import RewardFailure
from o1kit.functional.borda import global_values
from o1kit.models.load import save_directory
from o1kit.models.reading import Reading, write_reading
from o1kit.rewards.build import engines_of
from o1kit.rewards.prm import step_ends
from o1kit.stages.evaluate.module import EvaluateModule
from o1kit.stages.ppo.data import PpoData
from o1kit.stages.searching import run_all
from tests.small import LETTERS, RECIPE, built, small
from tests.tiny import tiny

pytestmark = pytest.mark.slow

ASKED = {"reply": {"kind": "labels", "good": "a", "bad": "b", "alternatives": 100}, "rubric": "{problem}{chain}"}
PRINCIPLED = {
    "model": "big",
    "principles": ["x"],
    "prompt": "{problem}{chain}{principle}{critique}",
    "alternatives": 100,
}
JUDGES: dict[str, Any] = {
    "prm": "prm",
    "orm": "orm",
    "pairs": "pairs",
    "asked": {"kind": "pairwise", "model": "asked", "anchors": 1},
    "confidence": {"kind": "confidence", "top": 3},
    "value_head": {"kind": "value_head"},
    "self_score": {"kind": "self_score", "prompt": "{problem}{answer}", "max_tokens": 4, "model": "big"},
    "judge": {"kind": "judge", **ASKED},
    "other": {"kind": "judge", **ASKED, "model": "big", "level": "step"},
    "constitution": {"kind": "constitution", **PRINCIPLED},
    "mixture": {
        "kind": "mixture",
        "of": [{"kind": "prm", "model": "prm"}, {"kind": "judge", **ASKED, "model": "big", "weight": 0.5}],
    },
}
KINDS = {"pairs": "pairwise", "asked": "pairwise", "other": "judge"}
SAMPLES = {"kind": "best_of_n", "num_samples": 3, "select": "best"}
BEAM = {"kind": "beam", "num_beams": 1, "num_children": 2, "max_steps": 1}
FEW = {split: {"num_problems": 1, "sources": [LETTERS]} for split in ("train", "heldout")}
TRAINED = {"orm": Reading(kind="orm"), "pairs": Reading(kind="pairwise")}
OPTIONS: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of policies and of reward models with random weights."""
    folder = tmp_path_factory.mktemp("judges")
    readings = TRAINED | {"asked": Reading(kind="pairwise", by="tokens", good="Y", bad="N"), "prm": Reading()}
    for seed, name in enumerate(("sft", "ppo", "prm", "orm", "pairs", "asked", "big")):
        # Chains are short, as the policies' contexts are; a question about two of them is long.
        model, template = tiny(
            seed=seed, head=name not in ("sft", "big"), context=700 if name in ("asked", "big") else 110
        )
        save_directory(model, template.tokenizer, folder / name)
        if name in readings:
            write_reading(folder / name, readings[name])
    return {path.name: path for path in folder.iterdir()}


def run_stage(start: dict[str, Path], folder: Path, stage: dict[str, Any]) -> Any:
    base = {"name": "it", "max_failed_judgements": 1.0}
    recipe = small(tasks=FEW, stages=[*RECIPE["stages"], {**base, **stage}])
    made = built(recipe, "it", folder, start)
    L.Trainer(accelerator="cpu", enable_checkpointing=False, **OPTIONS).test(made.module, made.data, verbose=False)
    return made.module


def evaluated(start: dict[str, Path], folder: Path, judge: Any, *searches: Any, **options: Any) -> EvaluateModule:
    policies = ["ppo"]
    stage = {"kind": "evaluate", "policies": policies, "judge": judge, "searches": list(searches), **options}
    found: EvaluateModule = run_stage(start, folder, stage)
    return found


USUAL = ("prm", "asked", "confidence", "judge", "mixture")
EVERY = [name if name in USUAL else pytest.param(name, marks=pytest.mark.slow) for name in JUDGES]


@pytest.mark.parametrize("name", EVERY)
def test_evaluation_with_every_kind(name: str, start: dict[str, Path], tmp_path: Path) -> None:
    module = evaluated(start, tmp_path, JUDGES[name], SAMPLES, BEAM, {"kind": "greedy"})
    kind = KINDS.get(name, name)
    by = "" if kind == "prm" else f" by {kind}"
    assert [row.search for row in module.rows] == [f"rm@3{by}", f"beam 1x2 (best){by}", "greedy"]
    assert module.tolerance.judged > 0
    if name != "self_score":  # random words hold no mark
        assert module.tolerance.failed < module.tolerance.judged, "but what fills its context"
    spent = module.rows[name == "judge"].extra["computed_per_problem"]
    expected = {"mixture": {"prm", "judge"}, "confidence": set(), "value_head": set()}.get(name, {kind})
    assert set(spent) == {"policy", *expected}
    for who in expected:
        assert any(tokens > 0 for tokens in spent[who].values()) and all(x.startswith("score_") for x in spent[who])


@pytest.mark.parametrize("name", [*JUDGES, "penalty"])
def test_ppo_is_paid_by_every_kind(name: str, start: dict[str, Path], tmp_path: Path) -> None:
    """Kinds that judge steps pay what changes, the others once, at the end; in sum a chain's score either way."""
    judge = JUDGES.get(name, {"kind": "constitution", **PRINCIPLED, "pays": "penalty"})
    if isinstance(judge, str):
        judge = {"kind": KINDS.get(name, name), "model": judge}
    search = {"kind": "best_of_n", "num_samples": 2, "select": "best"}
    changes = {"reward": judge, "judge": JUDGES.get(name, "prm"), "search": search, "problems_per_iteration": 1}
    made = built(small({"ppo": {**changes, "max_failed_judgements": 1.0}}, tasks=FEW), "ppo", tmp_path, start)
    assert isinstance(made.data, PpoData)
    collector = made.data.collector
    problems = list(collector.verifier.suite.problems("train"))
    found = collector._searched(problems, 0)
    if name == "mixture":
        assert set(collector.reward_models) == {"prm", "judge"}
        return
    (reward,) = collector.reward_models.values()
    chains = [(t.state, line) for result, lines in found for t, line in zip(result.trajectories, lines, strict=True)]
    total, steps = [], []

    async def score(_: int, state: Any) -> None:
        try:
            steps.append(await reward.step_scores(state))
            total.append((await reward.score(state)).value)
        except RewardFailure:
            steps.append((0.0,) * len(state.actions))
            total.append(0.0)

    for state, _ in chains:
        run_all([state], score, label="again")
    assert [sum(line) for _, line in chains] == pytest.approx([t - (name == "penalty") for t in total], abs=1e-4)
    for (state, line), values in zip(chains, steps, strict=True):
        paid = {i for i, x in enumerate(line) if abs(x) > 1e-9}
        ends = [end - len(state.prompt_ids) for end in step_ends(state)]
        assert paid <= (set(ends[-1:]) if getattr(reward, "level", "step") == "outcome" else set(ends))
        assert len(values) == len(ends)


def test_the_borda_count_ranks_in_evaluation(start: dict[str, Path], tmp_path: Path) -> None:
    """The same numbers as from the model's own comparisons of the same samples."""
    stage = {"kind": "rollout", "policy": "sft", "judge": "pairs", "search": {**SAMPLES, "num_samples": 5}}
    module = run_stage(start, tmp_path, {**stage, "num_problems": 1})
    found = [json.loads(line) for line in (tmp_path / "chains.jsonl").read_text().splitlines()]
    scores = sorted(chain["score"] for chain in found)
    assert scores == pytest.approx(sorted(global_values([[i < j for j in range(5)] for i in range(5)])))
    assert module.tolerance.judged == 10


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("orm", "confidence", "other", "constitution")]


@pytest.mark.parametrize("name", ["asked", "mixture", *SLOW])
def test_a_killed_rollout_goes_on_to_the_same_tree(name: str, start: dict[str, Path], tmp_path: Path) -> None:
    """What judged before is not asked again, what is left is; trees are the same to the last bit."""
    stage = {"kind": "rollout", "policy": "ppo", "judge": JUDGES[name], "search": BEAM, "num_problems": 1}
    first = run_stage(start, tmp_path, stage)
    before = (tmp_path / "trees.jsonl").read_bytes()
    (journal,) = (tmp_path / "checkpoints").glob("journal-*")
    header, *replies = journal.read_bytes().splitlines(keepends=True)
    for kept in (len(replies) // 2, len(replies)):
        journal.write_bytes(b"".join([header, *replies[:kept]]))
        again = run_stage(start, tmp_path, stage)
        assert (tmp_path / "trees.jsonl").read_bytes() == before
        spared = int(name == "asked" and kept == len(replies))  # nothing is left to compare with the anchors
        assert again.journals.summary["reused"] == kept - spared > 0
        assert again.summary["judgements"] == first.summary["judgements"] > 0
        if name != "asked":  # anchors are charged with the first judgement, which may come after the kill
            for one, other in zip(*(engines_of(module._judge).values() for module in (first, again)), strict=True):
                assert one.ledger.total.generated == other.ledger.total.generated
    assert not getattr(again._judge, "_anchors", None), "anchors are not sampled again"
    tree = json.loads(before)
    assert {key for node in tree["nodes"] for key in node["value"]} == {KINDS.get(name, name)}
