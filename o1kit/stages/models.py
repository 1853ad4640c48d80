"""`Models`: the policies and the judge of a stage that searches without training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from o1kit.artifacts import read_done
from o1kit.engines.http import HttpEngine, needs
from o1kit.engines.policy import LanguagePolicy, PromptTemplate
from o1kit.models.config import HttpEngineConfig, local_engine
from o1kit.models.language_model import LanguageModel
from o1kit.models.load import load_directory
from o1kit.protocols import Decoding, StageInputs
from o1kit.rewards.prm import PrmReward
from o1kit.search.config import SearchConfig
from o1kit.stages.evaluate.config import OWN
from o1kit.stages.searching import build_engine, build_policy, build_served
from o1kit.stages.start import served_template, starting_model
from o1kit.tasks.suite import Suite
from o1kit.tracking.progress import say


class Models:
    """Loads each model once, on the device in use when it is first asked for."""

    def __init__(self, inputs: StageInputs, suite: Suite, device: Callable[[], torch.device]) -> None:
        self.inputs, self.suite, self._device = inputs, suite, device
        self._loaded: dict[str, tuple[LanguageModel, PromptTemplate]] = {}
        self._others: dict[str, LanguagePolicy] = {}
        self.served: LanguagePolicy | None = None

    def serve(self, name: str, searches: Sequence[SearchConfig]) -> None:
        """With an http engine: finds the policy on its servers, and what they lack before anything is searched.

        Raises:
            EnvironmentFailure: no server answers, or they lack something that the searches need.
        """
        if not isinstance(self.inputs.recipe.engine, HttpEngineConfig):
            return
        template, context = served_template(self.inputs, None if name == OWN else name, self.suite)
        decodings = [getattr(search, "decoding", Decoding(greedy=True)) for search in searches]
        wanted = [need for decoding in decodings for need in needs(decoding)]
        policy = build_served(template, context, self.inputs.recipe.engine, wanted, "these searches")
        able = policy.engine.able if isinstance(policy.engine, HttpEngine) else None
        if wanted and able is not None and not (able.seed or able.lone_seed):
            say("the server ignores `seed`: another run will draw other samples")
        self.served = policy

    @property
    def server(self) -> dict[str, Any]:
        """What the probe found of the servers; empty without any."""
        engine = self.served.engine if self.served is not None else None
        return engine.able.summary() if isinstance(engine, HttpEngine) and engine.able is not None else {}

    def policy(self, name: str) -> LanguagePolicy:
        """The policy of a stage, or the recipe's own model, with an engine of its own."""
        if self.served is not None:
            return self.served
        model, template = self._load(name)
        return build_policy(model, template, self.inputs.recipe.engine, self.other)

    def other(self, name: str) -> LanguagePolicy:
        """The policy of a stage that a search names, one for all that it is named by, with an engine of its own."""
        if name not in self._others:
            self._others[name] = self.policy(name)
        return self._others[name]

    def prm(self, name: str | None) -> PrmReward | None:
        """The process reward model of a stage, with an engine in this process; None for no stage."""
        if name is None:
            return None
        model, template = self._load(name)
        return PrmReward(build_engine(model, template, local_engine(self.inputs.recipe.engine)))

    def version(self, name: str) -> int | None:
        """Rounds of PPO that a policy has been through, if it is from a ppo stage."""
        artifact = self.inputs.artifacts.get(name)
        done = read_done(artifact.directory) if artifact is not None else None
        rounds = (done or {}).get("summary", {}).get("iterations")
        return rounds if isinstance(rounds, int) else None

    def _load(self, name: str) -> tuple[LanguageModel, PromptTemplate]:
        if name not in self._loaded:
            if name == OWN:
                model, template = starting_model(self.inputs, None, self.suite)
            else:
                model, tokenizer = load_directory(self.inputs.artifacts[name].directory)
                template = PromptTemplate(tokenizer, self.suite.grading.answer_rule)
            self._loaded[name] = (model.to(self._device()).eval(), template)
        return self._loaded[name]
