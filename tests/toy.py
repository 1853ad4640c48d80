"""Small real stages for tests of the runner: Lightning modules that learn a line, with a plan to run them by."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from o1kit import registry
from o1kit.artifacts import save_weights
from o1kit.config import Config
from o1kit.protocols import BuiltStage, StageInputs
from o1kit.recipe.nodes import show
from o1kit.recipe.schema import TrackingConfig, WandbConfig
from o1kit.report.results import Answer, ResultRow, Results, write_results
from o1kit.report.tree import Origin, tree_record, write_trees
from o1kit.runner import run_plan
from o1kit.tracking.jsonl import JsonlFile
from o1kit.types import Problem, SearchResult, TreeNode, Usage

KINDS = {"toy": "tests.toy:ToyStage", "toy_rounds": "tests.toy:RoundsStage", "toy_eval": "tests.toy:EvalStage"}


class ToyConfig(Config):
    """Section of all toy stages."""

    name: str
    steps: int = 30
    lr: float = 0.05
    checkpoint_every: int = 10
    rounds: int = 5
    kill_at: int = -1
    """Step at which the process kills itself, once."""
    kill_signal: int = int(signal.SIGKILL)
    explode_at: int = -1
    stop_short: bool = False
    """Gives fewer batches than promised."""


class ToyRecipe(Config):
    """What the runner needs to know of a recipe."""

    name: str
    seed: int = 0
    tasks: dict[str, Any] = {}
    tracking: TrackingConfig = TrackingConfig(wandb=WandbConfig(mode="disabled"))

    def where(self, *path: str | int) -> str:
        return show(path)


@dataclass(frozen=True)
class ToyPlannedStage:
    name: str
    kind: str
    config: ToyConfig
    inputs: tuple[str, ...]
    fingerprint: str
    seed: int = 7


@dataclass(frozen=True)
class ToyPlan:
    recipe: ToyRecipe
    stages: tuple[ToyPlannedStage, ...] = field(default=())


class ToyModule(L.LightningModule):
    """Fits y = 3x with noise from torch, numpy and Python, so that a lost random state shows in the weights."""

    def __init__(self, config: ToyConfig, directory: Path) -> None:
        super().__init__()
        self.config, self.directory = config, directory
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        step = self.global_step
        if step == self.config.kill_at and not (self.directory.parent / "killed").exists():
            (self.directory.parent / "killed").touch()
            os.kill(os.getpid(), self.config.kill_signal)
            time.sleep(0.05)
        noise = torch.randn(batch.shape) * 0.01 + float(np.random.normal()) * 0.01
        loss = ((self.layer(batch) - 3 * batch + noise) ** 2).mean()
        if step == self.config.explode_at:
            loss = loss * float("nan")
        self.log("toy/loss", loss.detach())
        return loss

    def test_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("toy/error", (self.layer(batch) - 3 * batch).abs().mean())

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.layer.parameters(), lr=self.config.lr)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + 0.1 * step))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Order(Sampler[list[int]]):
    """Batch i is a function of i; a continued run starts further along but keeps its length."""

    def __init__(self, steps: int, start: int, given: int) -> None:
        self.steps, self.start, self.given = steps, start, given

    def __len__(self) -> int:
        return self.given

    def __iter__(self) -> Iterator[list[int]]:
        for i in range(self.start, self.steps):
            yield [i % 50, (i * 7) % 50]


class ToyData(L.LightningDataModule):
    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.config, self.begin = config, 0

    def train_dataloader(self) -> DataLoader[Any]:
        given = self.config.steps - (self.begin if self.config.stop_short else 0)
        rows = torch.linspace(0, 1, 50)[:, None]
        return DataLoader(rows, batch_sampler=Order(self.config.steps, self.begin, given))  # type: ignore[arg-type]

    def test_dataloader(self) -> DataLoader[Any]:
        return DataLoader(torch.linspace(0, 1, 8)[:, None], batch_size=4)  # type: ignore[arg-type]

    def state_dict(self) -> dict[str, Any]:
        return {"batch": self.trainer.global_step if self.trainer is not None else 0}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.begin = int(state_dict["batch"])


class RoundsData(ToyData):
    """Like PPO: every epoch draws data of its own, from numpy's global stream, and writes them down."""

    def __init__(self, config: ToyConfig, directory: Path) -> None:
        super().__init__(config)
        self.rollouts = JsonlFile(directory / "rollouts.jsonl")

    def train_dataloader(self) -> DataLoader[Any]:
        assert self.trainer is not None
        rows = torch.tensor(np.random.uniform(size=(4, 1)), dtype=torch.float32)
        self.rollouts.append({"step": self.trainer.global_step, "epoch": self.trainer.current_epoch, "x": rows[0, 0]})
        # A generator of its own: Lightning makes an iterator twice an epoch, but once when it continues.
        return DataLoader(rows, batch_size=2, generator=torch.Generator())  # type: ignore[arg-type]


class ToyStage:
    """Steps over one long epoch, like supervised training."""

    def build(self, inputs: StageInputs) -> BuiltStage:
        config = inputs.config
        options = {"max_steps": config.steps, "max_epochs": 1, "gradient_clip_val": 1.0}
        return BuiltStage(ToyModule(config, inputs.directory), ToyData(config), "fit", options, "step")

    def export(self, built: BuiltStage, directory: Path) -> Mapping[str, Any]:
        assert isinstance(built.module, ToyModule)
        save_weights(directory / "model.safetensors", built.module.layer.state_dict())
        return {"weight": built.module.layer.weight.item(), "nothing": float("nan")}


class RoundsStage(ToyStage):
    """Epochs with data of their own, like PPO."""

    def build(self, inputs: StageInputs) -> BuiltStage:
        config = inputs.config
        options = {"max_epochs": config.rounds, "reload_dataloaders_every_n_epochs": 1}
        data = RoundsData(config, inputs.directory)
        return BuiltStage(ToyModule(config, inputs.directory), data, "fit", options, "iteration")


class EvalStage:
    """Tests, and writes results and a tree."""

    def build(self, inputs: StageInputs) -> BuiltStage:
        return BuiltStage(ToyModule(inputs.config, inputs.directory), ToyData(inputs.config), "test", {}, "problem")

    def export(self, built: BuiltStage, directory: Path) -> Mapping[str, Any]:
        row = ResultRow("toy", "greedy", "heldout", 0.5, 0.4, 0.6, 10, 12.0)
        answer = Answer("How many r's are in strawberry?", "toy", "s t r a\nThe answer is 3", "3")
        write_results(directory / "results.json", Results("toy", (row,), (answer,)))
        result = SearchResult((), (None,), Usage(), (TreeNode(0, None, "", 2, 0.5, 1.0, False),))
        origin = Origin("", "toy", "heldout", 0, "mcts", {}, "prm")
        write_trees(directory, [tree_record(origin, Problem("p", "toy", "p"), result, result.tree, key=0)])
        return {"accuracy": 0.5}


def plan(*stages: ToyPlannedStage, name: str = "run", wandb: str = "disabled") -> ToyPlan:
    tracking = TrackingConfig(wandb=WandbConfig(mode=wandb))  # type: ignore[arg-type]
    return ToyPlan(ToyRecipe(name=name, tracking=tracking), stages)


def stage(name: str, kind: str = "toy", *, inputs: tuple[str, ...] = (), **options: Any) -> ToyPlannedStage:
    if kind == "toy_rounds":
        options.setdefault("checkpoint_every", 2)  # the updates of one round
    config = ToyConfig(name=name, **options)
    ignored = {"kill_at", "kill_signal", "stop_short"}
    return ToyPlannedStage(name, kind, config, inputs, str(config.model_dump(exclude=ignored)))


def run(toy_plan: ToyPlan, runs: Path, **options: Any) -> Path:
    registry.BUILTIN["stages"].update(KINDS)
    return run_plan(toy_plan, recipe_directory=runs, runs_dir=runs, plain=True, **options)  # type: ignore[arg-type]
