"""`Weights`: the names and shapes of a model's tensors, from a recipe section or from files, without loading any."""

from __future__ import annotations

import json
import os
import string
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from o1kit import registry
from o1kit.functional.secrets import hide
from o1kit.models.config import HfModelConfig, LoraConfig, ScratchModelConfig
from o1kit.recipe.schema import Recipe

Shapes = Mapping[str, tuple[int, ...]]
MAX_HEADER = 64 << 20
"""Largest header of a safetensors file, in bytes, that is read."""
MAX_JSON = 16 << 20
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
SPECIAL = 3
"""Padding, end of text, unknown."""
NOT_HIDDEN = ("embed_tokens", "lm_head")


@dataclass(frozen=True, slots=True)
class Weights:
    """A language model without a scalar head: its tensors, and what its forward pass needs to know of them."""

    shapes: Shapes
    """Every tensor by name, save those of `block`."""
    layers: int
    hidden: int
    intermediate: int
    kv_width: int
    """Width of the keys of one layer, and of its values."""
    vocabulary: int
    context: int
    bytes_per_parameter: int
    block: Shapes = field(default_factory=dict)
    """The tensors of one layer, where all layers are alike: each is there `layers` times."""

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(map(prod, self.shapes.values())) + self.layers * sum(map(prod, self.block.values()))

    @property
    def embedding(self) -> int:
        """Parameters of the input embedding, which cost no multiplication."""
        return self.vocabulary * self.hidden

    @property
    def matrices(self) -> int:
        """Parameters of the hidden matrices: those that Muon trains where it is asked to."""
        once = (prod(s) for n, s in self.shapes.items() if len(s) == 2 and not any(p in n for p in NOT_HIDDEN))
        return sum(once) + self.layers * sum(prod(s) for s in self.block.values() if len(s) == 2)

    @property
    def kv_bytes(self) -> int:
        """Keys and values of one position of one sequence, in bytes."""
        return 2 * self.layers * self.kv_width * self.bytes_per_parameter

    @property
    def linear(self) -> list[str]:
        """What the matrices are called within their parts of the model: `q_proj`."""
        shapes = [*self.shapes.items(), *self.block.items()]
        names = (n.removesuffix(".weight") for n, s in shapes if n.endswith(".weight") and len(s) == 2)
        return sorted({name.rpartition(".")[2] for name in names})

    def adapted(self, lora: LoraConfig) -> list[tuple[int, int, int]]:
        """(inputs, outputs, how many there are alike) of the linear layers that an adapter is put on."""
        once, each = _adapted(self.shapes, lora), _adapted(self.block, lora)
        return [*((*widths, 1) for widths in once), *((*widths, self.layers) for widths in each)]

    def lora_parameters(self, lora: LoraConfig) -> int:
        """Parameters of all adapters."""
        return sum(count * lora.rank * (inputs + outputs) for inputs, outputs, count in self.adapted(lora))


@dataclass(frozen=True, slots=True)
class Unknown:
    """A model that is not here: what is missing, in words."""

    reason: str


def weights_of(recipe: Recipe) -> Weights | Unknown:
    """The recipe's model."""
    model: Any = recipe.model
    if isinstance(model, ScratchModelConfig):
        return scratch(model, vocabulary_of(recipe))
    if isinstance(model, HfModelConfig):
        return hugging_face(model)
    return Unknown(f"models of kind {getattr(model, 'kind', None)!r} are not known to `plan`")


def vocabulary_of(recipe: Recipe) -> int:
    """Tokens of a character tokenizer, save characters beyond ASCII that only the problems themselves hold."""
    assert isinstance(recipe.model, ScratchModelConfig)
    phrases, teachers = list(recipe.model.tokenizer.phrases), registry.names("teachers")
    for split in recipe.tasks.values():
        for source in split.sources:
            name = getattr(source, "teacher", None) or getattr(source, "generator", None)
            if name in teachers:
                phrases += registry.lookup("teachers", name)().phrases
    characters = {*string.printable[:95], "\n"}
    return SPECIAL + len(characters) + len({p for p in phrases if len(p) > 1})


def scratch(config: ScratchModelConfig, vocabulary: int) -> Weights:
    """A model of the Llama architecture with tied embeddings, as `build_scratch` makes it."""
    width = config.hidden_size // config.num_heads
    h, inner, kv = config.hidden_size, config.intermediate_size, config.num_kv_heads * width
    return Weights(
        {"model.embed_tokens.weight": (vocabulary, h), "model.norm.weight": (h,)},
        config.num_layers,
        h,
        inner,
        kv,
        vocabulary,
        config.context_length,
        4,
        _block(h, inner, config.num_heads * width, kv),
    )


def hugging_face(config: HfModelConfig) -> Weights | Unknown:
    """A model by its `config.json` and the headers of its safetensors files."""
    folder = local_folder(config.source)
    if folder is None:
        return Unknown(hide(f"model.source: {config.source!r} is no folder here, and no downloaded hub id"))
    said = _json(folder / "config.json")
    try:
        hidden, heads = int(said["hidden_size"]), int(said["num_attention_heads"])
        width = int(said.get("head_dim") or hidden // heads)
        layers, inner = int(said["num_hidden_layers"]), int(said["intermediate_size"])
        kv, vocabulary = width * int(said.get("num_key_value_heads") or heads), int(said["vocab_size"])
        longest = int(said["max_position_embeddings"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return Unknown(hide(f"{folder / 'config.json'}: says too little of the model (layers, widths, vocabulary)"))
    shapes = _headers(folder)
    if not shapes:
        return Unknown(hide(f"{folder}: holds no safetensors weights"))
    shapes = {n: s for n, s in shapes.items() if not n.startswith("head.")}
    if said.get("tie_word_embeddings", False):
        shapes.pop("lm_head.weight", None)
    context = min(config.context_length or longest, longest)
    return Weights(shapes, layers, hidden, inner, kv, vocabulary, context, BYTES[config.dtype])


def local_folder(source: str) -> Path | None:
    """The folder that a source names: itself, or the newest snapshot of a hub id in Hugging Face's cache."""
    if (Path(source) / "config.json").is_file():
        return Path(source)
    if source.count("/") != 1 or ".." in source:
        return None
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub") / f"models--{source.replace('/', '--')}" / "snapshots"
    found = sorted((f.parent for f in hub.glob("*/config.json")), key=lambda f: f.stat().st_mtime)
    return found[-1] if found else None


def _block(h: int, inner: int, q: int, kv: int) -> dict[str, tuple[int, ...]]:
    """One layer of the Llama architecture."""
    block: dict[str, tuple[int, ...]] = {
        "self_attn.q_proj": (q, h),
        "self_attn.k_proj": (kv, h),
        "self_attn.v_proj": (kv, h),
        "self_attn.o_proj": (h, q),
        "mlp.gate_proj": (inner, h),
        "mlp.up_proj": (inner, h),
        "mlp.down_proj": (h, inner),
        "input_layernorm": (h,),
        "post_attention_layernorm": (h,),
    }
    return {f"{name}.weight": shape for name, shape in block.items()}


def _adapted(shapes: Shapes, lora: LoraConfig) -> list[tuple[int, int]]:
    """(inputs, outputs) of the linear layers among some tensors that an adapter is put on."""
    found = []
    for name, shape in shapes.items():
        module = name.removesuffix(".weight")
        if module != name and len(shape) == 2 and any(_ends(module, target) for target in lora.targets):
            found.append((shape[1], shape[0]))
    return found


def _headers(folder: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes in all safetensors files of a folder; empty if one cannot be read."""
    files: Sequence[Path] = sorted(f for f in folder.glob("*.safetensors") if f.name != "head.safetensors")
    found: dict[str, tuple[int, ...]] = {}
    for file in files:
        with suppress(OSError, ValueError, TypeError, KeyError), file.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            if not 0 < size <= MAX_HEADER:
                return {}
            header = json.loads(stream.read(size))
            found |= {n: tuple(map(int, about["shape"])) for n, about in header.items() if n != "__metadata__"}
            continue
        return {}
    return found


def _json(path: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        if path.stat().st_size <= MAX_JSON:
            value = json.loads(path.read_text(encoding="utf-8"))
            return value if isinstance(value, dict) else {}
    return {}


def _ends(module: str, target: str) -> bool:
    return module == target or module.endswith(f".{target}")
