"""`Rows`: the tokens, log-probabilities and limits of the sequences in flight, one row each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from o1kit.decoding import Decoding
from o1kit.engines.torch import draws
from o1kit.functional.noise import derive, uniform
from o1kit.functional.sampling import draw, truncate
from o1kit.protocols import Sampling

Alternatives = tuple[tuple[int, float], ...]


@dataclass(slots=True)
class Draft:
    """What one sample has so far: its tokens, prompt included, and what is known of the generated ones."""

    tokens: list[int]
    logprobs: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    alternatives: list[Alternatives] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Start:
    """A sample that gets a row: what it has so far, of which the first `prompt` tokens were given."""

    draft: Draft
    prompt: int
    limit: int
    """Most tokens of the whole sequence."""
    sampling: Sampling
    index: int
    """Which of its request's samples it is."""


class Rows:
    """Struct-of-arrays state of all sequences; row numbers are those of the key-value cache.

    What the host decides by (lengths, prompts, decoding) is kept on the host, so reading it never waits for the device.
    """

    def __init__(self, num_rows: int, device: torch.device, compiled: bool) -> None:
        self.device, self._compiled = device, compiled

        def numbers(dtype: torch.dtype = torch.float32, width: int | None = None) -> Tensor:
            return torch.zeros(num_rows if width is None else (num_rows, width), dtype=dtype, device=device)

        self._tokens, self._logprobs, self._values = numbers(torch.long, 64), numbers(width=64), numbers(width=64)
        self._state = numbers(torch.long, 4)
        """Of each row: its length, its limit, its key, its set of stop tokens."""
        self._lengths, self._prompts = [0] * num_rows, [0] * num_rows
        self._decoding = [Decoding()] * num_rows
        self._temperatures = numbers()
        """0 where the likeliest token is taken."""
        self._kinds: set[Decoding] = set()
        """How the rows are decoded, and maybe some that have left."""
        self._has_values = False
        self._alternatives: list[list[Alternatives]] = [[] for _ in range(num_rows)]
        self._reported = [0] * num_rows
        self._stop_sets: list[frozenset[int]] = []
        self._stop_masks: Tensor | None = None

    def start(self, first: int, starts: Sequence[Start]) -> None:
        """Puts sequences into the rows from `first` on."""
        if not starts:
            return
        self._grow(max(s.limit for s in starts) + 1)  # a token is drawn even where none was asked for
        rows = slice(first, first + len(starts))
        width = max(len(s.draft.tokens) for s in starts)
        padded = [s.draft.tokens + [0] * (width - len(s.draft.tokens)) for s in starts]
        self._tokens[rows, :width] = torch.tensor(padded, device=self.device)
        state, temperatures = [], []
        self._kinds = self._kinds if first else set()
        for row, s in enumerate(starts, first):
            length = len(s.draft.tokens)
            self._lengths[row], self._prompts[row] = length, s.prompt
            self._alternatives[row], self._reported[row] = list(s.draft.alternatives), s.sampling.decoding.alternatives
            how = self._decoding[row] = s.sampling.decoding
            self._kinds.add(how)
            temperatures.append(0.0 if how.greedy else how.temperature)
            state.append((length, s.limit, derive(s.sampling.key, s.index), self._stop_set(s.sampling.stop_ids)))
            if length > s.prompt:
                self._resume(row, s.prompt, s.draft)
        self._state[rows] = torch.tensor(state, device=self.device)
        self._temperatures[rows] = self._numbers(temperatures)

    def _resume(self, row: int, prompt: int, draft: Draft) -> None:
        """What is known of the tokens that a sequence had generated when it left."""
        stop = len(draft.tokens)
        self._logprobs[row, prompt:stop] = torch.tensor(draft.logprobs, device=self.device)
        if draft.values:
            self._values[row, prompt:stop] = torch.tensor(draft.values, device=self.device)

    def _stop_set(self, stop_ids: frozenset[int]) -> int:
        if stop_ids not in self._stop_sets:
            self._stop_sets.append(stop_ids)
            self._stop_masks = None
        return self._stop_sets.index(stop_ids)

    def last(self, n: int) -> tuple[Tensor, Tensor]:
        """The last token of the first n rows and its position."""
        positions = self._state[:n, 0] - 1
        return self._tokens[:n].gather(1, positions[:, None]).squeeze(1), positions

    def lengths(self, n: int) -> list[int]:
        """Lengths of the first n rows."""
        return self._lengths[:n]

    def append(self, n: int, logits_nV: Tensor, values_n: Tensor | None) -> list[int]:
        """Draws the next token of the first n rows and returns the rows that end with it.

        Log-probabilities are those of the untempered, untruncated distribution. A draw inverts the cumulative
        distribution at a number that depends on the row's key and the token's position only.
        """
        if values_n is not None:
            self._has_values = True
            self._values[:n].scatter_(1, self._state[:n, :1], values_n[:, None].float())
        self._lengths[:n] = [length + 1 for length in self._lengths[:n]]
        stops_SV = self._masks(logits_nV.shape[1])
        plain = self._compiled and not any(how.truncates or how.alternatives for how in self._kinds)
        if plain and draws.suits(logits_nV):
            return draws.append(logits_nV, self._temperatures, self._state, stops_SV, self._tokens, self._logprobs)
        tokens, logprobs_n = self._draw(n, logits_nV)
        lengths_n, limits_n, _, sets_n = self._state[:n].unbind(1)
        at = lengths_n[:, None]
        self._tokens[:n].scatter_(1, at, tokens[:, None])
        self._logprobs[:n].scatter_(1, at, logprobs_n[:, None])
        lengths_n += 1
        rows: list[int] = (stops_SV[sets_n, tokens] | (lengths_n >= limits_n)).nonzero().squeeze(1).tolist()
        return rows

    def _draw(self, n: int, logits_nV: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens and their log-probabilities, with whatever rows ask for."""
        logprobs_nV = torch.log_softmax(logits_nV, dim=-1)
        tokens = self._next(n, logits_nV, logprobs_nV)
        self._report(n, logprobs_nV)
        return tokens, logprobs_nV.gather(1, tokens[:, None]).squeeze(1)

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
        drawn = draw(probabilities, uniform(self._state[:n, 2], self._state[:n, 0]))
        if not any(d.greedy for d in how):
            return drawn
        greedy = torch.tensor([d.greedy for d in how], device=self.device)
        return torch.where(greedy, logits_nV.argmax(dim=-1), drawn)

    def _numbers(self, values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=self.device)

    def results(self, rows: Sequence[int]) -> list[Draft]:
        """All that is known of these rows."""
        index = torch.tensor(rows, dtype=torch.long, device=self.device)
        most = max((self._lengths[row] for row in rows), default=0)
        tokens, logprobs = self._tokens[index, :most].tolist(), self._logprobs[index, :most].tolist()
        values = self._values[index, :most].tolist() if self._has_values else []
        found = []
        for i, row in enumerate(rows):
            start, stop = self._prompts[row], self._lengths[row]
            known = values[i][start:stop] if values else []
            found.append(Draft(tokens[i][:stop], logprobs[i][start:stop], known, self._alternatives[row]))
        return found

    def tail(self, row: int, count: int) -> list[int]:
        """The last generated tokens of a row, at most `count`."""
        stop = self._lengths[row]
        tokens: list[int] = self._tokens[row, max(self._prompts[row], stop - count) : stop].tolist()
        return tokens

    def move(self, source: list[int], target: list[int]) -> None:
        """Copies rows."""
        index = torch.tensor([source, target], device=self.device)
        most = max(self._lengths[row] for row in source)
        for store in (self._tokens, self._logprobs, self._values):
            store[index[1], :most] = store[index[0], :most]
        for small in (self._state, self._temperatures):
            small[index[1]] = small[index[0]]
        for a, b in zip(source, target, strict=True):
            self._lengths[b], self._prompts[b], self._reported[b] = (
                self._lengths[a],
                self._prompts[a],
                self._reported[a],
            )
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
        if self._stop_masks is None or self._stop_masks.shape[1] != vocabulary:
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
