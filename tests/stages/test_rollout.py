"""Rollouts: every search, every option, marks that a verifier gives, and runs that go on where they were killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightning as L
import pytest

from o1kit.artifacts import write_json
from o1kit.errors import RewardFailure
from o1kit.models.load import save_directory
from o1kit.report.tree import read_chains, read_trees
from o1kit.report.tree_schema import ChainRecord, TreeRecord
from o1kit.rewards.prm import PrmReward
from o1kit.search.journal import Journal
from o1kit.stages.rollout.data import RolloutData
from o1kit.stages.rollout.module import RolloutModule
from o1kit.types import State
from tests.alike import assert_alike
from tests.small import built, small
from tests.tiny import tiny

ROWS = [{"question": f"{i}+1=?", "answer": "0123456789ab"[i % 12]} for i in range(10)]
MCTS = {"kind": "mcts", "num_simulations": 3, "num_children": 2, "expand": "chain"}
SEARCHES: dict[str, dict[str, Any]] = {
    "greedy": {"kind": "greedy"},
    "sample": {"kind": "sample", "num_samples": 3},
    "majority": {"kind": "best_of_n", "num_samples": 3, "select": "majority"},
    "weighted": {"kind": "best_of_n", "num_samples": 3},
    "beam": {"kind": "beam", "num_beams": 2, "num_children": 2, "max_steps": 2},
    "mcts": MCTS,
    "value_head": MCTS | {"leaf_value": "value_head"},
    "cfr": {"kind": "cfr", "mode": {"kind": "tree", "num_iterations": 2, "max_steps": 2}},
    "self_refine": {
        "kind": "self_refine",
        "critique_prompt": "C {problem} {answer}",
        "rewrite_prompt": "R {problem} {answer} {critique}",
        "critique_tokens": 4,
        "algorithm": {"kind": "mctsr", "num_rollouts": 2, "score": {"kind": "judge"}, "stop_when_correct": True},
    },
}
JUDGES = dict.fromkeys(("weighted", "beam", "mcts", "cfr", "self_refine"), "prm") | {"value_head": "value_head"}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of a policy with a value head and of a reward model, and a file of problems."""
    folder = tmp_path_factory.mktemp("start")
    for name, seed in (("ppo", 0), ("prm", 3)):
        model, template = tiny(seed=seed, head=True, context=48)
        save_directory(model, template.tokenizer, folder / name)
    write_json(folder / "ppo" / "done.json", {"format": 1, "files": {}, "summary": {"iterations": 7}})
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    return folder


def roll(start: Path, folder: Path, block: int = 1024, max_batch: int = 256, **section: Any) -> RolloutModule:
    """Runs a rollout stage, whose files lie in `folder` then."""
    stage = {"kind": "rollout", "name": "rollout", "policy": "ppo", "judge": "prm", "num_problems": 2, "search": MCTS}
    source = {"kind": "jsonl", "path": str(start / "rows.jsonl")}
    splits = {name: {"num_problems": 4, "sources": [source]} for name in ("train", "heldout")}
    seed = section.pop("seed", 0)
    recipe = small(stages=[stage | section], tasks=splits, seed=seed, engine={"max_batch": max_batch})
    made = built(recipe, "rollout", folder, {"ppo": start / "ppo", "prm": start / "prm"})
    assert isinstance(made.module, RolloutModule) and isinstance(made.data, RolloutData)
    made.data.block = block
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.test(made.module, datamodule=made.data, verbose=False)
    return made.module


def files(folder: Path) -> tuple[list[TreeRecord], list[ChainRecord]]:
    return list(read_trees(folder / "trees.jsonl")), list(read_chains(folder / "chains.jsonl"))


@pytest.fixture(scope="module", params=SEARCHES)
def rolled(request: pytest.FixtureRequest, start: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two searches of each of two problems, with every kind of search."""
    folder = tmp_path_factory.mktemp("rolled")
    return request.param, folder, roll(start, folder, search=SEARCHES[request.param], samples=2)


def test_every_search_leaves_its_trees_and_chains(rolled: Any) -> None:
    name, folder, module = rolled
    trees, chains = files(folder)
    assert [(t.problem.id, t.sample) for t in trees] == [
        (p.id, sample) for p in module.suite.problems("train")[:2] for sample in range(2)
    ]
    assert {t.search.section["kind"] for t in trees} == {SEARCHES[name]["kind"]}
    assert len({t.key for t in trees}) == 4
    judge = JUDGES.get(name)
    for tree in trees:
        mine = [c for c in chains if (c.problem, c.sample) == (tree.problem.id, tree.sample)]
        assert mine and {c.text for c in mine} <= {_text(tree, n.id) for n in tree.nodes if n.terminal}
        for node in tree.nodes:
            assert list(node.value) == ([judge] if judge else [])
            assert node.policy_version == (7 if node.token_ids else None)
            assert (node.correct is None) is (node.answer is None)
    for chain in chains:
        assert "".join(chain.steps) == chain.text
        assert (chain.score is None) is (judge is None)
        assert chain.correct is (chain.answer is not None and chain.answer == _truth(chain.prompt))
    summary = module.summary
    assert summary["problems"] == 2 and summary["searches"] == 4 and summary["chains"] == len(chains)
    assert summary["tokens_per_problem"] == sum(t.usage.generated for t in trees) / 2
    solved = summary["oracle_search_solved" if name == "self_refine" else "solved"]
    assert summary["oracle_any_chain_right"] >= solved >= 0 and ("solved" in summary) is (name != "self_refine")
    (other,) = folder.rglob("journal-*")
    assert other.stat().st_size > 0


def _text(tree: TreeRecord, number: int | None) -> str:
    node = next((n for n in tree.nodes if n.id == number), None)
    return "" if node is None else (_text(tree, node.parent) if node.unit != "solution" else "") + node.text


def _truth(prompt: str) -> str:
    return next(row["answer"] for row in ROWS if row["question"] == prompt)


def test_figures_are_those_of_planted_chains(start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sample i answers "1": right for the one problem whose answer that is, in all of its chains or in one."""
    from o1kit.engines.policy import LanguagePolicy

    def answer(self: Any, state: State) -> str | None:
        return "1" if sum(state.token_ids) % 2 else None

    monkeypatch.setattr(LanguagePolicy, "answer", answer)
    module = roll(start, tmp_path, num_problems=4, search={"kind": "sample", "num_samples": 4})
    trees, chains = files(tmp_path)
    right = {
        t.problem.id: [c.answer == "1" == _truth(c.prompt) for c in chains if c.problem == t.problem.id] for t in trees
    }
    assert module.summary["solved"] == sum(sum(marks) / 4 for marks in right.values()) / 4
    assert module.summary["oracle_any_chain_right"] == sum(map(any, right.values())) / 4
    assert module.summary["chains_right"] == sum(map(sum, right.values())) / 16
    assert [c.correct for c in chains] == [mark for t in trees for mark in right[t.problem.id]]


@pytest.fixture(scope="module")
def base(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the stage writes with its options as they are."""
    folder = tmp_path_factory.mktemp("base")
    roll(start, folder)
    return files(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"policy": "model", "search": {"kind": "sample"}, "judge": None},
        {"search": MCTS | {"num_children": 3}},
        {"num_problems": None},
        {"samples": 2},
        {"verify": False},
        {"split": "heldout"},
        {"judge": "ppo"},
        {"seed": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_option_counts(change: dict[str, Any], start: Path, base: Any, tmp_path: Path) -> None:
    roll(start, tmp_path, **change)
    changed = files(tmp_path)
    assert base != changed
    if "verify" in change:
        assert {c.correct for c in changed[1]} == {None}
        assert [c.text for c in changed[1]] == [c.text for c in base[1]]
    if "num_problems" in change:
        assert len(changed[0]) == (change["num_problems"] or 4)
        assert_alike(changed[0][:2], base[0])


def test_files_do_not_depend_on_what_is_computed_together(start: Path, base: Any, tmp_path: Path) -> None:
    roll(start, tmp_path, block=1, max_batch=1)
    assert_alike(files(tmp_path), base)


@pytest.mark.parametrize("search", [MCTS | {"expand": "step"}, SEARCHES["self_refine"]], ids=lambda s: s["kind"])
def test_a_rollout_that_is_stopped_goes_on_where_it_was(
    search: dict[str, Any], start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after two thirds of its replies, in the second of two blocks: the rest is computed, the files agree."""
    options: dict[str, Any] = {"num_problems": 4, "block": 2, "search": search}
    whole = roll(start, tmp_path / "whole", **options)
    put, count = Journal.put, 0

    def stop(self: Journal, *arguments: Any, **reply: Any) -> None:
        nonlocal count
        count += 1
        if count > whole.journals.recorded * 2 // 3:
            raise InterruptedError
        put(self, *arguments, **reply)

    monkeypatch.setattr(Journal, "put", stop)
    with pytest.raises(InterruptedError):
        roll(start, tmp_path / "stopped", **options)
    monkeypatch.undo()
    again = roll(start, tmp_path / "stopped", **options)
    assert_alike(files(tmp_path / "stopped"), files(tmp_path / "whole"))
    assert again.journals.reused == whole.journals.recorded * 2 // 3
    assert again.journals.recorded == whole.journals.recorded - again.journals.reused
    assert 0 < again.journals.reused_tokens < whole.totals.usage.generated
    assert again.summary == whole.summary


def test_a_reward_that_fails_now_and_then_is_borne_with(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = PrmReward.step_scores, 0

    async def sometimes(self: PrmReward, state: State) -> tuple[float, ...]:
        nonlocal calls
        calls += 1
        if calls % 4 == 0:
            raise RewardFailure("its server is away", "timeout")
        return await real(self, state)

    monkeypatch.setattr(PrmReward, "step_scores", sometimes)
    options: dict[str, Any] = {"num_problems": 3, "search": SEARCHES["weighted"], "max_failed_judgements": 0.25}
    module = roll(start, tmp_path, **options)
    assert module.summary["judgements"] == 9 and module.summary["failed_judgements"] == 2
    outcomes = [n.outcome for tree in files(tmp_path)[0] for n in tree.nodes if n.terminal]
    assert outcomes.count("timeout") == 2
    with pytest.raises(RewardFailure, match=r"could not judge 2 of 9 chains, more than 2%.*its server is away"):
        roll(start, tmp_path / "strict", **options | {"max_failed_judgements": 0.02})
    monkeypatch.undo()
    again = roll(start, tmp_path / "strict", **options | {"max_failed_judgements": 0.02})
    assert again.summary["failed_judgements"] == 0, "what had failed was asked again"
    assert again.journals.recorded == 2 and again.journals.reused == 3 + 7, "and nothing else"
