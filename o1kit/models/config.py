"""Recipe sections that describe models, tokenizers and adapters (no torch is imported here)."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from o1kit.config import (
    Config,
    Count,
    CountOrZero,
    FolderOrId,
    Mebibytes,
    Positive,
    Probability,
    PublicText,
    Seconds,
    Tokens,
    WrittenDown,
)
from o1kit.kinds import Kinds

Size = Annotated[Count, WrittenDown()]
"""A dimension of a model: anybody reads it off the weights."""


class LoraConfig(Config):
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685) trained in place of the full weights."""

    rank: Annotated[Count, WrittenDown()] = 16
    """Rank r of each adapter."""
    alpha: Annotated[Positive, WrittenDown()] = 32.0
    """Scale: the adapter's output is multiplied by alpha / rank."""
    dropout: Annotated[Probability, WrittenDown()] = 0.0
    """Dropout on the adapter's input while training."""
    targets: list[PublicText] = Field(
        default=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"], min_length=1
    )
    """Names of the linear layers that get an adapter."""


class CharTokenizerConfig(Config):
    """One token a character, except the listed phrases (and those of the teachers), which are one token each."""

    kind: Literal["char"]
    """Selects this tokenizer."""
    phrases: list[PublicText] = []
    """Further strings that become single tokens."""


class ScratchModelConfig(Config):
    """A Llama-architecture transformer with random weights and a tokenizer built from the training problems."""

    kind: Literal["scratch"]
    """Selects this model."""
    hidden_size: Size = 128
    """Width of the residual stream."""
    intermediate_size: Size = 384
    """Width of the gated feed-forward layer."""
    num_layers: Size = 4
    """Number of transformer blocks."""
    num_heads: Size = 4
    """Attention heads a layer."""
    num_kv_heads: Size = 4
    """Key-value heads a layer (grouped-query attention); must divide `num_heads`."""
    context_length: Annotated[Tokens, WrittenDown()] = 256
    """Longest sequence in tokens, prompt included."""
    rope_theta: Annotated[Positive, WrittenDown()] = 10000.0
    """Base of the rotary position encoding."""
    tokenizer: CharTokenizerConfig = CharTokenizerConfig.model_construct(kind="char")
    """How text becomes tokens."""


class HfModelConfig(Config):
    """A Hugging Face causal language model from a local folder or, once downloaded, by its hub id."""

    kind: Literal["hf"]
    """Selects this model."""
    source: FolderOrId
    """Folder or hub id."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of the weights."""
    context_length: Tokens | None = None
    """Longest sequence in tokens; by default what the model's own configuration says."""


ModelConfig = Annotated[ScratchModelConfig | HfModelConfig, Kinds("models")]


class TorchEngineConfig(Config):
    """The in-process engine that samples and scores."""

    kind: Literal["torch"] = "torch"
    """Selects the engine; what a section without `kind` means."""
    max_batch: Count = 256
    """Most sequences decoded together."""
    memory_mb: Mebibytes = 1024
    """Bound in MiB on keys and values: half for sequences in flight, half for cached prefixes; for each model."""
    compiled: bool = True
    """On CPU, draw tokens and run small models by kernels that are compiled for this machine if it has a C compiler."""


def _endpoint(url: str) -> str:
    """The URL of a completions API without its last slash; a key in a URL would end up in files and logs."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is no http(s) address. Write it like http://127.0.0.1:8000/v1")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address must not hold a user or password. Name a variable in `api_key_env`")
    if parts.query or parts.fragment:
        raise ValueError(f"{url!r} goes on after the path. Write it like http://127.0.0.1:8000/v1")
    return url.rstrip("/")


Endpoint = Annotated[str, AfterValidator(_endpoint)]


class ServersConfig(Config):
    """Servers with an OpenAI-compatible completions API."""

    kind: Literal["http"]
    """Selects the engine."""
    endpoints: list[Endpoint] = Field(min_length=1)
    """Addresses up to `/v1`, all serving the same model; when one fails the others take over."""
    model: str | None = None
    """Name the servers know the model by; null: the only one they list."""
    api_key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """Environment variable that holds the key for these endpoints; the key itself is never written anywhere."""
    timeout_s: Seconds = 120.0
    """Longest silence of a server, in seconds, before a request counts as failed."""
    max_retries: CountOrZero = 4
    """Further tries of a request that failed, on another endpoint first."""
    max_concurrency: Count = 16
    """Most requests under way at each endpoint."""


class HttpEngineConfig(ServersConfig):
    """Servers with an OpenAI-compatible completions API that sample in place of this process.

    A server keeps the weights it was started with. It is asked at the start of a stage what it can do.
    """

    local: TorchEngineConfig = TorchEngineConfig.model_construct()
    """The in-process engine for what a completions server cannot do: reward models, and the labels of `prm` stages."""


class JudgeServersConfig(ServersConfig):
    """Servers of a language model that judges, whatever holds the policy: another model than the policy's, too.

    Results are told apart by `model` and `tokenizer`, not by addresses.
    """

    tokenizer: FolderOrId | None = None
    """Folder or hub id with the tokenizer of what they serve; null: it has that of the asked stage, or the policy's."""


EngineConfig = Annotated[TorchEngineConfig | HttpEngineConfig, Kinds("engines")]


def local_engine(config: TorchEngineConfig | HttpEngineConfig) -> TorchEngineConfig:
    """The options of models that run in this process, whatever samples."""
    return config.local if isinstance(config, HttpEngineConfig) else config
