"""`Collector`: searches problems with the current policy and turns the chains found into experiences."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch

from o1kit import registry
from o1kit.engines.policy import LanguagePolicy
from o1kit.errors import EnvironmentFailure
from o1kit.functional.advantages import Advantages, gae
from o1kit.functional.noise import derive
from o1kit.functional.tree_values import tree_values
from o1kit.ledger import Ledger
from o1kit.models.language_model import LanguageModel
from o1kit.protocols import StageInputs, StepReward
from o1kit.rewards.build import engines_of, named_parts
from o1kit.rewards.config import ConstitutionConfig, Part, VerifierConfig
from o1kit.rewards.judges import guarded
from o1kit.rewards.prm import step_ends
from o1kit.rewards.verifier import Verifier
from o1kit.search.journaled import JournaledPolicy
from o1kit.search.tolerance import Tolerance
from o1kit.stages.ppo.config import PpoConfig
from o1kit.stages.ppo.experience import Experience
from o1kit.stages.ppo.metrics import search_metrics
from o1kit.stages.ppo.passes import chain_logprobs, chain_values, imprint, unjudged
from o1kit.stages.searching import journals_of, run_all
from o1kit.stages.sequences import pad_floats
from o1kit.types import Problem, SearchResult, Trajectory

MAX_GAP = 0.5
"""Mean difference in nats between a server's log-probabilities and those of its weights, that quantisation explains."""


POLICY = "policy"
"""What the policy is called among those whose tokens are counted."""
Found = tuple[SearchResult, list[list[float]]]
"""A search, and the rewards of each token of its chains."""


class Collected(NamedTuple):
    """One round: the experiences, the searches they came from, and figures to log."""

    experiences: list[Experience]
    results: list[SearchResult]
    metrics: dict[str, float]


class Collector:
    """Runs the recipe's search; `rewards` are per chain token, the verifier's at the last one.

    `critic` is the model in training where servers sample, which have no value head; else None.
    """

    def __init__(
        self,
        inputs: StageInputs,
        verifier: Verifier,
        policy: LanguagePolicy,
        judge: StepReward | None,
        reward_models: Mapping[str, StepReward],
        reference: LanguageModel,
        critic: LanguageModel | None,
    ) -> None:
        config: PpoConfig = inputs.config
        self.config, self.verifier, self.policy, self.judge = config, verifier, policy, judge
        self.reward_models, self.reference, self.critic, self.seed = reward_models, reference, critic, inputs.seed
        self.template = policy.template
        self.search: Any = registry.lookup("searches", config.search.kind)(config.search)
        self.tolerance = Tolerance(config.max_failed_judgements)
        self.journals = journals_of(inputs)

    def collect(self, problems: Sequence[Problem], version: int) -> Collected:
        """Searches the problems with policy number `version`."""
        self.policy.engine.refresh()
        for reward in (self.judge, *self.reward_models.values()):
            getattr(reward, "refresh", lambda: None)()
        for ledger in self._ledgers().values():
            ledger.take()
        found = self._searched(problems, version)
        taken = {name: ledger.take() for name, ledger in self._ledgers().items()}
        policy_tokens, judging = taken.pop(POLICY), [ledger.total for ledger in taken.values()]
        used = policy_tokens.total
        experiences = self._experiences(found, version)
        right = [self._share_right(p, result) for p, (result, _) in zip(problems, found, strict=True)]
        self.verifier.check(end=version + 1 == self.config.iterations)
        metrics = {
            "search/solved": sum(right) / len(right),
            "search/tokens": float(used.generated),
            "search/cached": float(used.cached),
            "search/chains": len(experiences) / len(problems),
            **{f"tokens/{name}": mean for name, mean in policy_tokens.per_problem(len(problems)).items()},
            "tokens/reward_scored": sum(usage.scored for usage in judging) / len(problems),
            "tokens/reward_generated": sum(usage.generated for usage in judging) / len(problems),
            **{
                f"tokens/{name} {kind}": mean
                for name, ledger in taken.items()
                for kind, mean in ledger.per_problem(len(problems)).items()
            },
            "search/failed_judgements": float(self.tolerance.failed),
            **{f"verifier/{outcome}": count for outcome, count in self.verifier.take().items()},
            "ppo/reward": sum(sum(r) for _, rewards in found for r in rewards) / max(len(experiences), 1),
        }
        results = [result for result, _ in found]
        if self.critic is not None:
            metrics |= self._check_served(experiences)
        return Collected(experiences, results, metrics | search_metrics(results))

    def _searched(self, problems: Sequence[Problem], version: int) -> list[Found]:
        """The searches of a round and the rewards of their chains; a round begun before goes on where it was killed."""
        key = derive(self.seed, version)
        if version:
            self.journals.drop(f"{version - 1:05d}")
        weights = imprint(self.critic or getattr(self.policy.engine, "model", None))
        title = self.config.search.title
        with self.journals.open(f"{version:05d}", policy=version, search=title, weights=weights) as journal:
            guard = partial(guarded, journal=journal, tolerance=self.tolerance)
            judge = guard(self.judge, name="judge") if self.judge is not None else None
            models = {name: guard(model, name=f"reward {name}") for name, model in self.reward_models.items()}
            policy = JournaledPolicy(self.policy, journal)
            more = {"oracle": self.verifier} if self.config.search.oracle else {}

            async def work(index: int, problem: Problem) -> Found:
                root = policy.start(problem)
                result = await self.search.run(root, policy=policy, reward=judge, key=derive(key, index), **more)
                return result, list(await asyncio.gather(*(self._rewards(t, models) for t in result.trajectories)))

            found = run_all(list(problems), work, label=f"ppo search {version}")
            self.tolerance.check(end=version + 1 == self.config.iterations)
        self.tolerance.forget()
        return found

    def _ledgers(self) -> dict[str, Ledger]:
        """The policy's ledger, and those of the engines that judges and rewards have of their own, by name."""
        named = {POLICY: self.policy.engine}
        named |= {f"judge {name}": engine for name, engine in engines_of(self.judge).items()}
        for reward, model in self.reward_models.items():
            named |= {f"reward {reward}": engine for engine in engines_of(model).values()}
        found = {id(engine.ledger): name for name, engine in reversed(named.items())}
        return {name: named[name].ledger for name in reversed(found.values())}

    def _share_right(self, problem: Problem, result: SearchResult) -> float:
        truth = self.verifier.suite.truth(problem)
        marks = self.verifier.score_answers([(truth, answer) for answer in result.answers])
        return sum(mark.value for mark in marks) / len(marks)

    async def _rewards(self, trajectory: Trajectory, models: Mapping[str, StepReward]) -> list[float]:
        """Reward of each generated token."""
        start = len(trajectory.state.prompt_ids)
        rewards = [0.0] * (len(trajectory.state.token_ids) - start)
        # After the problem's own prompt, whatever it was sampled after: that is what reward models were trained on.
        judged = replace(trajectory.state, prompt_ids=self.policy.start(trajectory.state.problem).prompt_ids)
        # Verifiers last: other processes answer, so what came after one would be batched as chance has it.
        for name, part in sorted(
            named_parts(self.config.reward).items(), key=lambda p: isinstance(p[1], VerifierConfig)
        ):
            if isinstance(part, VerifierConfig):
                rewards[-1] += part.weight * (await self.verifier.score(trajectory.state)).value
            elif getattr(self.reward_models[name], "level", "step") == "outcome":
                rewards[-1] += part.weight * ((await models[name].score(judged)).value - _owed(part))
            else:
                last = _owed(part)
                for end, score in zip(step_ends(judged), await models[name].step_scores(judged), strict=True):
                    rewards[end - len(judged.prompt_ids)] += part.weight * (score - last)
                    last = score
        return rewards

    def _experiences(self, found: Sequence[tuple[SearchResult, list[list[float]]]], version: int) -> list[Experience]:
        """Chains with their advantages; weighted with the policy's probability of each, so that on average a
        problem's chains count as if they had been sampled on their own, however the tree was grown."""
        trajectories = [t for result, _ in found for t in result.trajectories]
        rewards = [line for _, lines in found for line in lines]
        values = self._values(trajectories)
        weights = [w for result, _ in found for w in _weights(result)]
        baselines: Sequence[Sequence[float]] = values
        if self.config.loss.baseline == "tree":
            strength = self.config.loss.prior_strength
            baselines = [line for result, lines in found for line in _tree_baselines(result, lines, strength)]
        advantages, _ = self._gae(rewards, baselines)
        _, returns = self._gae(rewards, values)
        chains = [unjudged(t) for t in trajectories]
        if any(len(chain.old_logprobs) != len(chain.token_ids) for chain in chains):
            raise EnvironmentFailure(
                "the servers left out the log-probabilities of some tokens, without which nothing can be learned from "
                "a chain. Use another server, or `engine: {kind: torch}`."
            )
        references = chain_logprobs(self.reference, chains)
        return [
            chain._replace(
                ref_logprobs=references[i],
                values=tuple(values[i]),
                advantages=tuple(advantages[i, : len(values[i])].tolist()),
                returns=tuple(returns[i, : len(values[i])].tolist()),
                weight=weights[i],
                policy_version=version,
            )
            for i, chain in enumerate(chains)
        ]

    def _gae(self, rewards: Sequence[Sequence[float]], values: Sequence[Sequence[float]]) -> Advantages:
        width = max(map(len, rewards))
        mask_BT = torch.arange(width) < torch.tensor([len(r) for r in rewards])[:, None]
        loss = self.config.loss
        return gae(pad_floats(rewards, width), pad_floats(values, width), mask_BT, loss.gamma, loss.gae_lambda)

    def _values(self, trajectories: Sequence[Trajectory]) -> list[tuple[float, ...]]:
        """The value head's estimate before each token: from the engine, or for chains of a server from the trainer."""
        if self.critic is not None:
            return chain_values(self.critic, [unjudged(t) for t in trajectories])
        return [tuple(v for a in t.state.actions for v in a.completion.values) for t in trajectories]

    def _check_served(self, experiences: Sequence[Experience]) -> dict[str, float]:
        """How far the servers' log-probabilities are from those of the weights that they should hold."""
        gaps = [
            abs(a - b)
            for e in experiences
            for i, (a, b) in enumerate(zip(e.old_logprobs, e.ref_logprobs, strict=True))
            if i not in e.given
        ]
        gap = sum(gaps) / len(gaps)
        if gap > MAX_GAP:
            raise EnvironmentFailure(
                f"the servers' log-probabilities differ by {gap:.2f} nats a token from those of stage "
                f"{self.config.policy!r}: they serve other weights. Serve that stage's folder."
            )
        return {"search/server_logprob_gap": gap}


def _weights(result: SearchResult) -> list[float]:
    """Each chain's prior, scaled to a mean of one."""
    total = sum(t.prior for t in result.trajectories)
    if total == 0:  # chains of so many steps that their probabilities have vanished
        return [1.0] * len(result.trajectories)
    return [len(result.trajectories) * t.prior / total for t in result.trajectories]


def _tree_baselines(result: SearchResult, rewards: Sequence[Sequence[float]], strength: float) -> list[list[float]]:
    """The value before each token: that of the prefix at the start of its step."""
    chains = [[action.completion.token_ids for action in t.state.actions] for t in result.trajectories]
    weights = [t.prior for t in result.trajectories]
    found = tree_values(chains, [sum(r) for r in rewards], weights, strength)
    return [
        [value for step, value in zip(chain, line, strict=True) for _ in step]
        for chain, line in zip(chains, found, strict=True)
    ]


def _owed(part: Part) -> float:
    """What a chain has to be worth in order to lose nothing: all, where the reward is a penalty."""
    return 1.0 if isinstance(part, ConstitutionConfig) and part.pays == "penalty" else 0.0
