"""`DpoData`: preference pairs as batches, with what the reference says about each, computed once and kept on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from o1kit.artifacts import write_json
from o1kit.engines.policy import PromptTemplate
from o1kit.engines.spelling import spell_pair
from o1kit.errors import DataError
from o1kit.functional.dpo import chain_logprobs, shared_prefix
from o1kit.functional.logprobs import token_logprobs
from o1kit.models.language_model import LanguageModel
from o1kit.report.label_schema import PairRecord
from o1kit.report.labels import read_pairs
from o1kit.stages.dpo.config import DpoConfig
from o1kit.stages.sequences import HELD_OUT, LengthBucketedBatches, held_out, pad
from o1kit.tracking.progress import Progress

REFERENCE = "reference.json"
ROWS = 64
"""Pairs the reference reads together."""


class Pair(NamedTuple):
    """Two chains of one prompt in tokens; the first `shared` tokens of both are the same and are not counted."""

    problem: str
    prompt_ids: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
    shared: int


class Row(NamedTuple):
    """A pair with the reference's log-probabilities of the counted tokens of its chains, in nats."""

    pair: Pair
    chosen: float
    rejected: float


class Batch(NamedTuple):
    """P better chains, then the P others, [2P, T]; masks are True on tokens that count, and on all of the chain."""

    token_ids_BT: Tensor
    mask_BT: Tensor
    chain_BT: Tensor
    reference_B: Tensor


@dataclass
class Counts:
    """What became of the pairs."""

    pairs: int = 0
    """Pairs to train and to measure on."""
    equal: int = 0
    """Left out: within the model's context, one of the chains has no token of its own."""
    cut: int = 0
    """Chains longer than the context, of which the beginning was kept."""
    shared_tokens: int = 0
    """Tokens at the beginning of both chains of a pair."""

    def summary(self) -> dict[str, float]:
        """The figures by name."""
        return {f"pairs/{name}": float(value) for name, value in asdict(self).items()}


class DpoData(L.LightningDataModule):
    """Batches of pairs; a continued run goes on at the batch where it stopped."""

    def __init__(
        self,
        config: DpoConfig,
        path: Path,
        template: PromptTemplate,
        reference: LanguageModel,
        directory: Path,
        seed: int,
    ) -> None:
        super().__init__()
        self.config, self.path, self.template, self.reference, self.seed = config, path, template, reference, seed
        self.cache = directory / REFERENCE
        self.counts = Counts()
        self.train_rows: list[Row] = []
        self.heldout_rows: list[Row] = []
        self._start = 0

    def setup(self, stage: str) -> None:
        """Reads the pairs, and asks the reference about them unless that is known.

        Raises:
            DataError: they cannot be read, or there are none to train on.
        """
        if self.train_rows:
            return
        context = self.reference.context_length
        made = (encode_pair(self.template, record, context, self.counts) for record in read_pairs(self.path))
        pairs = [pair for pair in made if pair is not None]
        held = held_out([pair.problem for pair in pairs], HELD_OUT)
        self.counts.pairs = len(pairs)
        self.counts.shared_tokens = sum(pair.shared for pair in pairs)
        if not pairs or all(held):
            told = ", ".join(f"{name} {value:.0f}" for name, value in self.counts.summary().items())
            raise DataError(f"{self.path}: no pairs to train on ({told}). Pairs of two problems are the least.")
        rows = [Row(pair, *said) for pair, said in zip(pairs, self._reference(pairs), strict=True)]
        self.train_rows = [row for row, h in zip(rows, held, strict=True) if not h]
        self.heldout_rows = [row for row, h in zip(rows, held, strict=True) if h]

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled batches of pairs of like length."""
        lengths = [len(r.pair.prompt_ids) + max(len(r.pair.chosen), len(r.pair.rejected)) for r in self.train_rows]
        batches = LengthBucketedBatches(lengths, self.config.batch_size, self.config.steps, self.seed)
        batches.start = self._start
        joined = partial(collate, masks_prefix=self.config.mask_shared_prefix)
        return DataLoader(self.train_rows, batch_sampler=batches, collate_fn=joined)  # type: ignore[arg-type]

    def state_dict(self) -> dict[str, Any]:
        """Where in the order of batches the run is."""
        return {"batch": self.trainer.global_step if self.trainer is not None else 0}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on at the saved batch."""
        self._start = int(state_dict["batch"])

    @torch.inference_mode()
    def _reference(self, pairs: Sequence[Pair]) -> list[tuple[float, float]]:
        """The reference's log-probabilities of the counted tokens of both chains of each pair."""
        if self.cache.is_file():
            known: list[tuple[float, float]] = [(a, b) for a, b in json.loads(self.cache.read_text())]
            if len(known) == len(pairs):
                return known
        if self.trainer is not None:
            self.reference.to(self.trainer.strategy.root_device)
        found = []
        with Progress("dpo reference", total=len(pairs)) as progress:
            for start in range(0, len(pairs), ROWS):
                part = pairs[start : start + ROWS]
                batch = collate([Row(pair, 0.0, 0.0) for pair in part], self.config.mask_shared_prefix)
                mask = batch.mask_BT[:, 1:]
                sums = chain_logprobs(read_logprobs(self.reference, batch).cpu(), mask).tolist()
                found += list(zip(sums[: len(part)], sums[len(part) :], strict=True))
                progress.advance(len(part))
        write_json(self.cache, found)
        return found


def encode_pair(template: PromptTemplate, record: PairRecord, context: int, counts: Counts) -> Pair | None:
    """A record in tokens, cut at the model's context; None if nothing in it is to be learned.

    Raises:
        DataError: its recorded tokens are another tokenizer's.
    """
    better, other = spell_pair(template, record)
    room = max(context - len(better.prompt_ids), 0)
    chosen, rejected = (tuple(chain.chain_ids[:room]) for chain in (better, other))
    counts.cut += sum(len(chain.chain_ids) > room for chain in (better, other))
    shared = shared_prefix(chosen, rejected)
    if shared >= min(len(chosen), len(rejected)):
        counts.equal += 1
        return None
    return Pair(record.problem, better.prompt_ids, chosen, rejected, shared)


def collate(rows: Sequence[Row], masks_prefix: bool) -> Batch:
    """Pairs as one batch, the better chains first."""
    chains = [(r.pair, r.pair.chosen) for r in rows] + [(r.pair, r.pair.rejected) for r in rows]
    token_ids_BT = pad([[*pair.prompt_ids, *chain] for pair, chain in chains])
    position_T = torch.arange(token_ids_BT.shape[1])
    prompts_B = torch.tensor([len(pair.prompt_ids) for pair, _ in chains])
    lengths_B = prompts_B + torch.tensor([len(chain) for _, chain in chains])
    shared_B = torch.tensor([pair.shared if masks_prefix else 0 for pair, _ in chains])
    chain_BT = (position_T >= prompts_B[:, None]) & (position_T < lengths_B[:, None])
    mask_BT = chain_BT & (position_T >= (prompts_B + shared_B)[:, None])
    reference_B = torch.tensor([r.chosen for r in rows] + [r.rejected for r in rows])
    return Batch(token_ids_BT, mask_BT, chain_BT, reference_B)


def read_logprobs(model: LanguageModel, batch: Batch) -> Tensor:
    """The log-probability of every token of the chains, [2P, T - 1], 0 elsewhere."""
    wanted = batch.chain_BT[:, 1:]
    token_ids_BT = batch.token_ids_BT.to(model.device)
    hidden = model.hidden(token_ids_BT[:, :-1], use_cache=False)
    found = token_logprobs(model.logits(hidden[wanted]), token_ids_BT[:, 1:][wanted])
    return torch.zeros(wanted.shape, device=found.device).masked_scatter(wanted.to(found.device), found)
