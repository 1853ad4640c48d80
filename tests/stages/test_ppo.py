"""PPO: the ratio starts at one, a planted reward is learned, and all state is in the checkpoint."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from o1kit.errors import RewardFailure
from o1kit.functional.logprobs import token_logprobs
from o1kit.functional.losses import clipped_policy_loss
from o1kit.models.load import save_directory
from o1kit.rewards.prm import PrmReward
from o1kit.search.journal import Journal
from o1kit.stages.ppo.collector import Collector
from o1kit.stages.ppo.data import PpoData
from o1kit.stages.ppo.experience import Batch
from o1kit.stages.ppo.module import PpoModule
from o1kit.stages.searching import run_all
from tests.small import RECIPE, built, small
from tests.tiny import tiny

BEAM = {"kind": "beam", "num_beams": 2, "num_children": 2, "max_steps": 3}
PROMPTED = {"prompts": ["Hm. {problem}", "{problem}"], "temperatures": [0.7, 1.3]}
BEST = {"kind": "best_of_n", "num_samples": 6, "adaptive": {"kind": "certain"}, "diversity": PROMPTED}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a policy and of a process reward model with random weights."""
    folder = tmp_path_factory.mktemp("start")
    model, template = tiny(context=160)
    save_directory(model, template.tokenizer, folder / "sft")
    judge, _ = tiny(seed=3, head=True, context=160)
    save_directory(judge, template.tokenizer, folder / "prm")
    return {"sft": folder / "sft", "prm": folder / "prm"}


def stage(start: dict[str, Path], folder: Path, **changes: Any) -> tuple[PpoModule, PpoData, dict[str, Any]]:
    made = built(small({"ppo": changes}), "ppo", folder, start)
    assert isinstance(made.module, PpoModule) and isinstance(made.data, PpoData)
    return made.module, made.data, dict(made.trainer)


def first_batch(data: PpoData) -> Batch:
    batch: Batch = next(iter(data.train_dataloader()))
    return batch


@pytest.mark.parametrize(
    "search",
    [None, BEAM, *(pytest.param(s, marks=pytest.mark.slow) for s in ({"kind": "sample", "num_samples": 3}, BEST))],
)
@pytest.mark.parametrize("replay", [{"kind": "prioritized"}, {"kind": "on_policy"}])
def test_ratio_is_one_before_the_first_update(search: Any, replay: Any, start: dict[str, Path], tmp_path: Path) -> None:
    changes = {"replay": replay} | ({"search": search} if search else {})
    module, data, _ = stage(start, tmp_path, **changes)
    batch = first_batch(data)
    with torch.no_grad():
        hidden = batch.chain(module.model.hidden(batch.token_ids[:, :-1], use_cache=False))
        logprobs = token_logprobs(module.model.logits(hidden), batch.chain_ids)
    ratio = (logprobs - batch.old_logprobs).exp()[batch.mask]
    torch.testing.assert_close(ratio, torch.ones_like(ratio), atol=1e-4, rtol=0)
    loss = clipped_policy_loss(logprobs, batch.old_logprobs, batch.advantages, batch.mask, 0.2)
    assert loss.clip_fraction == 0
    assert float(loss.ratio_mean) == pytest.approx(1.0, abs=1e-4)
    # The reference is the same model here, so its log-probabilities are the policy's own.
    torch.testing.assert_close(batch.ref_logprobs[batch.mask], batch.old_logprobs[batch.mask], atol=1e-4, rtol=0)


def test_experience_weights_of_a_problem_have_mean_one(start: dict[str, Path], tmp_path: Path) -> None:
    _, data, _ = stage(start, tmp_path)
    collected = data.collector.collect(data._round(), 0)
    first = 0
    for result in collected.results:
        mine = collected.experiences[first : first + len(result.trajectories)]
        first += len(mine)
        assert sum(e.weight for e in mine) / len(mine) == pytest.approx(1.0)


def test_rewards_sit_at_the_end_and_prm_rewards_telescope(start: dict[str, Path], tmp_path: Path) -> None:
    """With a PRM reward of weight w the sum over a chain is w times the last step's value."""
    parts = [{"kind": "verifier"}, {"kind": "prm", "model": "prm", "weight": 0.5}]
    _, data, _ = stage(start, tmp_path, reward={"kind": "mixture", "of": parts})
    collector: Collector = data.collector

    async def work(index: int, problem: Any) -> Any:
        (state,) = await collector.policy.complete(collector.policy.start(problem), 1, key=index)
        from o1kit.types import Trajectory

        rewards = await collector._rewards(Trajectory(state, None), collector.reward_models)
        scores = await collector.reward_models["prm"].step_scores(state)
        verdict = await collector.verifier.score(state)
        return rewards, scores, verdict.value

    for rewards, scores, verdict in run_all(data._round(), work, label="test"):
        assert sum(rewards) == pytest.approx(verdict + 0.5 * scores[-1], abs=1e-5)


@pytest.mark.slow
def test_reward_models_judge_prompted_chains_as_they_were_trained(start: dict[str, Path], tmp_path: Path) -> None:
    """The chain is learned after the prompt it was sampled with, and rewarded after the problem's own."""
    _, data, _ = stage(start, tmp_path, search=BEST, reward={"kind": "prm", "model": "prm"})
    collector: Collector = data.collector
    collected = collector.collect(data._round(), 0)
    trajectories = [t for result in collected.results for t in result.trajectories]
    prompts = {collector.policy.start(t.state.problem).prompt_ids for t in trajectories}
    assert len({e.prompt_ids for e in collected.experiences}) == 2 * len(prompts)
    assert [e.prompt_ids for e in collected.experiences] == [t.state.prompt_ids for t in trajectories]

    async def work(index: int, trajectory: Any) -> float:
        return sum(await collector._rewards(trajectory, collector.reward_models))

    totals = run_all(trajectories, work, label="test")
    assert totals == pytest.approx([t.step_scores[-1] for t in trajectories], abs=1e-5)


def test_state_dict_restores_round_random_stream_and_buffer(start: dict[str, Path], tmp_path: Path) -> None:
    _, data, _ = stage(start, tmp_path / "a")
    data.train_dataloader()
    state = torch.load(_saved(data.state_dict(), tmp_path / "state.pt"), weights_only=True)
    _, again, _ = stage(start, tmp_path / "b")
    again.load_state_dict(state)
    assert again.iteration == 1
    assert again.buffer is not None and data.buffer is not None
    assert again.buffer.items() == data.buffer.items()
    first, second = (x.buffer.sample(8, x.rng, 0.4) for x in (data, again))  # type: ignore[union-attr]
    assert first.slots.tolist() == second.slots.tolist()


def _saved(state: dict[str, Any], path: Path) -> Path:
    torch.save(state, path)
    return path


def train(module: PpoModule, data: PpoData, options: dict[str, Any]) -> L.Trainer:
    trainer = L.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )
    trainer.fit(module, datamodule=data)
    return trainer


def test_time_limit_ends_the_stage(start: dict[str, Path], tmp_path: Path) -> None:
    module, data, options = stage(start, tmp_path, iterations=50, max_seconds=0.01)
    train(module, data, options)
    assert data.iteration < 4


@pytest.mark.slow
@pytest.mark.parametrize("replay", [{"kind": "prioritized"}, {"kind": "on_policy"}], ids=["prioritized", "on_policy"])
def test_a_planted_reward_is_learned(replay: Any, tmp_path: Path) -> None:
    """A policy that says yes and no equally often learns to say what the verifier accepts."""
    rows = [{"question": f"yes or no {i}?", "answer": "no" if i % 2 else "yes", "thought": "hm"} for i in range(40)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    wanted = [{"question": f"yes or no {i}?", "answer": "no"} for i in range(50, 90)]
    (tmp_path / "wanted.jsonl").write_text("\n".join(map(json.dumps, wanted)))

    def tasks(name: str) -> dict[str, Any]:
        source = {"kind": "jsonl", "path": str(tmp_path / name), "thought_field": "thought"}
        return {"train": {"num_problems": 40, "sources": [source]}}

    model = RECIPE["model"] | {"tokenizer": {"kind": "char", "phrases": ["hm\n", "The answer is ", "yes", "no"]}}
    steps = {"steps": 100, "batch_size": 16, "optimizer": {"lr": 3e-3, "warmup_steps": 5}}
    sft = built(small({"sft": steps}, model=model, tasks=tasks("rows.jsonl")), "sft", tmp_path / "sft")
    train(sft.module, sft.data, dict(sft.trainer))  # type: ignore[arg-type]
    save_directory(sft.module.model, sft.data.template.tokenizer, tmp_path / "sft")  # type: ignore[arg-type, union-attr]
    source = {"kind": "jsonl", "path": str(tmp_path / "wanted.jsonl")}
    recipe = small(
        {
            "ppo": {
                "judge": None,
                "search": {"kind": "sample", "num_samples": 4},
                "replay": replay,
                "iterations": 30,
                "problems_per_iteration": 8,
                "updates_per_iteration": 4,
                "batch_size": 32,
                "optimizer": {"lr": 2e-3, "warmup_steps": 1},
            }
        },
        tasks={"train": {"num_problems": 40, "sources": [source]}},
    )
    made = built(recipe, "ppo", tmp_path / "ppo", {"sft": tmp_path / "sft"})
    assert isinstance(made.module, PpoModule) and isinstance(made.data, PpoData)
    seen: list[float] = []

    class Watch(L.Callback):
        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            seen.append(made.data.metrics["search/solved"])  # type: ignore[union-attr]

    options = dict(made.trainer)
    options["callbacks"] = [*options["callbacks"], Watch()]
    train(made.module, made.data, options)
    assert seen[0] < 0.6, seen
    assert sum(seen[-8:]) / 8 > 0.88, seen[-8:]


@pytest.mark.slow
def test_a_round_that_is_stopped_goes_on_where_it_was(
    start: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the same weights the recorded replies are used, with others they are not."""
    few: dict[str, Any] = {"problems_per_iteration": 2}
    _, data, _ = stage(start, tmp_path / "whole", **few)
    data.train_dataloader()
    whole = data.collector.journals.summary["recorded"]
    put, count = Journal.put, 0

    def stop(self: Journal, *arguments: Any, **reply: Any) -> None:
        nonlocal count
        count += 1
        if count > whole // 2:
            raise InterruptedError
        put(self, *arguments, **reply)

    monkeypatch.setattr(Journal, "put", stop)
    with pytest.raises(InterruptedError):
        stage(start, tmp_path / "stopped", **few)[1].train_dataloader()
    monkeypatch.undo()
    shutil.copytree(tmp_path / "stopped", tmp_path / "changed")
    _, again, _ = stage(start, tmp_path / "stopped", **few)
    again.train_dataloader()
    assert again.collector.journals.summary["reused"] == whole // 2
    assert again.collector.journals.summary["recorded"] == whole - whole // 2
    assert [e.token_ids for e in again.buffer.items()] == [e.token_ids for e in data.buffer.items()]  # type: ignore[union-attr]
    assert again.metrics["search/tokens"] >= data.metrics["search/tokens"], "what was computed before counts"
    module, other, _ = stage(start, tmp_path / "changed", **few)
    with torch.no_grad():
        next(module.model.parameters()).flatten()[0] += 0.5
    other.train_dataloader()
    assert other.collector.journals.summary["reused"] == 0
    assert "has another weights: it is not used and is now journal-00000.jsonl.other" in capsys.readouterr().out
    other.train_dataloader()
    left = {path.name for path in (tmp_path / "changed" / "checkpoints").iterdir()}
    assert left == {"journal-00000.jsonl.other", "journal-00001.jsonl"}, "a finished round leaves no journal"


def test_a_reward_model_that_fails_now_and_then_is_borne_with(
    start: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(self: PrmReward, state: Any) -> Any:
        raise RewardFailure("its server is away")

    monkeypatch.setattr(PrmReward, "step_scores", away)
    monkeypatch.setattr(PrmReward, "score", away)
    few: dict[str, Any] = {"problems_per_iteration": 1}
    _, data, _ = stage(start, tmp_path, max_failed_judgements=1.0, **few)
    data.train_dataloader()
    assert data.metrics["search/failed_judgements"] == data.collector.tolerance.judged > 0
    _, data, _ = stage(start, tmp_path / "strict", max_failed_judgements=0.5, iterations=1, **few)
    with pytest.raises(RewardFailure, match=r"more than 50%.*The last one: its server is away"):
        data.train_dataloader()
