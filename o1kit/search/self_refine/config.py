"""Recipe section of tree search over whole answers."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from o1kit.config import COUNT, NUMBER, Config, Count, NonNegative, Positive, Probability, StageName, Tokens
from o1kit.functional.pairwise_prompt import PREFERENCE
from o1kit.functional.prompts import with_places
from o1kit.search.section import Aggregate, BudgetConfig, Judge, differences, named, renamed, titled
from o1kit.search.self_refine.prompts import CRITIQUE, REWRITE, SCORE

Mark = Annotated[float, Field(ge=-100.0, le=100.0), NUMBER]
Retries = Annotated[int, Field(ge=0, le=20), COUNT]
CritiquePrompt = Annotated[str, AfterValidator(with_places("problem", "answer"))]
RewritePrompt = Annotated[str, AfterValidator(with_places("problem", "answer", "critique"))]
PairPrompt = Annotated[str, AfterValidator(with_places("problem", "first", "second"))]


class SelfScoreConfig(Config):
    """The policy grades an answer itself, from -100 to 100, under MCTSr's constraints."""

    kind: Literal["self_score"]
    """Selects this judge."""
    prompt: CritiquePrompt = SCORE
    """How it is asked, with {problem} and {answer}. The last `[Score] N` or `Score: N` of the reply counts."""
    max_tokens: Tokens = 512
    """Longest reply, in tokens."""
    retries: Retries = 2
    """Further replies sampled where one holds no score; after that the answer's mark is counted as an error."""
    suppress_above: Mark = 95.0
    """Higher marks are not believed; 100: all are."""
    suppressed_score: Mark = 50.0
    """What such a mark becomes."""

    @model_validator(mode="after")
    def _lower(self) -> Self:
        if self.suppressed_score > self.suppress_above:
            raise ValueError(
                f"a mark above {self.suppress_above:g} would be raised to {self.suppressed_score:g}: suppressed_score "
                "must not be more than suppress_above. Lower it"
            )
        return self


class JudgeScoreConfig(Config):
    """The stage's `judge` judges the steps of an answer, as a chain that follows the problem itself."""

    kind: Literal["judge"]
    """Selects this judge."""
    aggregate: Aggregate = "min"
    """How the scores of an answer's steps become one number."""


class PairwiseConfig(Config):
    """A model is asked which of two answers is better, in both orders; read from the next token's probabilities."""

    kind: Literal["pairwise"]
    """Selects this judge."""
    prompt: PairPrompt = PREFERENCE
    """A yes-or-no question with {problem}, {first} and {second}."""
    model: StageName | None = None
    """Stage whose model is asked; null: the policy."""
    alternatives: Tokens = 20
    """Among how many of the likeliest next tokens Yes and No are looked for. A server may report fewer."""


def _renamed(score: object) -> object:
    if isinstance(score, dict):
        renamed(score.get("kind"))
    return score


ScoreConfig = Annotated[
    SelfScoreConfig | JudgeScoreConfig | PairwiseConfig, Field(discriminator="kind"), BeforeValidator(_renamed)
]


class MctsrConfig(Config):
    """Monte Carlo tree self-refine (Zhang et al. 2024, arXiv 2406.07394)."""

    kind: Literal["mctsr"]
    """Selects this algorithm."""
    num_rollouts: Count = 8
    """Critiques and rewrites a problem."""
    max_children: Count = 3
    """An answer with so many rewrites, one of them better than itself, is rewritten no more."""
    score: ScoreConfig = SelfScoreConfig.model_construct(kind="self_score")
    """What marks an answer, again at each visit: `self_score`, or `judge`."""
    exploration: NonNegative = 1.4
    """Constant c of the upper confidence bound; marks reach from -100 to 100."""
    uct: Literal["paper", "code"] = "paper"
    """(ln N_father + 1) / N under the root as in the paper, or ln(N_father + 1) / N as in the authors' code."""
    backup: Literal["path", "parent"] = "path"
    """How far a better rewrite raises values: up to the root (the paper), or its father only (the authors' code)."""
    dummy_answer: str = "I don't know."
    """A second root, from which the search can start afresh; empty: none."""
    patience: Count | None = None
    """Ends after so many rollouts in a row without a better best answer; null: never."""
    max_repeats: Count | None = None
    """Ends after so many rollouts in a row whose final answer was there before; null: never."""
    max_depth: Count | None = None
    """Ends once an answer has come about by so many rewrites in a row; null: never."""
    pick: Literal["best", "sampled"] = "best"
    """The answer of the largest Q, or one drawn with a probability in proportion to Q + 100."""
    stop_when_correct: bool = False
    """Ends with the first right answer. This looks at the ground truth: fit for collecting data, not for a result."""

    @field_validator("score")
    @classmethod
    def _absolute(cls, score: ScoreConfig) -> ScoreConfig:
        if score.kind == "pairwise":
            raise ValueError(
                "mctsr averages the marks of each single answer, and a preference between two answers is no mark. "
                "Use `self_score` or `judge`, or `kind: sr_mcts`, which ranks answers by preferences"
            )
        return score

    @property
    def title(self) -> str:
        """For example `mctsr 8x3 self_score`."""
        drawn = "" if self.pick == "best" else " (sampled)"
        name = f"mctsr {self.num_rollouts}x{self.max_children} {named(self.score.kind)}{drawn}"
        return titled(name, differences(self, ("num_rollouts", "max_children", "pick", "score", "stop_when_correct")))


class SrMctsConfig(Config):
    """Self-refine MCTS with preference rankings (LLaMA-Berry, Zhang et al. 2024, arXiv 2410.02884)."""

    kind: Literal["sr_mcts"]
    """Selects this algorithm."""
    max_nodes: Count = 8
    """Answers a problem, the first one included."""
    max_children: Count = 2
    """An answer with so many rewrites, one of them better than itself, is rewritten no more."""
    score: ScoreConfig = PairwiseConfig.model_construct(kind="pairwise")
    """What answers are compared by: `pairwise`, or `judge` (Bradley-Terry on its scores)."""
    exploration: NonNegative = 1.4
    """Constant c of the upper confidence bound; values reach from 0 to 1."""
    alpha: Probability = 0.9
    """Weight of an answer's rank among all; the rest is its share of wins against its neighbours in the tree."""
    gamma: Probability = 0.1
    """How far an answer's value moves towards that of a new rewrite."""
    backup: Literal["path", "parent"] = "path"
    """How far a new value goes: up to the root, or to its father only."""

    @field_validator("score")
    @classmethod
    def _relative(cls, score: ScoreConfig) -> ScoreConfig:
        if score.kind == "self_score":
            raise ValueError(
                "sr_mcts ranks answers by probabilities that one is better than another, and a model's mark for its "
                "own answer is none. Use `pairwise` or `judge`, or `kind: mctsr`, which averages marks"
            )
        return score

    @property
    def title(self) -> str:
        """For example `sr_mcts 8x2 pairwise`."""
        name = f"sr_mcts {self.max_nodes}x{self.max_children} {named(self.score.kind)}"
        return titled(name, differences(self, ("max_nodes", "max_children", "score")))


AlgorithmConfig = Annotated[MctsrConfig | SrMctsConfig, Field(discriminator="kind")]


class SelfRefineConfig(BudgetConfig):
    """Tree search over whole answers: one is chosen, criticised and rewritten; the rewrite is judged."""

    kind: Literal["self_refine"]
    """Selects this search."""
    algorithm: AlgorithmConfig = MctsrConfig.model_construct(kind="mctsr")
    """How answers are valued and chosen."""
    temperature: Positive = 0.95
    """Divides the logits. 0.95 is that of MCTSr's code."""
    critic: StageName | None = None
    """Stage whose model writes the critiques; null: the policy."""
    critique_prompt: CritiquePrompt = CRITIQUE
    """Asks for a critique, with {problem} and {answer}."""
    critique_tokens: Tokens = 512
    """Longest critique, in tokens."""
    rewrite_prompt: RewritePrompt = REWRITE
    """Asks for a new answer, with {problem}, {answer} and {critique}: the last ones only, nothing older."""

    @property
    def title(self) -> str:
        """For example `mctsr 8x3 self_score`."""
        name = self.algorithm.title + (f", critic {self.critic}" if self.critic else "")
        prompts = [text for text in differences(self) if "prompt" in text or text.startswith("critique_tokens")]
        return titled(name, (*differences(self.algorithm.score), *prompts, *self.unusual))

    @property
    def judge(self) -> Judge | None:
        """The stage's judge, if the algorithm asks it."""
        return "judge" if self.algorithm.score.kind == "judge" else None

    @property
    def without_judge(self) -> str:
        """By the policy itself."""
        own = "self_score" if self.algorithm.kind == "mctsr" else "pairwise"
        return f"`score: {{kind: {own}}}` here"

    @property
    def models(self) -> tuple[str, ...]:
        """The critic, and who is asked about pairs."""
        score = self.algorithm.score
        named = (self.critic, score.model if isinstance(score, PairwiseConfig) else None)
        return tuple(dict.fromkeys(name for name in named if name is not None))

    @property
    def oracle(self) -> bool:
        """True when the search ends with the first right answer."""
        return isinstance(self.algorithm, MctsrConfig) and self.algorithm.stop_when_correct
