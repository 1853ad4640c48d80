"""Counts of parameters against the models themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from o1kit.models.config import HfModelConfig, LoraConfig, ScratchModelConfig
from o1kit.models.load import add_lora, build_scratch, save_directory
from o1kit.models.tokenizer import build_char_tokenizer
from o1kit.planning.weights import Unknown, Weights, hugging_face, scratch, vocabulary_of
from o1kit.stages.start import teacher_of
from tests.small import small
from tests.smollm2 import smollm2
from tests.tiny import tiny

SHAPES = [(32, 48, 2, 4, 2), (64, 96, 3, 8, 8), (48, 200, 1, 6, 1)]


def config_of(hidden: int, inner: int, layers: int, heads: int, kv_heads: int) -> ScratchModelConfig:
    return ScratchModelConfig(
        kind="scratch",
        hidden_size=hidden,
        intermediate_size=inner,
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=kv_heads,
        context_length=64,
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_a_scratch_models_tensors_are_known_by_name_and_shape(shape: tuple[int, int, int, int, int]) -> None:
    tokenizer = build_char_tokenizer(["ab", "cde"])
    model = build_scratch(config_of(*shape), tokenizer, 0)
    counted = scratch(config_of(*shape), len(tokenizer))
    real = {name.removeprefix("lm."): tuple(p.shape) for name, p in model.named_parameters()}
    layers = range(counted.layers)
    blocks = {f"model.layers.{i}.{name}": shape for i in layers for name, shape in counted.block.items()}
    assert counted.shapes | blocks == real
    assert counted.parameters == sum(p.numel() for p in model.parameters())


def test_a_model_of_any_depth_is_counted_as_one_of_its_layers() -> None:
    """100 million layers are a slip that `validate` lets through: to hold each would take minutes and all memory."""
    one, two, many = (scratch(config_of(32, 48, layers, 4, 2), 50) for layers in (1, 2, 10**8))
    assert len(many.shapes) + len(many.block) == len(one.shapes) + len(one.block) < 20
    lora = LoraConfig(rank=3)
    for name in ("parameters", "matrices"):
        each = getattr(two, name) - getattr(one, name)
        assert getattr(many, name) == getattr(one, name) + (10**8 - 1) * each
    assert many.lora_parameters(lora) == 10**8 * one.lora_parameters(lora)


@pytest.mark.parametrize("lora", [LoraConfig(rank=3), LoraConfig(rank=8, targets=["q_proj", "down_proj"])])
def test_adapters_are_counted_as_peft_makes_them(lora: LoraConfig) -> None:
    model, template = tiny()
    counted = scratch(config_of(32, 48, 2, 4, 2), len(template.tokenizer)).lora_parameters(lora)
    add_lora(model, lora)
    assert counted == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_a_folder_is_read_by_its_headers_alone(tmp_path: Path) -> None:
    model, template = tiny(head=True, context=80)
    save_directory(model, template.tokenizer, tmp_path)
    found = hugging_face(HfModelConfig(kind="hf", source=str(tmp_path)))
    assert isinstance(found, Weights)
    assert found.parameters == sum(p.numel() for p in model.lm.parameters())
    assert (found.layers, found.hidden, found.kv_width, found.context) == (2, 32, 16, 80)


def test_a_folder_that_says_too_little_is_told_not_guessed(tmp_path: Path) -> None:
    config = HfModelConfig(kind="hf", source=str(tmp_path))
    assert isinstance(hugging_face(config), Unknown)
    (tmp_path / "config.json").write_text('{"hidden_size": "wide"}')
    assert isinstance(hugging_face(config), Unknown)
    model, template = tiny()
    save_directory(model, template.tokenizer, tmp_path)
    for broken in (b"", b"\xff" * 8, (50).to_bytes(8, "little") + b"{" * 50, (9).to_bytes(8, "little") + b'{"a": []}'):
        (tmp_path / "model.safetensors").write_bytes(broken)
        assert isinstance(hugging_face(config), Unknown), broken


def test_a_vocabulary_is_that_of_the_tokenizer() -> None:
    phrases = [*teacher_of("letter_counting").phrases]
    assert vocabulary_of(small()) == len(build_char_tokenizer(phrases))


@pytest.mark.slow
def test_smollm2_and_its_adapters_are_counted_exactly(tmp_path: Path) -> None:
    model, _ = smollm2()
    said = {k: v for k, v in model.lm.config.to_dict().items() if k != "quantization_config"}
    (tmp_path / "config.json").write_text(json.dumps(said, default=str))
    about = {name: {"dtype": "F32", "shape": list(p.shape)} for name, p in model.lm.named_parameters()}
    header = json.dumps(about).encode()
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    found = hugging_face(HfModelConfig(kind="hf", source=str(tmp_path)))
    assert isinstance(found, Weights)
    assert found.parameters == sum(p.numel() for p in model.lm.parameters()) == 134_515_008
    linear = [m for n, m in model.lm.named_modules() if n.endswith(tuple(LoraConfig().targets))]
    adapters = sum(8 * (m.in_features + m.out_features) for m in linear)
    assert found.lora_parameters(LoraConfig(rank=8)) == adapters == 2_442_240
