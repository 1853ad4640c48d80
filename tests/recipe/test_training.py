"""Stages that train: adapters that the model has a place for, and numbers that fit together."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from o1kit.errors import RecipeError
from o1kit.models.config import LoraConfig
from o1kit.models.load import add_lora
from o1kit.recipe.loader import recipe_from
from o1kit.recipe.source import parse
from o1kit.recipe.training import names_layer
from o1kit.stages.start import trainable
from tests.recipe.test_loader import GOOD, fails
from tests.tiny import tiny

LORA = "lora: {rank: 4}"
SCRATCH = "kind: scratch\n  hidden_size: 64\n  tokenizer: {kind: char, phrases: [ab]}"
assert LORA in GOOD and SCRATCH in GOOD


def test_targets_that_are_no_layers_are_told_with_the_nearest() -> None:
    told = fails(GOOD.replace(LORA, "lora: {rank: 4, targets: [q_proj, v_prj, nope]}"))
    assert "stages[0].lora.targets[1]: the model has no linear layer 'v_prj'. Did you mean 'v_proj'?" in told
    assert "stages[0].lora.targets[2]: the model has no linear layer 'nope'. Choose one of: q_proj, k_proj" in told
    assert "stages[0].lora.targets" in fails(GOOD.replace(LORA, "lora: {rank: 4, targets: []}"))


@pytest.mark.parametrize("targets", ["q_proj, up_proj", "self_attn.q_proj", "1.mlp.down_proj", "layers.0.mlp.up_proj"])
def test_ends_of_names_of_layers_are_targets(targets: str) -> None:
    recipe_from(parse(GOOD.replace(LORA, f"lora: {{rank: 4, targets: [{targets}]}}"), "r.yaml"))


@pytest.mark.parametrize(
    "target",
    [
        "q_proj",
        "down_proj",
        "self_attn.k_proj",
        "mlp.gate_proj",
        "0.mlp.up_proj",
        "layers.1.self_attn.o_proj",
        "embed_tokens",
        "lm_head",
        "model.layers.1.mlp.up_proj",
        "model.embed_tokens",
        "nope",
        "proj",
        "mlp.q_proj",
        "self_attn.up_proj",
        "2.mlp.up_proj",
        "01.mlp.up_proj",
        "odel.layers.1.mlp.up_proj",
        "0.up_proj",
        ".q_proj",
        "model.q_proj",
        "model.layers.5.mlp.up_proj",
    ],
)
def test_a_target_fits_where_peft_finds_a_layer(target: str) -> None:
    model, _ = tiny()
    modules = {name for name, _ in model.lm.named_modules()}
    fits = any(name == target or name.endswith(f".{target}") for name in modules)
    assert names_layer(target, 2) == fits
    if fits:
        add_lora(model, LoraConfig(rank=2, targets=[target]))
        return
    with pytest.raises(RecipeError, match=r"linear layers: .*down_proj.*q_proj"):
        add_lora(model, LoraConfig(rank=2, targets=[target]))


def test_layers_that_a_stage_s_model_lacks_are_told_at_the_targets() -> None:
    text = GOOD.replace(SCRATCH, "kind: hf\n  source: a/b")
    recipe = recipe_from(parse(text.replace(LORA, "lora: {rank: 4, targets: [nope]}"), "r.yaml"))
    inputs: Any = SimpleNamespace(recipe=recipe, config=recipe.stages[0])
    with pytest.raises(RecipeError, match=r"^r\.yaml:\d+:\d+: stages\[0\]\.lora\.targets: the adapters cannot"):
        trainable(tiny()[0], inputs)


SFT = "    optimizer: {lr: 1e-5}\n"
REPLAY = "replay: {kind: prioritized, alpha: 0.6}"
assert SFT in GOOD and REPLAY in GOOD


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (LORA, "lora: {rank: 65}", "stages[0].lora.rank: must not be above model.hidden_size (64), got 65"),
        (
            REPLAY,
            "replay: {kind: prioritized, capacity: 100}\n    batch_size: 101",
            "stages[2].replay.capacity: must hold at least one batch, batch_size (101), got 100. Write at least 101",
        ),
        ("steps: 5", "steps: 99999999999999999999", "stages[0].steps"),
        ("steps: 5", "steps: 1000000001", "got 1000000001. Use at least 1 and at most 1000000000."),
        ("num_problems: 10", "num_problems: 1000000001", "tasks.train.num_problems"),
        ("lr: 1e-5", "lr: 1e308", "stages[0].optimizer.lr"),
        ("lr: 1e-5", "muon_lr: 101.0", "stages[0].optimizer.muon_lr"),
        ("lr: 1e-5", "warmup_steps: 99999999999999999999", "stages[0].optimizer.warmup_steps"),
    ],
)
def test_numbers_that_make_no_sense_are_told(old: str, new: str, words: str) -> None:
    assert words in fails(GOOD.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (SFT, "    optimizer: {warmup_steps: 1000}\n"),  # a first try of a few steps is fine
        (LORA, "lora: {rank: 64}"),
        (REPLAY, "replay: {kind: prioritized, capacity: 100}\n    batch_size: 100"),
        (REPLAY, "replay: {kind: on_policy}\n    batch_size: 100000"),
        ("steps: 5", "steps: 1000000000"),
        ("lr: 1e-5", "lr: 100.0"),
    ],
)
def test_the_bounds_themselves_are_fine(old: str, new: str) -> None:
    recipe_from(parse(GOOD.replace(old, new, 1), "r.yaml"))
