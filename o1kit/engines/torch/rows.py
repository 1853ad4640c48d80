"""`Rows`: the tokens, log-probabilities and limits of the sequences in flight, one row each."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from o1kit.functional.noise import derive, uniform
from o1kit.functional.sampling import draw, truncate
from o1kit.protocols import Decoding, Sampling

Alternatives = tuple[tuple[int, float], ...]


@dataclass(slots=True)
class Draft:
    """What one sample has so far: its tokens, prompt included, and what is known of the generated ones."""

    tokens: list[int]
    logprobs: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    alternatives: list[Alternatives] = field(default_factory=list)


class Rows:
    """Struct-of-arrays state of all sequences; row numbers are those of the key-value cache."""

    def __init__(self, num_rows: int, device: torch.device) -> None:
        self.device = device

        def numbers(dtype: torch.dtype = torch.float32, width: int | None = None) -> Tensor:
            return torch.zeros(num_rows if width is None else (num_rows, width), dtype=dtype, device=device)

        self._tokens, self._logprobs, self._values = numbers(torch.long, 64), numbers(width=64), numbers(width=64)
        self._prompts = [0] * num_rows
        self._lengths, self._limits = numbers(torch.long), numbers(torch.long)
        self._keys, self._stops = numbers(torch.long), numbers(torch.long)
        self._decoding = [Decoding()] * num_rows
        self._has_values = False
        self._alternatives: list[list[Alternatives]] = [[] for _ in range(num_rows)]
        self._reported = [0] * num_rows
        self._stop_sets: list[frozenset[int]] = []
        self._stop_masks: Tensor | None = None

    def start(self, row: int, prompt: int, known: Draft, limit: int, sampling: Sampling, index: int) -> None:
        """Puts a sequence whose first `prompt` tokens were given into a row; `limit` bounds its whole length."""
        length = len(known.tokens)
        self._grow(limit)
        self._tokens[row, :length] = torch.tensor(known.tokens, device=self.device)
        self._prompts[row], self._alternatives[row] = prompt, list(known.alternatives)
        if length > prompt:
            self._logprobs[row, prompt:length] = torch.tensor(known.logprobs, device=self.device)
        if known.values:
            self._values[row, prompt:length] = torch.tensor(known.values, device=self.device)
        self._lengths[row], self._limits[row] = length, limit
        self._keys[row] = derive(sampling.key, index)
        self._decoding[row] = sampling.decoding
        self._reported[row] = sampling.alternatives
        if sampling.stop_ids not in self._stop_sets:
            self._stop_sets.append(sampling.stop_ids)
            self._stop_masks = None
        self._stops[row] = self._stop_sets.index(sampling.stop_ids)

    def last(self, n: int) -> tuple[Tensor, Tensor]:
        """The last token of the first n rows and its position."""
        positions = self._lengths[:n] - 1
        return self._tokens[:n].gather(1, positions[:, None]).squeeze(1), positions

    def lengths(self, n: int) -> list[int]:
        """Lengths of the first n rows."""
        lengths: list[int] = self._lengths[:n].tolist()
        return lengths

    def append(self, n: int, logits_nV: Tensor, values_n: Tensor | None) -> list[int]:
        """Draws the next token of the first n rows and returns the rows that end with it.

        Log-probabilities are those of the untempered, untruncated distribution. A draw inverts the cumulative
        distribution at a number that depends on the row's key and the token's position only.
        """
        logprobs_nV = torch.log_softmax(logits_nV, dim=-1)
        tokens = self._next(n, logits_nV, logprobs_nV)
        at = self._lengths[:n, None]
        self._tokens[:n].scatter_(1, at, tokens[:, None])
        self._logprobs[:n].scatter_(1, at, logprobs_nV.gather(1, tokens[:, None]))
        if values_n is not None:
            self._has_values = True
            self._values[:n].scatter_(1, at, values_n[:, None].float())
        self._report(n, logprobs_nV)
        self._lengths[:n] += 1
        ended = self._masks(logits_nV.shape[1])[self._stops[:n], tokens] | (self._lengths[:n] >= self._limits[:n])
        return ended.nonzero().squeeze(1).tolist() if bool(ended.any()) else []

    def _next(self, n: int, logits_nV: Tensor, logprobs_nV: Tensor) -> Tensor:
        how = self._decoding[:n]
        if all(d.greedy for d in how):
            return logits_nV.argmax(dim=-1)
        if all(d.temperature == 1 for d in how):
            probabilities = logprobs_nV.exp()
        else:
            probabilities = torch.softmax(logits_nV / self._numbers([d.temperature for d in how])[:, None], dim=-1)
        if any(d.truncates for d in how):
            top_k, top_p, min_p = ([getattr(d, name) for d in how] for name in ("top_k", "top_p", "min_p"))
            top_k_n = torch.tensor(top_k, device=self.device)
            probabilities = truncate(probabilities, top_k_n, self._numbers(top_p), self._numbers(min_p))
        drawn = draw(probabilities, uniform(self._keys[:n], self._lengths[:n]))
        if not any(d.greedy for d in how):
            return drawn
        greedy = torch.tensor([d.greedy for d in how], device=self.device)
        return torch.where(greedy, logits_nV.argmax(dim=-1), drawn)

    def _numbers(self, values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=self.device)

    def result(self, row: int) -> Draft:
        """All that is known of a row."""
        start, stop = self._prompts[row], int(self._lengths[row])
        return Draft(
            self._tokens[row, :stop].tolist(),
            self._logprobs[row, start:stop].tolist(),
            self._values[row, start:stop].tolist() if self._has_values else [],
            self._alternatives[row],
        )

    def head(self, row: int, count: int) -> list[int]:
        """The first tokens of a row."""
        tokens: list[int] = self._tokens[row, :count].tolist()
        return tokens

    def tail(self, row: int, count: int) -> list[int]:
        """The last generated tokens of a row, at most `count`."""
        stop = int(self._lengths[row])
        tokens: list[int] = self._tokens[row, max(self._prompts[row], stop - count) : stop].tolist()
        return tokens

    def move(self, source: list[int], target: list[int]) -> None:
        """Copies rows."""
        state = (self._tokens, self._logprobs, self._values, self._lengths, self._limits, self._keys, self._stops)
        for store in state:
            store[target] = store[source]
        for a, b in zip(source, target, strict=True):
            self._prompts[b], self._reported[b] = self._prompts[a], self._reported[a]
            self._alternatives[b], self._decoding[b] = self._alternatives[a], self._decoding[a]

    def _report(self, n: int, logprobs_nV: Tensor) -> None:
        """Notes the likeliest tokens for the rows that want them."""
        most = max(self._reported[:n])
        if not most:
            return
        top = logprobs_nV.topk(min(most, logprobs_nV.shape[1]), dim=-1)
        for row, (ids, values) in enumerate(zip(top.indices.tolist(), top.values.tolist(), strict=True)):
            if k := self._reported[row]:
                self._alternatives[row].append(tuple(zip(ids[:k], values[:k], strict=True)))

    def _masks(self, vocabulary: int) -> Tensor:
        if self._stop_masks is None:
            masks = torch.zeros(len(self._stop_sets), vocabulary, dtype=torch.bool)
            for i, stop_ids in enumerate(self._stop_sets):
                masks[i, list(stop_ids)] = True
            self._stop_masks = masks.to(self.device)
        return self._stop_masks

    def _grow(self, length: int) -> None:
        missing = length - self._tokens.shape[1]
        if missing > 0:
            extra = -(-missing // 64) * 64
            self._tokens = torch.nn.functional.pad(self._tokens, (0, extra))
            self._logprobs = torch.nn.functional.pad(self._logprobs, (0, extra))
            self._values = torch.nn.functional.pad(self._values, (0, extra))
