"""`PpoData`: one epoch is one round. The loader of a round first searches, then draws replay batches."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from torch.utils.data import DataLoader

from o1kit.replay.buffer import PrioritizedBuffer
from o1kit.replay.config import PrioritizedReplayConfig
from o1kit.replay.sampler import OnPolicyBatches, ReplayBatches
from o1kit.stages.ppo.collector import Collected, Collector
from o1kit.stages.ppo.config import PpoConfig
from o1kit.stages.ppo.experience import Batch, Experience, collate
from o1kit.types import Problem, SearchResult

SHOWN = 4
"""Searches of a round that are written to `rollouts.jsonl`."""


class _Anything:
    """A dataset whose `index` is already the item: the samplers draw items, not numbers."""

    def __getitems__(self, drawn: Any) -> Any:
        return drawn

    def __getitem__(self, drawn: Any) -> Any:
        return drawn


class PpoData(L.LightningDataModule):
    """Collects with the policy as it is and serves batches of the recipe's replay."""

    def __init__(
        self, config: PpoConfig, problems: Callable[[], list[Problem]], collector: Collector, path: Path, seed: int
    ) -> None:
        super().__init__()
        self.config, self.collector, self.path = config, collector, path
        self._problems = problems
        self.rng = np.random.default_rng(seed)
        self.buffer: PrioritizedBuffer[Experience] | None = None
        if isinstance(config.replay, PrioritizedReplayConfig):
            self.buffer = PrioritizedBuffer(config.replay.capacity, config.replay.alpha, config.replay.floor)
        self.iteration = 0
        self.metrics: dict[str, float] = {}
        self.replay_seconds = 0.0

    def train_dataloader(self) -> DataLoader[Any]:
        """Searches the round's problems, then gives the round's batches."""
        started = time.perf_counter()
        collected = self.collector.collect(self._round(), self.iteration)
        self.metrics = collected.metrics | {"search/seconds": time.perf_counter() - started}
        self._write(collected.results)
        config, number = self.config, self.config.updates_per_iteration
        batches = self._replay(collected) if self.buffer is not None else None
        sampler = batches or OnPolicyBatches(collected.experiences, config.batch_size, number, self.rng)
        self.iteration += 1
        return DataLoader(_Anything(), batch_sampler=sampler, collate_fn=collate)  # type: ignore[arg-type]

    def _replay(self, collected: Collected) -> ReplayBatches:
        config, replay = self.config, self.config.replay
        assert self.buffer is not None and isinstance(replay, PrioritizedReplayConfig)
        started = time.perf_counter()
        priorities = [e.weight * sum(map(abs, e.advantages)) / len(e.advantages) for e in collected.experiences]
        self.buffer.add(collected.experiences, priorities)
        self.metrics["per/dropped"] = float(self.buffer.drop_older_than(self.iteration - replay.max_age))
        beta = replay.beta + (1 - replay.beta) * self.iteration / max(config.iterations - 1, 1)
        self.metrics |= {"per/size": float(len(self.buffer)), "per/beta": beta, "per/prio_max": max(priorities)}
        self.replay_seconds += time.perf_counter() - started
        return ReplayBatches(self.buffer, config.batch_size, config.updates_per_iteration, self.rng, beta)

    def write_back(self, output: dict[str, Any]) -> None:
        """Gives the drawn items their new priorities."""
        if self.buffer is not None:
            started = time.perf_counter()
            self.buffer.update_priorities(output["slots"], output["serials"], output["priorities"].tolist())
            self.replay_seconds += time.perf_counter() - started

    def transfer_batch_to_device(self, batch: Batch, device: Any, dataloader_idx: int) -> Batch:
        """Moves the tensors; slots and serial numbers stay numpy."""
        return Batch(*(x.to(device) if hasattr(x, "to") else x for x in batch))

    def _round(self) -> list[Problem]:
        problems, n = self._problems(), self.config.problems_per_iteration
        start = self.iteration * n
        return [problems[i % len(problems)] for i in range(start, start + n)]

    def _write(self, results: list[SearchResult]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            for result in results[:SHOWN]:
                chains = [{"text": t.state.text, "answer": t.answer, "visits": t.visits} for t in result.trajectories]
                problem = result.trajectories[0].state.problem
                row = {"iteration": self.iteration, "problem": problem.id, "prompt": problem.prompt, "chains": chains}
                file.write(json.dumps(row) + "\n")

    def state_dict(self) -> dict[str, Any]:
        """Round, random stream and the whole replay buffer."""
        state: dict[str, Any] = {"iteration": self.iteration, "rng": json.dumps(self.rng.bit_generator.state)}
        if self.buffer is not None:
            state["buffer"] = self.buffer.state_dict(tuple)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on at the saved round with the saved buffer."""
        self.iteration = int(state_dict["iteration"])
        self.rng.bit_generator.state = json.loads(state_dict["rng"])
        if self.buffer is not None:
            self.buffer.load_state_dict(state_dict["buffer"], lambda item: Experience(*item))
