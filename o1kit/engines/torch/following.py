"""How probable the tokens of a given text are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from o1kit.models.language_model import LanguageModel

CHUNK = 128
"""Positions whose logits over the vocabulary are held at once."""


def following_logprobs(model: LanguageModel, hidden_NH: Tensor, following: Sequence[int]) -> list[float]:
    """The untempered log-probability, in nats, of the token after each hidden state."""
    found: list[float] = []
    for start in range(0, len(following), CHUNK):
        logits_NV = model.logits(hidden_NH[start : start + CHUNK])
        next_N1 = torch.tensor(following[start : start + CHUNK], device=logits_NV.device)[:, None]
        found += (logits_NV.gather(1, next_N1).squeeze(1) - logits_NV.logsumexp(1)).tolist()
    return found
