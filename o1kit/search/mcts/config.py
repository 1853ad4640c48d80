"""Recipe sections of Monte Carlo tree search."""

from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from o1kit.config import COUNT, TOKENS, Config, Count, NonNegative, Positive, Probability, Tokens
from o1kit.decoding import Decoding
from o1kit.functional.selection import PB_C_BASE
from o1kit.search.mcts.actions_config import ActionsUnit
from o1kit.search.section import TOP_TOKENS, Aggregate, BudgetConfig, Judge, differences, titled

SAID = ("num_simulations", "num_children", "expand", "leaf_value", "select")
"""Options that a title names in any case."""

# ---- node unit -------------------------------------------------------------------------------------------------------


class StepUnit(Config):
    """A node is a reasoning step."""

    kind: Literal["step"]
    """Selects this unit."""


class TokensUnit(Config):
    """A node is a mini-step: so many tokens, wherever they end (Marco-o1, arXiv 2411.14405: 64 and 32)."""

    kind: Literal["tokens"]
    """Selects this unit."""
    size: Tokens = 64
    """Tokens of a mini-step."""


Unit = Annotated[StepUnit | TokensUnit | ActionsUnit, Field(discriminator="kind")]

# ---- selection -------------------------------------------------------------------------------------------------------


class PuctConfig(Config):
    """value + (ln((N + base + 1) / base) + c) prior sqrt(N) / (1 + n): AlphaZero's rule, OpenR's pb_c."""

    kind: Literal["puct"]
    """Selects this rule."""
    c: NonNegative = 1.25
    """Exploration constant."""
    base: Positive = PB_C_BASE
    """Visits at which exploration starts to grow."""


class UctConfig(Config):
    """value + c sqrt(ln N / n)."""

    kind: Literal["uct"]
    """Selects this rule."""
    c: NonNegative = 1.4
    """Exploration constant."""


class Ucb1Config(Config):
    """value + c sqrt(2 ln N / n): Marco-o1 v2 (c 1.414), ReST-MCTS* (c 0.7)."""

    kind: Literal["ucb1"]
    """Selects this rule."""
    c: NonNegative = 1.414
    """Exploration constant."""


class VarentropyConfig(Config):
    """PUCT with a bonus for steps whose tokens were drawn where the policy was of several minds (LLaMA-O1)."""

    kind: Literal["varentropy"]
    """Selects this rule."""
    c: NonNegative = 1.4
    """Exploration constant."""
    weight: NonNegative = 0.1
    """Weight of the bonus."""
    noise: Probability = 0.2
    """Scores are multiplied by a random number within this distance of 1."""
    alternatives: Annotated[Tokens, Field(le=100)] = 20
    """Likeliest tokens that the varentropy of a position is computed from; all others count as one."""


class GumbelConfig(Config):
    """Gumbel noise and sequential halving at the root, the improved policy below (Danihelka et al. 2022)."""

    kind: Literal["gumbel"]
    """Selects this rule."""
    max_considered: Count = 16
    """Children of the root that simulations are spent on, at most."""
    c_visit: NonNegative = 50.0
    """How much a value weighs before anything was visited."""
    c_scale: NonNegative = 1.0
    """How much a value weighs against a logit."""


Selection = Annotated[
    PuctConfig | UctConfig | Ucb1Config | VarentropyConfig | GumbelConfig, Field(discriminator="kind")
]

# ---- backup and simulation -------------------------------------------------------------------------------------------


class MeanBackup(Config):
    """A node's value is the mean of what came back through it."""

    kind: Literal["mean"]
    """Selects this backup."""


class DiscountedBackup(Config):
    """The mean of what came back, less by a factor at each level (LLaMA-O1: 0.9)."""

    kind: Literal["discounted"]
    """Selects this backup."""
    gamma: Probability = 0.9
    """Factor a level."""


class ChildMeanBackup(Config):
    """A node's value is its children's mean, weighted with their visits (ReST-MCTS*, arXiv 2406.03816).

    What comes back at a node itself counts while none of its children has been visited.
    """

    kind: Literal["child_mean"]
    """Selects this backup."""


Backup = Annotated[MeanBackup | DiscountedBackup | ChildMeanBackup, Field(discriminator="kind")]


class RolloutConfig(Config):
    """A plain continuation of the best new child; what is seen along it is mixed into the value that is backed up."""

    share: Probability = 1.0
    """(1 - share) * value at the child + share * value of the rollout. ReST-MCTS* uses 0.5."""
    max_steps: Annotated[int, COUNT] = Field(default=0, ge=0)
    """Steps of a rollout; 0: to the end of the chain, which then counts as found.

    With typed actions, a rollout to the end is plain, and one of so many steps takes the first kind that may follow.
    """
    keep: Literal["last", "best"] = "last"
    """The rollout's value: that at its end, or the best along it (ReST-MCTS*)."""


class WideningConfig(Config):
    """Progressive widening: a node gets more samples as its visits grow (Coulom 2007; Chaslot et al. 2008)."""

    k: Positive = 1.0
    """With N visits a node may have ceil(k N^alpha) samples."""
    alpha: Probability = 0.5
    """Exponent of the visits."""
    num_children: Count = 1
    """Samples drawn each time there is room."""


# ---- when to stop ----------------------------------------------------------------------------------------------------


class CorrectConfig(Config):
    """Counts right answers, by the ground truth: for collecting data. Results are marked `oracle` (Marco-o1 v2)."""

    low: Count = 4
    """Right chains that are enough once all simulations are made."""
    high: Count = 8
    """Right chains that are enough at any time (LLaMA-O1's patience: 2)."""
    limit: Count = 4
    """With fewer than `low`, goes on up to so many times the simulations."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) must not be above high ({self.high})")
        return self


class StopConfig(Config):
    """Reasons to stop before the budget is used up; each is looked at after every batch of leaves."""

    value: Probability | None = None
    """Stops when a finished chain scores at least this (ReST-MCTS*: 0.9)."""
    patience: Count | None = None
    """Stops when so many simulations in a row have left the chosen answer as it was."""
    no_improvement: Count | None = None
    """Stops when so many simulations in a row have found no better chain."""
    correct: CorrectConfig | None = None
    """Stops by the number of right answers. Uses the ground truth."""


class MctsConfig(BudgetConfig):
    """Monte Carlo tree search over the steps of a chain: select a leaf, expand it, judge what is new, back up."""

    kind: Literal["mcts"]
    """Selects this search."""
    num_simulations: Count = 16
    """Leaf expansions a problem."""
    num_children: Count = 3
    """Samples made when a node is expanded; equal steps are merged and their priors added."""
    root_children: Count | None = None
    """Samples made at the root; null: as everywhere."""
    expand: Literal["step", "chain"] = "step"
    """`step` samples one step a child; `chain` goes on to the end, so that every simulation finishes chains."""
    unit: Unit = StepUnit.model_construct(kind="step")
    """What a node is: a reasoning step, a number of tokens, or a typed action."""
    selection: Selection = PuctConfig.model_construct(kind="puct")
    """The rule by which a child is chosen on the way down."""
    prior: Literal["samples", "likelihood"] = "samples"
    """A child's prior: its share of the samples, or of the siblings' length-normalised probabilities (OpenR)."""
    unvisited: Literal["value", "infinity", "prior"] = "value"
    """What stands for the value of a child without visits: its own estimate, infinity (all are tried), or its prior."""
    leaf_value: Judge = "judge"
    """What estimates nodes: the stage's `judge`, the policy's value head, or its confidence (Marco-o1)."""
    confidence_tokens: Annotated[int, Field(ge=2, le=100), TOKENS] = TOP_TOKENS
    """With `leaf_value: confidence`: likeliest tokens that a token's probability is compared with."""
    rollout: RolloutConfig | None = None
    """A continuation from the best new child; null: the value is that of the new nodes themselves."""
    backup: Backup = MeanBackup.model_construct(kind="mean")
    """How a value goes up the tree."""
    widening: WideningConfig | None = None
    """More samples for nodes that are often visited; null: a node is expanded once."""
    stop: StopConfig | None = None
    """Reasons to stop early."""
    leaves_per_batch: Count = 4
    """Leaves selected (under virtual loss) before any of them is evaluated."""
    max_steps: Count = 32
    """Deepest chain, in nodes."""
    select: Literal["visits", "best", "weighted", "path"] = "weighted"
    """How one answer is chosen: by votes of visits, the best chain, votes of probability x score, or the end of the
    most visited path (with Gumbel: through the root's winner)."""
    aggregate: Aggregate = "min"
    """How the scores of a chain's steps become one number, for `best` and `weighted`."""
    root_noise: Probability = 0.0
    """Share of Dirichlet noise in the root's priors."""
    root_noise_alpha: Positive = 0.3
    """Concentration of that noise; less is spikier."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.expand == "chain" and self.unit.kind != "step":
            raise ValueError(
                f"`expand: chain` makes a node of every step; with `unit: {self.unit.kind}` use `expand: step`"
            )
        if self.selection.kind == "gumbel":
            if self.root_noise > 0:
                raise ValueError("Gumbel selection has its own noise: leave out `root_noise`")
            if self.widening is not None:
                raise ValueError("Gumbel selection considers the root's first children: leave out `widening`")
            if self.unvisited != "value":
                raise ValueError(
                    "Gumbel selection completes the values of unvisited children itself: leave out `unvisited`"
                )
        self._uses_priors()
        self._uses_numbers()
        if self.leaf_value != "confidence" and self.confidence_tokens != TOP_TOKENS:
            raise ValueError("`confidence_tokens` is for `leaf_value: confidence`")
        return self

    def _uses_priors(self) -> None:
        without = self.selection.kind in ("uct", "ucb1", "varentropy") and self.unvisited != "prior"
        for name in ("prior", "root_noise"):
            if without and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(
                    f"`selection: {self.selection.kind}` does not look at priors, so `{name}` would change nothing: "
                    "leave it out, or use `selection: {kind: puct}` or `unvisited: prior`"
                )
        if self.root_noise == 0 and self.root_noise_alpha != type(self).model_fields["root_noise_alpha"].default:
            raise ValueError("`root_noise_alpha` is the shape of `root_noise`, which is 0")

    def _uses_numbers(self) -> None:
        if self.rollout is not None and self.expand == "chain":
            raise ValueError("`expand: chain` goes on to the end itself: leave out `rollout`, or use `expand: step`")
        if not isinstance(self.unit, ActionsUnit):
            return
        if self.num_children != type(self).model_fields["num_children"].default or self.root_children is not None:
            raise ValueError("typed actions say themselves how many children there are: leave the numbers out")

    @property
    def title(self) -> str:
        """For example `mcts 16x3 step (weighted)`; what is not the default follows."""
        judged = "" if self.leaf_value == "judge" else f" {self.leaf_value}"
        unit = f"{self.unit.size} tokens" if isinstance(self.unit, TokensUnit) else self.unit.kind
        grown = self.expand if self.unit.kind == "step" else unit
        many = "" if isinstance(self.unit, ActionsUnit) else f"x{self.num_children}"
        name = f"mcts {self.num_simulations}{many} {grown}{judged} ({self.select})"
        said = {*BudgetConfig.model_fields, *SAID, *(("unit",) if isinstance(self.unit, TokensUnit) else ())}
        other = differences(self, said)
        return titled(name, (*self.unusual, *other))

    @property
    def judge(self) -> Judge | None:
        """What estimates leaves."""
        return self.leaf_value

    @property
    def without_judge(self) -> str:
        """With what the policy has itself."""
        return "`leaf_value: value_head` (ppo stages) or `leaf_value: confidence` here"

    @property
    def decoding(self) -> Decoding:
        """As the recipe says, with as many alternatives reported as something here is computed from."""
        wanted = [self.confidence_tokens] if self.leaf_value == "confidence" else []
        if isinstance(self.selection, VarentropyConfig):
            wanted.append(self.selection.alternatives)
        return replace(super().decoding, alternatives=max(wanted, default=0))

    @property
    def models(self) -> tuple[str, ...]:
        """Those that typed actions name."""
        return self.unit.models if isinstance(self.unit, ActionsUnit) else ()

    @property
    def cuts_steps(self) -> bool:
        """True for mini-steps, and for typed actions with a limit."""
        if isinstance(self.unit, ActionsUnit):
            return any(action.max_tokens for action in self.unit.actions.values())
        return isinstance(self.unit, TokensUnit)

    @property
    def hints(self) -> bool:
        """True where typed actions have hints."""
        return isinstance(self.unit, ActionsUnit) and self.unit.hints

    @property
    def oracle(self) -> bool:
        """True when right answers are counted."""
        counts = self.stop is not None and self.stop.correct is not None
        return counts or (isinstance(self.unit, ActionsUnit) and self.unit.oracle)
