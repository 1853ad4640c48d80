"""`LanguageModel`: a transformers causal LM with an optional scalar head on its last hidden states."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from o1kit.functional.surprise import SIZE


class HeadedOutput(NamedTuple):
    """Logits [B, T, V] and, if there is a head, its raw outputs [B, T]."""

    logits: Tensor
    head: Tensor | None


class LanguageModel(nn.Module):
    """The model every stage trains and every engine runs.

    The head reads the hidden state *at* a position, so what is trained there is what is read there. A process reward
    model takes its output as a logit, a policy as the value itself.
    """

    def __init__(self, lm: Any, head: bool = False) -> None:
        super().__init__()
        self.lm = lm
        self.head: nn.Linear | None = None
        self.label_ids: tuple[int, int] | None = None
        """Good and bad label token of a reward model that is read off the language-model head."""
        self.calibration = (1.0, 0.0)
        """Scale and bias of the log-odds of the label tokens."""
        self.surprise: nn.Parameter | None = None
        """Weights of the policy's surprise at its chain in the raw output, where a reward model reads it too."""
        if head:
            self.add_head()

    def add_head(self) -> None:
        """Adds a head that starts at an even chance everywhere."""
        weight = self.lm.get_input_embeddings().weight
        self.head = nn.Linear(weight.shape[1], 1, device=weight.device, dtype=torch.float32)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def add_surprise(self) -> None:
        """Adds weights of surprise, which start in favour of what the policy was sure of."""
        self.surprise = nn.Parameter(torch.full((SIZE,), 0.5, device=self.device))

    @property
    def scores(self) -> bool:
        """True when there is something to score with: a scalar head, or label tokens."""
        return self.head is not None or self.label_ids is not None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return cast(torch.device, self.lm.get_input_embeddings().weight.device)

    @property
    def context_length(self) -> int:
        """Longest sequence in tokens."""
        return int(self.lm.config.max_position_embeddings)

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids it has embeddings for."""
        return int(self.lm.get_input_embeddings().weight.shape[0])

    @property
    def decoder(self) -> Any:
        """The transformer blocks without the output layer."""
        base = self.lm.get_base_model() if hasattr(self.lm, "get_base_model") else self.lm
        return base.get_decoder()

    def hidden(self, token_ids_BT: Tensor, **kwargs: Any) -> Tensor:
        """Last hidden states [B, T, hidden]."""
        return cast(Tensor, self.decoder(input_ids=token_ids_BT, **kwargs).last_hidden_state)

    def logits(self, hidden: Tensor) -> Tensor:
        """Float32 logits over the vocabulary, scaled and capped as the model's configuration says."""
        logits = cast(Tensor, self.lm.get_output_embeddings()(hidden)).float()
        scale, divisor, cap = self._output_scales
        if scale:
            logits = logits * scale
        if divisor:
            logits = logits / divisor
        return torch.tanh(logits / cap) * cap if cap else logits

    @cached_property
    def _output_scales(self) -> tuple[float | None, ...]:
        """Cohere's, Granite's and Gemma 2's treatment of logits; read once, since a configuration is slow to ask."""
        names = ("logit_scale", "logits_scaling", "final_logit_softcapping")
        return tuple(getattr(self.decoder.config, name, None) for name in names)

    def head_logits(self, hidden: Tensor) -> Tensor:
        """Raw outputs of the head, one a hidden state; with label tokens log P(good) - log P(bad), calibrated."""
        if self.label_ids is not None:
            pair = self.logits(hidden)[..., list(self.label_ids)]
            scale, bias = self.calibration
            return (pair[..., 0] - pair[..., 1]) * scale + bias
        if self.head is None:
            raise RuntimeError("this model has no scalar head")
        return cast(Tensor, self.head(hidden.float())).squeeze(-1)

    def read(self, hidden: Tensor, features: Tensor) -> Tensor:
        """Raw outputs with what surprise adds to them, one for each hidden state and its features [..., 3]."""
        raw = self.head_logits(hidden)
        return raw if self.surprise is None else raw + features.to(raw.device) @ self.surprise

    def forward(self, token_ids_BT: Tensor, mask_BT: Tensor | None = None) -> HeadedOutput:
        """Logits and head outputs of right-padded sequences; causal, so padding needs no mask."""
        hidden = self.hidden(token_ids_BT, use_cache=False)
        return HeadedOutput(self.logits(hidden), self.head_logits(hidden) if self.scores else None)
