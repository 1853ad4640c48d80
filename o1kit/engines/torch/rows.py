"""`Rows`: the tokens, log-probabilities and limits of the sequences in flight, one row each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from o1kit.functional.noise import derive, uniform
from o1kit.protocols import Sampling


class Rows:
    """Struct-of-arrays state of all sequences; row numbers are those of the key-value cache."""

    def __init__(self, num_rows: int, device: torch.device) -> None:
        self.device = device
        self._tokens = torch.zeros(num_rows, 64, dtype=torch.long, device=device)
        self._logprobs = torch.zeros(num_rows, 64, device=device)
        self._values = torch.zeros(num_rows, 64, device=device)
        self._has_values = False
        self._prompt = [0] * num_rows
        self._lengths = torch.zeros(num_rows, dtype=torch.long, device=device)
        self._limits = torch.zeros(num_rows, dtype=torch.long, device=device)
        self._keys = torch.zeros(num_rows, dtype=torch.long, device=device)
        self._temperatures = torch.ones(num_rows, device=device)
        self._greedy = torch.zeros(num_rows, dtype=torch.bool, device=device)
        self._stop_sets: list[frozenset[int]] = []
        self._stop_masks: Tensor | None = None
        self._stops = torch.zeros(num_rows, dtype=torch.long, device=device)

    def start(self, row: int, prompt: Sequence[int], limit: int, sampling: Sampling, index: int) -> None:
        """Puts a prompt into a row; `limit` bounds its whole length."""
        self._grow(limit)
        self._tokens[row, : len(prompt)] = torch.tensor(prompt, device=self.device)
        self._prompt[row] = len(prompt)
        self._lengths[row], self._limits[row] = len(prompt), limit
        self._keys[row] = derive(sampling.key, index)
        self._temperatures[row], self._greedy[row] = sampling.temperature, sampling.greedy
        if sampling.stop_ids not in self._stop_sets:
            self._stop_sets.append(sampling.stop_ids)
            self._stop_masks = None
        self._stops[row] = self._stop_sets.index(sampling.stop_ids)

    def last(self, n: int) -> tuple[Tensor, Tensor]:
        """The last token of the first n rows and its position."""
        positions = self._lengths[:n] - 1
        return self._tokens[:n].gather(1, positions[:, None]).squeeze(1), positions

    def longest(self, n: int) -> int:
        """Length of the longest of the first n rows."""
        return int(self._lengths[:n].max())

    def length(self, row: int) -> int:
        """Length of one row."""
        return int(self._lengths[row])

    def append(self, n: int, logits_nV: Tensor, values_n: Tensor | None) -> list[int]:
        """Draws the next token of the first n rows and returns the rows that end with it.

        Log-probabilities are those of the untempered distribution. A draw inverts the cumulative distribution at a
        number that depends on the row's key and the token's position only.
        """
        logprobs_nV = torch.log_softmax(logits_nV, dim=-1)
        probabilities = torch.softmax(logits_nV / self._temperatures[:n, None], dim=-1)
        cumulative = probabilities.cumsum(dim=-1, dtype=torch.float64)
        noise = uniform(self._keys[:n], self._lengths[:n])[:, None] * cumulative[:, -1:]
        drawn = torch.searchsorted(cumulative, noise, right=True).squeeze(1).clamp(max=logits_nV.shape[1] - 1)
        tokens = torch.where(self._greedy[:n], logits_nV.argmax(dim=-1), drawn)
        at = self._lengths[:n, None]
        self._tokens[:n].scatter_(1, at, tokens[:, None])
        self._logprobs[:n].scatter_(1, at, logprobs_nV.gather(1, tokens[:, None]))
        if values_n is not None:
            self._has_values = True
            self._values[:n].scatter_(1, at, values_n[:, None].float())
        self._lengths[:n] += 1
        ended = self._masks(logits_nV.shape[1])[self._stops[:n], tokens] | (self._lengths[:n] >= self._limits[:n])
        return ended.nonzero().squeeze(1).tolist() if bool(ended.any()) else []

    def result(self, row: int) -> tuple[list[int], list[float], list[float]]:
        """All tokens of a row; log-probabilities and values of the generated ones."""
        start, stop = self._prompt[row], self.length(row)
        values = self._values[row, start:stop].tolist() if self._has_values else []
        return self._tokens[row, :stop].tolist(), self._logprobs[row, start:stop].tolist(), values

    def move(self, source: Sequence[int], target: Sequence[int]) -> None:
        """Copies rows."""
        for store in (self._tokens, self._logprobs, self._values, self._lengths, self._limits, self._keys):
            store[list(target)] = store[list(source)]
        for store in (self._temperatures, self._greedy, self._stops):
            store[list(target)] = store[list(source)]
        for a, b in zip(source, target, strict=True):
            self._prompt[b] = self._prompt[a]

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
