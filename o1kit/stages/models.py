"""`Models`: the policies and the judge of a stage that searches without training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch

from o1kit.artifacts import read_done
from o1kit.decoding import Decoding
from o1kit.engines.http import HttpEngine, needs
from o1kit.engines.http.probe import Capabilities
from o1kit.engines.policy import LanguagePolicy, PromptTemplate
from o1kit.errors import EnvironmentFailure
from o1kit.ledger import Ledger
from o1kit.models.config import HttpEngineConfig, local_engine
from o1kit.models.language_model import LanguageModel
from o1kit.models.load import load_directory, load_tokenizer
from o1kit.models.reading import read_reading
from o1kit.protocols import StageInputs
from o1kit.rewards.build import RewardContext, Scorer, alternatives_of, build_reward, sampled_by
from o1kit.rewards.build import decodings as judge_decodings
from o1kit.rewards.config import AskedSection, JudgeConfig, Part
from o1kit.rewards.verifier import verifier_of
from o1kit.search.config import SearchConfig
from o1kit.stages.evaluate.config import OWN
from o1kit.stages.searching import build_engine, build_policy, build_served
from o1kit.stages.start import recipe_template, served_template, starting_model, template_for
from o1kit.tasks.suite import Suite
from o1kit.tracking.progress import say


class Models:
    """Loads each model once, on the device in use when it is first asked for."""

    def __init__(self, inputs: StageInputs, suite: Suite, device: Callable[[], torch.device]) -> None:
        self.inputs, self.suite, self._device = inputs, suite, device
        self._loaded: dict[str, tuple[LanguageModel, PromptTemplate]] = {}
        self._others: dict[str, LanguagePolicy] = {}
        self._judge: JudgeConfig | None = getattr(inputs.config, "judge", None)
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
        judging = judge_decodings(self._judge)
        wanted = [need for decoding in [*decodings, *judging] for need in needs(decoding)]
        policy = build_served(template, context, self.inputs.recipe.engine, wanted, "these searches")
        able = policy.engine.able if isinstance(policy.engine, HttpEngine) else None
        if wanted and able is not None and not (able.seed or able.lone_seed):
            say("the server ignores `seed`: another run will draw other samples")
        policy.alternatives = alternatives_of(self._judge)
        check_alternatives(able, judging)
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
        policy = build_policy(model, template, self.inputs.recipe.engine, self.other)
        policy.alternatives = alternatives_of(self._judge)
        return policy

    def other(self, name: str) -> LanguagePolicy:
        """The policy of a stage that a search names, one for all that it is named by, with an engine of its own."""
        if name not in self._others:
            self._others[name] = self.policy(name)
        return self._others[name]

    def judge(self, config: JudgeConfig | None, policy: LanguagePolicy, name: str) -> Any:
        """The reward that a stage's `judge` stands for, with engines in this process; None for none.

        Args:
            policy: whose chains it judges.
            name: the stage of that policy.

        Raises:
            DataError: a stage trained something else than the recipe says.
        """
        return None if config is None else build_reward(config, self.context(policy, name))

    def context(self, policy: LanguagePolicy, name: str) -> RewardContext:
        """Where the rewards of a policy's chains get their models from: each has an engine of its own."""
        return RewardContext(
            policy,
            self.scorer,
            lambda other: self.asked(other, name),
            self.inputs.seed,
            lambda: verifier_of(self.suite, policy.answer),
            lambda section: self.asked_there(section, policy),
        )

    def adopt(self, name: str, model: LanguageModel, template: PromptTemplate) -> None:
        """Takes a model as it is, and where it is, as that of a stage."""
        self._loaded[name] = (model, template)

    def scorer(self, name: str) -> Scorer:
        """The reward model of a stage with an engine of its own."""
        model, template = self._load(name)
        engine = build_engine(model, template, local_engine(self.inputs.recipe.engine))
        return Scorer(engine, template, read_reading(self.inputs.artifacts[name].directory))

    def asked(self, name: str | None, own: str) -> LanguagePolicy:
        """The model of a stage, or that of the policy `own`, as a judge: its tokens are in a ledger of its own."""
        if name is None and self.served is not None:
            engine = copy.copy(self.served.engine)
            engine.ledger = Ledger()
            return LanguagePolicy(engine, self.served.template, engine.context_length, judges=True)
        model, template = self._load(own if name is None else name)
        engine = build_engine(model, template, local_engine(self.inputs.recipe.engine))
        return LanguagePolicy(engine, template, model.context_length, judges=True)

    def asked_there(self, section: AskedSection, policy: LanguagePolicy) -> LanguagePolicy:
        """The language model on a judge's own servers; here is its tokenizer, which may be that of `policy`.

        Raises:
            EnvironmentFailure: no server answers, or they lack something that the judge needs.
        """
        assert section.engine is not None
        template, context = policy.template, policy.engine.context_length
        if section.engine.tokenizer is not None:
            read = load_tokenizer(section.engine.tokenizer)
            template = PromptTemplate(read.tokenizer, self.suite.grading.answer_rule)
            context = read.context_length
        elif section.model == OWN:
            template, context = recipe_template(self.inputs, self.suite)
        elif section.model is not None:
            template, context = served_template(self.inputs, section.model, self.suite)
        asking = sampled_by(cast(Part, section))
        wanted = [need for decoding in asking for need in needs(decoding)]
        found = build_served(template, context, section.engine, wanted, "this judge", judges=True)
        check_alternatives(getattr(found.engine, "able", None), asking)
        return found

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
                template = template_for(tokenizer, self.suite)
            self._loaded[name] = (model.to(self._device()).eval(), template)
        return self._loaded[name]


def check_alternatives(able: Capabilities | None, decodings: Sequence[Decoding]) -> None:
    """Makes sure that the servers report as many alternatives as a judge reads.

    Raises:
        EnvironmentFailure: they do not.
    """
    most = max((decoding.alternatives for decoding in decodings), default=0)
    if able is not None and most > able.alternatives:
        raise EnvironmentFailure(
            f"the judge looks at {most} alternatives at each position, and the server reports {able.alternatives} at "
            "most. Set the judge's `alternatives` (or `top`) to what it reports, or use `engine: {kind: torch}`."
        )
