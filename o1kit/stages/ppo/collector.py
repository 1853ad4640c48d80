"""`Collector`: searches problems with the current policy and turns the chains found into experiences."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from o1kit import registry
from o1kit.engines.policy import LanguagePolicy, PromptTemplate
from o1kit.functional.advantages import Advantages, gae
from o1kit.functional.logprobs import token_logprobs
from o1kit.functional.noise import derive
from o1kit.functional.tree_values import tree_values
from o1kit.ledger import Ledger
from o1kit.models.language_model import LanguageModel
from o1kit.protocols import StepReward
from o1kit.rewards.config import MixtureConfig, PrmRewardConfig, RewardConfig, VerifierConfig
from o1kit.rewards.prm import step_ends
from o1kit.rewards.verifier import Verifier
from o1kit.stages.ppo.config import PpoConfig
from o1kit.stages.ppo.experience import Experience, collate
from o1kit.stages.ppo.metrics import search_metrics
from o1kit.stages.rollout import run_all
from o1kit.stages.sequences import pad_floats
from o1kit.types import Problem, SearchResult, Trajectory

SCORE_BATCH = 256


class Collected(NamedTuple):
    """One round: the experiences, the searches they came from, and figures to log."""

    experiences: list[Experience]
    results: list[SearchResult]
    metrics: dict[str, float]


class Collector:
    """Runs the recipe's search; `rewards` are per chain token, the verifier's at the last one."""

    def __init__(
        self,
        config: PpoConfig,
        verifier: Verifier,
        policy: LanguagePolicy,
        judge: StepReward | None,
        reward_models: dict[str, StepReward],
        reference: LanguageModel,
        template: PromptTemplate,
        seed: int,
    ) -> None:
        self.config, self.verifier, self.policy, self.judge = config, verifier, policy, judge
        self.reward_models, self.reference, self.template, self.seed = reward_models, reference, template, seed
        self.search: Any = registry.lookup("searches", config.search.kind)(config.search)

    def collect(self, problems: Sequence[Problem], version: int) -> Collected:
        """Searches the problems with policy number `version`."""
        self.policy.engine.refresh()
        for ledger in self._ledgers():
            ledger.take()
        key = derive(self.seed, version)

        async def work(index: int, problem: Problem) -> tuple[SearchResult, list[list[float]]]:
            root = self.policy.start(problem)
            result = await self.search.run(root, policy=self.policy, reward=self.judge, key=derive(key, index))
            return result, list(await asyncio.gather(*map(self._rewards, result.trajectories)))

        found = run_all(list(problems), work, label=f"ppo search {version}")
        policy_tokens, *reward_tokens = [ledger.take() for ledger in self._ledgers()]
        used = policy_tokens.total
        experiences = self._experiences(found, version)
        right = [self._share_right(p, result) for p, (result, _) in zip(problems, found, strict=True)]
        metrics = {
            "search/solved": sum(right) / len(right),
            "search/tokens": float(used.generated),
            "search/cached": float(used.cached),
            "search/chains": len(experiences) / len(problems),
            **{f"tokens/{name}": mean for name, mean in policy_tokens.per_problem(len(problems)).items()},
            "tokens/reward_scored": sum(taken.total.scored for taken in reward_tokens) / len(problems),
            "ppo/reward": sum(sum(r) for _, rewards in found for r in rewards) / max(len(experiences), 1),
        }
        results = [result for result, _ in found]
        return Collected(self._with_reference(experiences), results, metrics | search_metrics(results))

    def _ledgers(self) -> list[Ledger]:
        """The policy's ledger, then those of the reward models' own engines."""
        engines = [
            self.policy.engine,
            *(getattr(r, "engine", None) for r in (self.judge, *self.reward_models.values())),
        ]
        return list({id(engine): engine.ledger for engine in engines if engine is not None}.values())

    def _share_right(self, problem: Problem, result: SearchResult) -> float:
        truth = self.verifier.suite.truth(problem)
        marks = self.verifier.score_answers([(truth, answer) for answer in result.answers])
        return sum(mark.value for mark in marks) / len(marks)

    async def _rewards(self, trajectory: Trajectory) -> list[float]:
        """Reward of each generated token."""
        start = len(trajectory.state.prompt_ids)
        rewards = [0.0] * (len(trajectory.state.token_ids) - start)
        for part in parts(self.config.reward):
            if isinstance(part, VerifierConfig):
                rewards[-1] += part.weight * (await self.verifier.score(trajectory.state)).value
            else:
                scores = await self.reward_models[part.model].step_scores(trajectory.state)
                last = 0.0
                for end, score in zip(step_ends(trajectory.state), scores, strict=True):
                    rewards[end - start] += part.weight * (score - last)
                    last = score
        return rewards

    def _experiences(self, found: Sequence[tuple[SearchResult, list[list[float]]]], version: int) -> list[Experience]:
        """Chains with their advantages; weighted with the policy's probability of each, so that on average a
        problem's chains count as if they had been sampled on their own, however the tree was grown."""
        trajectories = [t for result, _ in found for t in result.trajectories]
        rewards = [line for _, lines in found for line in lines]
        values = [[v for a in t.state.actions for v in a.completion.values] for t in trajectories]
        weights = [w for result, _ in found for w in _weights(result)]
        baselines = values
        if self.config.loss.baseline == "tree":
            strength = self.config.loss.prior_strength
            baselines = [line for result, lines in found for line in _tree_baselines(result, lines, strength)]
        advantages, _ = self._gae(rewards, baselines)
        _, returns = self._gae(rewards, values)
        return [
            Experience(
                prompt_ids=t.state.prompt_ids,
                token_ids=tuple(token for a in t.state.actions for token in a.completion.token_ids),
                old_logprobs=tuple(p for a in t.state.actions for p in a.completion.logprobs),
                ref_logprobs=(0.0,) * len(values[i]),
                values=tuple(values[i]),
                advantages=tuple(advantages[i, : len(values[i])].tolist()),
                returns=tuple(returns[i, : len(values[i])].tolist()),
                weight=weights[i],
                policy_version=version,
            )
            for i, t in enumerate(trajectories)
        ]

    def _gae(self, rewards: Sequence[Sequence[float]], values: Sequence[Sequence[float]]) -> Advantages:
        width = max(map(len, rewards))
        mask_BT = torch.arange(width) < torch.tensor([len(r) for r in rewards])[:, None]
        loss = self.config.loss
        return gae(pad_floats(rewards, width), pad_floats(values, width), mask_BT, loss.gamma, loss.gae_lambda)

    @torch.inference_mode()
    def _with_reference(self, experiences: list[Experience]) -> list[Experience]:
        """The experiences with the reference policy's log-probabilities."""
        order = sorted(range(len(experiences)), key=lambda i: len(experiences[i].token_ids))
        done: dict[int, Experience] = {}
        for begin in range(0, len(order), SCORE_BATCH):
            part = order[begin : begin + SCORE_BATCH]
            items = [experiences[i] for i in part]
            batch = collate(drawn_all(items))
            device = self.reference.device
            hidden = self.reference.hidden(batch.token_ids[:, :-1].to(device), use_cache=False).cpu()
            logits = self.reference.logits(batch.chain(hidden).to(device)).cpu()
            logprobs = token_logprobs(logits, batch.chain_ids)
            for row, i in enumerate(part):
                n = len(experiences[i].token_ids)
                done[i] = experiences[i]._replace(ref_logprobs=tuple(logprobs[row, :n].tolist()))
        return [done[i] for i in range(len(experiences))]


def _weights(result: SearchResult) -> list[float]:
    """Each chain's prior, scaled to a mean of one."""
    total = sum(t.prior for t in result.trajectories)
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


def parts(config: RewardConfig) -> list[VerifierConfig | PrmRewardConfig]:
    """The rewards that a section adds up."""
    return list(config.of) if isinstance(config, MixtureConfig) else [config]


def drawn_all(items: list[Experience]) -> Any:
    """All of some items as one draw with weights of 1."""
    import numpy as np

    from o1kit.replay.buffer import Drawn

    none = np.full(len(items), -1, dtype=np.int64)
    return Drawn(none, none, items, np.ones(len(items)))
