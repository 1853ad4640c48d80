"""Recipe section of the counterfactual-regret searches. Experimental: no o1-like system is known to use one."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from o1kit.config import Config, Count, NonNegative, Positive, Probability, StageName, Tokens
from o1kit.functional.regret import Rule
from o1kit.search.section import Aggregate, BudgetConfig, Judge, Share, differences, named, renamed, titled

QUESTION = "Question: {problem}\nProposed answer: {answer}\nIs the proposed answer correct? Answer Yes or No."


class RegretTreeConfig(Config):
    """Regret matching at every node of a tree of steps, learned from sampled walks; the average strategy answers."""

    kind: Literal["tree"]
    """Selects this mode."""
    num_iterations: Count = 16
    """Walks from the root, a problem."""
    walks_per_batch: Count = 4
    """Walks that follow the same strategy at once; regrets are updated after all of them, in their order."""
    walk: Literal["full", "cutoff"] = "full"
    """`full` walks on to the end of a chain; `cutoff` ends at the first node that no walk has been to."""
    widening_k: Positive = 2.0
    """k: a node that n walks came to has ceil(k n^alpha) sampled steps, of which equal ones are one action."""
    widening_alpha: Probability = 0.5
    """alpha: how fast nodes widen; 0: never."""
    epsilon: Share = 0.6
    """Share of uniformly random choices in what walks take; they do not enter the strategy."""
    rule: Rule = "linear"
    """How regrets and strategies add up over iterations."""
    baseline: Annotated[Literal["judge", "none"], BeforeValidator(renamed)] = "judge"
    """What the value of an action not taken is guessed with: the stage's judge, or zero. It lowers variance."""
    prior_weight: Probability = 0.5
    """Share of the policy's own probabilities in the strategy; the rest is regret matching, which forgets them."""
    prior_decay: Literal["none", "linear"] = "none"
    """Whether `prior_weight` stays, or falls to zero over the iterations."""
    prior_regret: NonNegative = 0.0
    """kappa: a new action begins with regret kappa (prior - 1 / actions) instead of zero."""
    max_steps: Count = 32
    """Deepest chain, in steps; there the judge's value is the utility."""
    select: Literal["probability", "weighted"] = "weighted"
    """The answer of most probability under the average strategy, or of most probability times score."""
    aggregate: Aggregate = "min"
    """How the scores of a chain's steps become one number, for `weighted`."""

    @model_validator(mode="after")
    def _something_decays(self) -> Self:
        if self.prior_decay != "none" and self.prior_weight == 0:
            raise ValueError(
                "prior_decay has nothing to lower while prior_weight is 0. Set prior_weight, or remove it."
            )
        return self

    @property
    def title(self) -> str:
        """For example `tree 16 full linear (weighted)`, with the options that are not the usual ones."""
        more = differences(self, ("num_iterations", "walk", "rule", "select"))
        return " ".join(["tree", str(self.num_iterations), self.walk, self.rule, *more, f"({self.select})"])

    @property
    def needs(self) -> Judge | None:
        """Leaves have the values of the stage's judge."""
        return "judge"

    @property
    def models(self) -> tuple[str, ...]:
        """None but the policy."""
        return ()


class CandidatesConfig(Config):
    """Sampled chains, and who says how likely it is that each of them is right."""

    num_samples: Count = 8
    """Samples a problem (N)."""
    judge: Annotated[Literal["judge", "prompt"], BeforeValidator(renamed)] = "judge"
    """Who believes in candidates: the stage's judge, or a language model that answers Yes or No to a prompt."""
    aggregate: Aggregate = "min"
    """With `judge: judge`: how the scores of a chain's steps become the belief that it is right."""
    critic: StageName | None = None
    """With `judge: prompt`: the stage whose model is asked; without one the policy itself is."""
    question: str = QUESTION
    """With `judge: prompt`: the prompt, in which {problem}, {answer} and {solution} (the whole chain) are filled in."""
    alternatives: Tokens = 20
    """With `judge: prompt`: how many of the likeliest first tokens of the reply are searched for Yes and No."""

    @model_validator(mode="after")
    def _judge_uses_what_is_set(self) -> Self:
        asked = [name for name in ("critic", "question", "alternatives") if self._differs(name)]
        if self.judge == "judge" and asked:
            raise ValueError(
                f"{asked[0]} is for `judge: prompt`, and here it is the stage's judge. Change one of them."
            )
        if self.judge == "prompt" and self._differs("aggregate"):
            raise ValueError("aggregate is for `judge: judge`; a prompted judge gives one number. Remove it.")
        if "{answer}" not in self.question and "{solution}" not in self.question:
            raise ValueError(
                "question must hold {answer} or {solution}: else all candidates look the same to the judge."
            )
        return self

    def _differs(self, name: str) -> bool:
        return bool(getattr(self, name) != type(self).model_fields[name].default)

    @property
    def needs(self) -> Judge | None:
        """A prompted judge needs no other."""
        return "judge" if self.judge == "judge" else None

    @property
    def models(self) -> tuple[str, ...]:
        """The critic's, if it is another stage's."""
        return (self.critic,) if self.critic is not None else ()

    def describe(self, name: str, *said: str) -> str:
        """For example `critic@8 prm` or `critic@8 prompt sft`, with the options that are not the usual ones."""
        judge = f"{self.judge} {self.critic}" if self.critic is not None else named(self.judge)
        more = differences(self, ("num_samples", "judge", "critic", *said))
        return " ".join([f"{name}@{self.num_samples}", judge, *more])


class CriticConfig(CandidatesConfig):
    """A generator who knows what is right claims an answer; a critic who does not know accepts it or challenges it."""

    kind: Literal["critic"]
    """Selects this mode."""
    critique_cost: Positive = 0.25
    """What a challenge costs the critic, in units of what an accepted claim is worth."""
    penalty: Positive = 1.0
    """What a wrong claim that is challenged costs the generator, in the same units."""
    iterations: Count = 200
    """Iterations of the solver; they cost no tokens."""
    rule: Rule = "cfr+"
    """How regrets and strategies add up over iterations."""

    @model_validator(mode="after")
    def _bluffs_can_be_deterred(self) -> Self:
        if self.critique_cost >= self.penalty:
            text = "critique_cost must be below penalty: else a wrong claim gains even when it is challenged."
            raise ValueError(f"{text} Lower critique_cost or raise penalty.")
        return self

    @property
    def title(self) -> str:
        """For example `critic@8 prm`."""
        return self.describe("critic")


class ConsensusConfig(CandidatesConfig):
    """Equilibrium ranking (Jacob et al. 2023, arXiv 2310.09139): generator and discriminator come to agree."""

    kind: Literal["consensus"]
    """Selects this mode."""
    iterations: Count = 5000
    """No-regret updates of both policies; they cost no tokens."""
    learning_rate: Positive = 0.1
    """eta: how fast policies move from their initial ones."""
    anchor: Positive = 0.1
    """lambda: how strongly policies are held to their initial ones."""
    incorrect: Literal["uniform", "inverse"] = "uniform"
    """What the generator says at first when asked for a wrong answer: any, or an answer in proportion to how much the
    policy says something else."""
    discriminator: Literal["balanced", "belief"] = "balanced"
    """Its initial policy: beliefs divided by their sums over candidates, so that no label is likelier at first, or as
    they are."""
    rank: Literal["generator", "discriminator", "product"] = "generator"
    """Whose equilibrium policy ranks the candidates: P(answer | correct), P(correct | answer), or their product."""

    @property
    def title(self) -> str:
        """For example `consensus@8 prm (generator)`."""
        return f"{self.describe('consensus', 'rank')} ({self.rank})"


CfrMode = Annotated[RegretTreeConfig | CriticConfig | ConsensusConfig, Field(discriminator="kind")]


class CfrConfig(BudgetConfig):
    """Rollouts by counterfactual regret minimisation: a tree of steps, generator and critic, or consensus."""

    kind: Literal["cfr"]
    """Selects this search."""
    mode: CfrMode = RegretTreeConfig.model_construct(kind="tree")
    """What is played, and for what."""

    @property
    def title(self) -> str:
        """For example `cfr consensus@8 prm (generator)`."""
        return titled(f"cfr {self.mode.title}", self.unusual)

    @property
    def judge(self) -> Judge | None:
        """What the mode needs."""
        return self.mode.needs

    @property
    def without_judge(self) -> str:
        """With a prompted judge; a tree cannot do without."""
        return "" if isinstance(self.mode, RegretTreeConfig) else "`judge: prompt` in its mode"

    @property
    def models(self) -> tuple[str, ...]:
        """Those of the mode."""
        return self.mode.models
