"""Making models from a recipe, and reading and writing them as Hugging Face folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from o1kit.errors import EnvironmentFailure, RecipeError
from o1kit.models.config import HfModelConfig, LoraConfig, ScratchModelConfig
from o1kit.models.language_model import LanguageModel
from o1kit.models.reading import HEAD, read_reading, reading_ids


def build_scratch(config: ScratchModelConfig, tokenizer: PreTrainedTokenizerFast, seed: int) -> LanguageModel:
    """A Llama-architecture model with random weights drawn from the seed."""
    generator_state = torch.get_rng_state()
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            num_key_value_heads=config.num_kv_heads,
            max_position_embeddings=config.context_length,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        )
    )
    torch.set_rng_state(generator_state)
    return LanguageModel(model)


def load_hf(config: HfModelConfig) -> tuple[LanguageModel, Any]:
    """A local or hub model and its tokenizer; code that comes with a model is never run.

    Raises:
        EnvironmentFailure: the source cannot be read.
    """
    return load_directory(config.source, dtype=getattr(torch, config.dtype), context_length=config.context_length)


class TokenizerOnly(NamedTuple):
    """What is needed here of a model that runs elsewhere."""

    tokenizer: Any
    context_length: int


def load_tokenizer(source: str | Path, context_length: int | None = None) -> TokenizerOnly:
    """Tokenizer and context of a Hugging Face folder or hub id, or of a folder with one GGUF file; no weights.

    Raises:
        EnvironmentFailure: they cannot be read.
    """
    options: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    packed = sorted(Path(source).glob("*.gguf")) if Path(source).is_dir() else []
    if len(packed) == 1 and not (Path(source) / "config.json").is_file():
        options["gguf_file"] = packed[0].name
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(source), **options)
        config = AutoConfig.from_pretrained(str(source), **options)
    except (OSError, ValueError, ImportError) as error:
        raise EnvironmentFailure(
            f"cannot load a tokenizer from {str(source)!r}: {error}. Name a folder with config.json and tokenizer.json "
            "or with one GGUF file (for which the package `gguf` is needed), or a hub id downloaded before."
        ) from error
    longest = int(config.max_position_embeddings)
    return TokenizerOnly(tokenizer, longest if context_length is None else min(context_length, longest))


def load_directory(
    source: str | Path, dtype: torch.dtype = torch.float32, context_length: int | None = None
) -> tuple[LanguageModel, Any]:
    """The model and tokenizer of a Hugging Face folder or hub id, and its scalar head or label tokens."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(source), trust_remote_code=False, local_files_only=True)
        lm = AutoModelForCausalLM.from_pretrained(
            str(source), dtype=dtype, trust_remote_code=False, use_safetensors=True, local_files_only=True
        )
    except (OSError, ValueError) as error:
        raise EnvironmentFailure(
            f"cannot load a model from {str(source)!r}: {error}. Name a folder with safetensors weights, or a hub id "
            "that has been downloaded before."
        ) from error
    if context_length is not None:
        lm.config.max_position_embeddings = min(context_length, lm.config.max_position_embeddings)
    model = LanguageModel(lm)
    head = Path(source) / HEAD
    if head.is_file():
        model.add_head()
        assert model.head is not None
        model.head.load_state_dict(load_file(head))
    reading = read_reading(Path(source))
    good, bad, _ = reading_ids(reading, tokenizer)
    if good is not None and bad is not None:
        model.label_ids, model.calibration = (good, bad), (reading.scale, reading.bias)
    return model, tokenizer


def save_directory(model: LanguageModel, tokenizer: Any, directory: Path) -> None:
    """Writes a Hugging Face folder that plain transformers can load; adapters are merged, the head lies beside."""
    lm = model.lm
    if hasattr(lm, "merge_and_unload"):
        lm = lm.merge_and_unload()
    # Where the weights were read from is no part of them, and may be nobody's business.
    lm.config._name_or_path = ""
    tokenizer.name_or_path = ""
    tokenizer.init_kwargs.pop("name_or_path", None)
    lm.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    if model.head is not None:
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.head.state_dict().items()}
        save_file(state, directory / HEAD)


def add_lora(model: LanguageModel, config: LoraConfig) -> None:
    """Freezes the weights and adds trainable low-rank adapters; a scalar head stays trainable.

    Raises:
        RecipeError: the model has no linear layers of these names.
    """
    from peft import LoraConfig as PeftLoraConfig
    from peft import get_peft_model

    adapters = PeftLoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]
        lora_dropout=config.dropout,
        target_modules=config.targets,
        task_type="CAUSAL_LM",
    )
    linear = {
        name.rpartition(".")[2] for name, module in model.lm.named_modules() if isinstance(module, torch.nn.Linear)
    }
    try:
        model.lm = get_peft_model(model.lm, adapters)
    except ValueError as error:
        names = ", ".join(sorted(linear))
        text = (
            f"the adapters cannot be put on {', '.join(config.targets)}: {error}. The model's linear layers: {names}."
        )
        raise RecipeError(text) from error
