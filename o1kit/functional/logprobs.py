"""Log-probabilities of given tokens, in float32. Suffixes: B sequences, T tokens, V vocabulary."""

from __future__ import annotations

import torch
from torch import Tensor


def token_logprobs(logits_BTV: Tensor, token_ids_BT: Tensor) -> Tensor:
    """log softmax(logits)[token] for each position, [B, T], in nats."""
    return torch.log_softmax(logits_BTV.float(), dim=-1).gather(-1, token_ids_BT[..., None]).squeeze(-1)


def entropy(logits_BTV: Tensor) -> Tensor:
    """Entropy of each position's distribution, [B, T], in nats."""
    logprobs = torch.log_softmax(logits_BTV.float(), dim=-1)
    return -(logprobs.exp() * logprobs).sum(dim=-1)
