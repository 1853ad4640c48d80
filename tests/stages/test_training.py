"""What training stages learn from: masks, order of batches, adapters, parity of positions."""

from __future__ import annotations

import asyncio
import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from o1kit.errors import DataError
from o1kit.models.load import load_directory, save_directory
from o1kit.rewards.prm import PrmReward, sigmoid, step_ends
from o1kit.stages.config import OptimizerConfig
from o1kit.stages.optim import MuonAdamW, build_optimizer
from o1kit.stages.prm.data import collate as collate_labels
from o1kit.stages.prm.examples import Example
from o1kit.stages.sequences import LengthBucketedBatches
from o1kit.stages.sft.data import SftData, collate, encode_row
from o1kit.types import Action, Completion, State
from tests.small import built, small
from tests.tiny import engine_of, policy_of, problem, tiny


def test_the_loss_falls_on_the_chain_and_its_end_only() -> None:
    _, template = tiny()
    row = encode_row(template, problem("1+1=?"), ["2 ok\n", "So the answer is 2"], 96)
    tokens, mask = collate([row, encode_row(template, problem("a longer question?"), ["x"], 96)])
    learned = tokens[0][mask[0]].tolist()
    assert template.decode(learned) == "2 ok\nSo the answer is 2"
    assert learned[-1] == template.eos_id
    assert template.decode(tokens[0][: row.prompt_length].tolist()) == "1+1=?\n"
    assert mask[1].sum() == 2


@pytest.mark.parametrize(("steps", "context"), [([], 96), (["x" * 100], 96), (["x"], 4)])
def test_rows_that_cannot_be_learned_from_are_refused(steps: list[str], context: int) -> None:
    _, template = tiny()
    with pytest.raises(DataError):
        encode_row(template, problem("1+1=?"), steps, context)


def test_every_row_is_used_once_an_epoch_in_batches_of_like_length() -> None:
    lengths = [(i * 37) % 91 + 5 for i in range(640)]
    batches = list(LengthBucketedBatches(lengths, 16, 40, seed=3))
    assert sorted(i for batch in batches for i in batch) == list(range(640))
    spread = [max(lengths[i] for i in batch) - min(lengths[i] for i in batch) for batch in batches]
    assert sum(spread) / len(spread) < 10


def test_a_continued_run_gets_the_batches_it_has_not_seen() -> None:
    lengths = [(i * 37) % 91 + 5 for i in range(100)]
    whole = list(LengthBucketedBatches(lengths, 16, 30, seed=3))
    rest = LengthBucketedBatches(lengths, 16, 30, seed=3)
    rest.start = 11
    assert list(rest) == whole[11:]
    assert len(rest) == 30, "Lightning counts on from batch 11"


def test_mistake_rates_are_followed(tmp_path: Path) -> None:
    def share(rates: dict[str, float]) -> float:
        data = built(small({"sft": {"mistakes": rates}}), "sft", tmp_path).data
        assert isinstance(data, SftData)
        data.setup("fit")
        texts = [data.template.decode(row.token_ids) for row in data.rows]
        return sum("wait" in text for text in texts) / len(texts)

    assert share({"noticed": 0.0}) == 0.0
    assert share({"noticed": 1.0}) == 1.0
    assert 0.3 < share({"noticed": 0.5}) < 0.7


def test_prm_is_trained_and_read_at_the_same_position() -> None:
    """The logit that a label trains is the one a search reads, at the last token of each step."""
    model, template = tiny(head=True)
    policy = policy_of(model, template)

    async def sample() -> Any:
        states = await policy.complete(policy.start(problem()), 6, key=4)
        return [(s, await PrmReward(engine_of(model, template)).step_scores(s)) for s in states]

    for state, read in asyncio.run(sample()):
        labels = tuple(i / 10 for i in range(len(state.actions)))
        tokens, targets, mask, *_ = collate_labels([Example("p", 0, state.token_ids, step_ends(state), labels)])
        with torch.inference_mode():
            trained = model.head_logits(model.hidden(tokens, use_cache=False)[mask]).tolist()
        assert [sigmoid(x) for x in trained] == pytest.approx(list(read), abs=1e-5)
        assert targets[mask].tolist() == pytest.approx(labels)
        ends = [state.token_ids[i] for i in step_ends(state)]
        assert all(token in template.step_ids for token in ends[:-1])


@pytest.mark.parametrize("name", ["sft", *(pytest.param(name, marks=pytest.mark.slow) for name in ("prm", "ppo"))])
def test_lora_trains_adapters_and_exports_merged_weights(name: str, tmp_path: Path) -> None:
    import lightning as L

    from o1kit import registry

    model, template = tiny(context=160)
    save_directory(model, template.tokenizer, tmp_path / "sft")
    judge, _ = tiny(seed=3, head=True, context=160)
    save_directory(judge, template.tokenizer, tmp_path / "prm")
    changes = {"lora": {"rank": 4, "targets": ["q_proj", "down_proj"]}, "optimizer": {"lr": 1e-2}}
    special = {"sft": {"policy": "other"}, "prm": {}, "ppo": {"reward": {"kind": "prm", "model": "prm"}}}
    recipe = small({name: changes | special[name]})
    starts = {"sft": tmp_path / "sft", "prm": tmp_path / "prm", "other": tmp_path / "sft"}
    stage = built(recipe, name, tmp_path / "out", starts)
    learned = [n for n, p in stage.module.named_parameters() if p.requires_grad]
    assert all("lora_" in n or n.startswith("model.head") for n in learned)
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    trainer = L.Trainer(enable_model_summary=False, **{**stage.trainer, **options})
    trainer.fit(stage.module, datamodule=stage.data)
    registry.lookup("stages", name)().export(stage, tmp_path / "out")
    before, after = model.lm.state_dict(), load_directory(tmp_path / "out")[0].lm.state_dict()
    assert before.keys() == after.keys()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed
    assert all("q_proj" in key or "down_proj" in key for key in changed)


def test_muon_takes_hidden_matrices_and_adamw_the_rest() -> None:
    model, _ = tiny(head=True)
    made = build_optimizer(model, OptimizerConfig(lr=1e-3, muon_lr=1e-2, warmup_steps=0), 10)
    optimizer = made["optimizer"]
    assert isinstance(optimizer, MuonAdamW)
    muon, adamw = optimizer.parts
    hidden = {id(p) for n, p in model.named_parameters() if "_proj" in n}
    assert {id(p) for g in muon.param_groups for p in g["params"]} == hidden
    rest = {id(p) for p in model.parameters()} - hidden
    assert {id(p) for g in adamw.param_groups for p in g["params"]} == rest
    assert [g["lr"] for g in optimizer.param_groups] == [1e-2, 1e-3, 1e-3]
    made["lr_scheduler"]["scheduler"].step()
    assert muon.param_groups[0]["lr"] < 1e-2, "the schedule reaches both parts"


def test_muon_goes_on_from_its_saved_state() -> None:
    def steps(optimizer: Any, model: Any, count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            model(torch.arange(3, 11)[None]).logits.square().mean().backward()
            optimizer.step()

    config = OptimizerConfig(lr=1e-3, muon_lr=1e-2)
    first, _ = tiny()
    whole = build_optimizer(first, config, 10)["optimizer"]
    steps(whole, first, 3)
    second, _ = tiny()
    second.load_state_dict(first.state_dict())
    continued = build_optimizer(second, config, 10)["optimizer"]
    continued.load_state_dict(copy.deepcopy(whole.state_dict()))
    steps(whole, first, 2)
    steps(continued, second, 2)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_without_muon_lr_all_weights_go_to_adamw() -> None:
    model, _ = tiny()
    assert isinstance(build_optimizer(model, OptimizerConfig(), 10)["optimizer"], torch.optim.AdamW)


def test_a_steps_score_depends_on_it_and_what_comes_before_alone() -> None:
    """Another second step changes the second score and the later ones, never the first (systems that are off by one
    fail this)."""
    model, template = tiny(head=True)
    reward = PrmReward(engine_of(model, template))
    policy = policy_of(model, template)

    def chain(*steps: str) -> State:
        actions = tuple(
            Action(s, Completion(tuple(template.encode(s)), (0.0,) * len(template.encode(s)), "step")) for s in steps
        )
        return State(problem(), policy.start(problem()).prompt_ids, actions)

    first = asyncio.run(reward.step_scores(chain("1+1=2 ok\n", "2+2=4 ok\n", "So ok\n")))
    other = asyncio.run(reward.step_scores(chain("1+1=2 ok\n", "2+2=5 ok\n", "So ok\n")))
    assert first[0] == pytest.approx(other[0], abs=1e-6)
    assert abs(first[1] - other[1]) > 1e-4
    assert abs(first[2] - other[2]) > 1e-6
