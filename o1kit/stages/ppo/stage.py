"""Proximal policy optimisation on searched trajectories, with prioritized replay."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import lightning as L
import torch

from o1kit.decoding import Decoding
from o1kit.engines.http import LEARNING, needs
from o1kit.engines.policy import LanguagePolicy
from o1kit.models.config import HttpEngineConfig, local_engine
from o1kit.models.load import save_directory
from o1kit.protocols import BuiltStage, StageInputs
from o1kit.rewards.build import alternatives_of, build_reward, decodings, named_parts
from o1kit.rewards.config import VerifierConfig
from o1kit.rewards.judges import own_judge
from o1kit.stages.models import Models, check_alternatives
from o1kit.stages.ppo.collector import Collector
from o1kit.stages.ppo.config import PpoConfig
from o1kit.stages.ppo.data import PpoData
from o1kit.stages.ppo.module import PpoModule
from o1kit.stages.searching import build_policy, build_served, build_verifier
from o1kit.stages.start import served_template, starting_model, suite_of, trainable
from o1kit.tasks.suite import Suite

TRAINED = ""
"""Stands for the model in training where judges get their models from; no stage has this name."""


class PpoStage:
    """A policy, a search and rewards -> a better policy."""

    def build(self, inputs: StageInputs) -> BuiltStage:
        """The module and its data."""
        config: PpoConfig = inputs.config
        suite = suite_of(inputs)
        served = _served(inputs, suite)
        model, template = starting_model(inputs, config.policy, suite)
        reference, _ = starting_model(inputs, config.policy, suite)
        if model.head is None:
            model.add_head()
        trainable(model, inputs)
        policy = served or build_policy(model, template, local_engine(inputs.recipe.engine))
        policy.alternatives = max(alternatives_of(config.judge), alternatives_of(config.reward))
        models = Models(inputs, suite, lambda: torch.device("cpu"))
        models.served = served
        models.adopt(TRAINED, model, template)
        context = replace(models.context(policy, TRAINED), scorer=cache(models.scorer))
        learned = {n: part for n, part in named_parts(config.reward).items() if not isinstance(part, VerifierConfig)}
        rewards = {name: build_reward(part, context) for name, part in learned.items()}
        judge = own_judge(config.search, policy.engine)
        if judge is None and config.judge is not None:
            judge = build_reward(config.judge, context)
        verifier = build_verifier(suite, policy)
        critic = model if served is not None else None
        collector = Collector(inputs, verifier, policy, judge, rewards, reference.eval(), critic)
        data = PpoData(
            config, lambda: list(suite.problems("train")), collector, inputs.directory / "rollouts.jsonl", inputs.seed
        )
        options = {
            "max_epochs": config.iterations,
            "reload_dataloaders_every_n_epochs": 1,
            "gradient_clip_val": config.optimizer.grad_clip,
            "callbacks": [PpoLoop(config)],
        }
        return BuiltStage(PpoModule(model, config), data, "fit", options, phases="update")

    def export(self, built: BuiltStage, directory: Path) -> Mapping[str, Any]:
        """Weights, value head and tokenizer."""
        assert isinstance(built.module, PpoModule) and isinstance(built.data, PpoData)
        save_directory(built.module.model, built.data.collector.template.tokenizer, directory)
        return {"iterations": built.data.iteration, "replay_seconds": built.data.replay_seconds}


class PpoLoop(L.Callback):
    """Ties module and data together: priorities back, metrics of the search, the stage's time limit."""

    def __init__(self, config: PpoConfig) -> None:
        self.config = config
        self.spent = 0.0
        self._mark = time.perf_counter()

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock."""
        self._mark = time.perf_counter()

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Logs what the search of this round found."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        pl_module.version = data.iteration - 1
        pl_module.log_dict(data.metrics, batch_size=1)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Writes the priorities back."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        data.write_back(outputs)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stops when the stage's time is used up."""
        now = time.perf_counter()
        self.spent, self._mark = self.spent + now - self._mark, now
        if self.config.max_seconds is not None and self.spent >= self.config.max_seconds:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Time spent so far."""
        return {"spent": self.spent}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with the time spent before."""
        self.spent = float(state_dict["spent"])


def _served(inputs: StageInputs, suite: Suite) -> LanguagePolicy | None:
    """The policy on its servers, if the recipe has any: what they lack is found before anything is loaded."""
    config, engine = inputs.config, inputs.recipe.engine
    if not isinstance(engine, HttpEngineConfig):
        return None
    template, context = served_template(inputs, config.policy, suite)
    judging = [*decodings(config.judge), *decodings(config.reward)]
    wanted = [getattr(config.search, "decoding", Decoding(greedy=True)), *judging]
    lacking = [need for decoding in wanted for need in needs(decoding)]
    policy = build_served(template, context, engine, [*LEARNING, *lacking], "PPO")
    check_alternatives(getattr(policy.engine, "able", None), judging)
    return policy
