"""The behaviours o1kit is made of. Everything depends on these, never on one another's implementations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from o1kit.decoding import Decoding as Decoding
from o1kit.ledger import Ledger
from o1kit.types import Account, Action, Completion, GroundTruth, Problem, Score, SearchResult, State

if TYPE_CHECKING:
    from lightning import LightningDataModule, LightningModule


class TaskSuite(Protocol):
    """All splits of a recipe, with the ground truth kept apart from the problems."""

    def problems(self, split: str) -> Sequence[Problem]:
        """The problems of a split, in a fixed order."""
        ...

    def truth(self, problem: Problem) -> GroundTruth:
        """What a verifier needs for one problem."""
        ...


class Teacher(Protocol):
    """Writes a chain of thought for a problem: the steps, each with its delimiter, the last one the answer."""

    phrases: tuple[str, ...]
    """Strings that a small tokenizer should keep as single tokens."""

    def trace(
        self, truth: GroundTruth, prompt: str, mistakes: Sequence[Literal["noticed", "unnoticed"]], seed: int
    ) -> list[str]:
        """The chain for one problem, with the given mistakes built in."""
        ...


@dataclass(frozen=True, slots=True)
class Sampling:
    """One request to an engine. `key` makes the noise: a sample depends on it and the sample's index only."""

    key: int
    decoding: Decoding = Decoding()
    max_tokens: int = 256
    stop_ids: frozenset[int] = frozenset()
    """Tokens that end a sample; they belong to it."""
    stop_strings: tuple[str, ...] = ()
    """Texts that end a sample with the token that completes one of them, wherever tokens begin and end."""
    first: int = 0
    """Index of the first sample: n samples from `first` on are the last n of `first + n` samples."""


@dataclass(frozen=True, slots=True)
class Span:
    """How far one action goes, and what is put in before the policy goes on."""

    max_tokens: int = 0
    """Ends an action after so many tokens, wherever that is (Marco-o1's mini-steps); 0: with a step delimiter."""
    prefix: str = ""
    """Text that an action begins with. It is part of the chain, and marked as given."""
    hint: str = ""
    """Text that the policy reads before this action only. It is not part of the chain."""


class Engine(Protocol):
    """Tokens in, tokens and log-probabilities out."""

    ledger: Ledger

    @property
    def context_length(self) -> int:
        """Longest sequence, in tokens."""
        ...

    async def sample(
        self, prompt: Sequence[int], n: int, sampling: Sampling, account: Account = Account()
    ) -> list[Completion]:
        """`n` continuations of a prompt."""
        ...

    async def score(self, tokens: Sequence[int], positions: Sequence[int], account: Account = Account()) -> list[float]:
        """The scalar head's raw output at the given positions of a sequence."""
        ...

    def refresh(self) -> None:
        """The weights have changed: forgets what was computed with the old ones."""
        ...


@runtime_checkable
class ReadingEngine(Engine, Protocol):
    """An engine that also tells how probable given tokens are."""

    async def logprobs(self, tokens: Sequence[int], start: int, account: Account = Account()) -> list[float]:
        """The log-probability (nats, untempered) of each token from index `start` on, given all before it."""
        ...


class Policy(Protocol):
    """A language model as the search sees it: it owns the prompt template and the step delimiter."""

    def start(self, problem: Problem) -> State:
        """The state before the first step."""
        ...

    async def propose(
        self, state: State, n: int, *, key: int, decoding: Decoding = Decoding(), span: Span = Span()
    ) -> list[Action]:
        """`n` next steps."""
        ...

    async def complete(
        self, state: State, n: int, *, key: int, decoding: Decoding = Decoding(), first: int = 0
    ) -> list[State]:
        """`n` finished chains that continue the state: samples number `first` and following."""
        ...

    def named(self, model: str) -> Policy:
        """The same with the model of another stage, which has the same tokenizer; an empty name is this one."""
        ...

    def answer(self, state: State) -> str | None:
        """The final answer that a chain states, or None."""
        ...

    def text(self, token_ids: Sequence[int]) -> str:
        """What tokens say, end-of-text left out."""
        ...


class Reward(Protocol):
    """A verifier or a learned model: the same door."""

    async def score(self, state: State) -> Score:
        """How good the chain so far is."""
        ...


class StepReward(Reward, Protocol):
    """A reward that also judges every step of a chain."""

    async def step_scores(self, state: State) -> tuple[float, ...]:
        """One value in [0, 1] for each action: how good the chain was after it."""
        ...


@runtime_checkable
class RankingReward(StepReward, Protocol):
    """A reward whose word is relative: it also says which of two chains is better."""

    async def prefer(self, first: State, second: State) -> float | None:
        """The probability that the first is better; None where it could not say."""
        ...


class Search(Protocol):
    """Spends tokens on one problem and returns finished chains; keeps no state between calls."""

    async def run(self, root: State, *, policy: Policy, reward: StepReward | None, key: int) -> SearchResult:
        """The chains found, the answers to be judged, and the tokens it took."""
        ...


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a finished stage left behind: a folder with safetensors weights, tokenizer and `done.json`."""

    stage: str
    kind: str
    directory: Path
    fingerprint: str


@dataclass(frozen=True, slots=True)
class StageInputs:
    """All that a stage is built from."""

    config: Any
    """The stage's own recipe section."""
    recipe: Any
    """The whole recipe."""
    recipe_directory: Path
    """Folder that relative paths in the recipe start from."""
    directory: Path
    """Folder the stage writes to."""
    artifacts: Mapping[str, Artifact]
    """The earlier stages it refers to, by stage name."""
    seed: int
    """Seed of this stage."""
    fingerprint: str = ""
    """Hash of all in the recipe that the stage is computed from; empty where no plan was made."""
    made_from: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """For each stage of the recipe the earlier ones it refers to; empty where no plan was made."""


@dataclass(frozen=True, slots=True)
class BuiltStage:
    """A stage ready for a Lightning Trainer."""

    module: LightningModule
    data: LightningDataModule
    verb: Literal["fit", "test"] = "fit"
    trainer: Mapping[str, Any] = field(default_factory=dict)
    """Options of the Trainer: max_steps, max_epochs, gradient_clip_val, reload_dataloaders_every_n_epochs."""
    phases: str = ""
    """What the progress display calls one unit of work."""


@dataclass(frozen=True, slots=True)
class TrackerContext:
    """What a tracker is made for: one stage of one run."""

    run: str
    """Name of the run."""
    stage: str
    """Name of the stage."""
    run_directory: Path
    """The run's folder: what belongs to all stages."""
    directory: Path
    """The stage's folder. A tracker's own files belong elsewhere: these are part of the stage's artifact."""
    config: Mapping[str, Any]
    """The stage's section and the whole recipe as plain data, under `stage` and `recipe`; secrets by name only."""


class Stage(Protocol):
    """Turns a recipe section into a module and its data, and the trained module into files."""

    def build(self, inputs: StageInputs) -> BuiltStage:
        """Module and data; everything expensive happens later, in the Trainer."""
        ...

    def export(self, built: BuiltStage, directory: Path) -> Mapping[str, Any]:
        """Writes the artifact's files and returns the summary that goes into `done.json`."""
        ...
