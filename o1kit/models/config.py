"""Recipe sections that describe models, tokenizers and adapters (no torch is imported here)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from o1kit.config import Config, Count, Positive, Probability


class LoraConfig(Config):
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685) trained in place of the full weights."""

    rank: Count = 16
    """Rank r of each adapter."""
    alpha: Positive = 32.0
    """Scale: the adapter's output is multiplied by alpha / rank."""
    dropout: Probability = 0.0
    """Dropout on the adapter's input while training."""
    targets: list[str] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    """Names of the linear layers that get an adapter."""


class CharTokenizerConfig(Config):
    """One token a character, except the listed phrases (and those of the teachers), which are one token each."""

    kind: Literal["char"]
    """Selects this tokenizer."""
    phrases: list[str] = []
    """Further strings that become single tokens."""


class ScratchModelConfig(Config):
    """A Llama-architecture transformer with random weights and a tokenizer built from the training problems."""

    kind: Literal["scratch"]
    """Selects this model."""
    hidden_size: Count = 128
    """Width of the residual stream."""
    intermediate_size: Count = 384
    """Width of the gated feed-forward layer."""
    num_layers: Count = 4
    """Number of transformer blocks."""
    num_heads: Count = 4
    """Attention heads a layer."""
    num_kv_heads: Count = 4
    """Key-value heads a layer (grouped-query attention); must divide `num_heads`."""
    context_length: Count = 256
    """Longest sequence in tokens, prompt included."""
    rope_theta: Positive = 10000.0
    """Base of the rotary position encoding."""
    tokenizer: CharTokenizerConfig = CharTokenizerConfig(kind="char")
    """How text becomes tokens."""


class HfModelConfig(Config):
    """A Hugging Face causal language model from a local folder or, once downloaded, by its hub id."""

    kind: Literal["hf"]
    """Selects this model."""
    source: str
    """Folder or hub id."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of the weights."""
    context_length: Count | None = None
    """Longest sequence in tokens; by default what the model's own configuration says."""


ModelConfig = Annotated[ScratchModelConfig | HfModelConfig, Field(discriminator="kind")]


class EngineConfig(Config):
    """The in-process engine that samples and scores."""

    kind: Literal["torch"] = "torch"
    """Selects the engine."""
    max_batch: Count = 256
    """Most sequences decoded together."""
    memory_mb: Count = 1024
    """Bound in MiB on keys and values: half for sequences in flight, half for cached prefixes; for each model."""
