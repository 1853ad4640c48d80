"""What a reward model is trained on: sequences, where they are read, and what should be read there."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from random import Random
from typing import NamedTuple

from o1kit.engines.policy import PromptTemplate
from o1kit.engines.spelling import Spelling, is_finished, spell_pair, spell_record
from o1kit.errors import DataError
from o1kit.functional.pairwise_prompt import comparison_prompt
from o1kit.functional.surprise import NOTHING, Features, surprise
from o1kit.models.reading import marked
from o1kit.report.label_schema import LabelRecord, PairRecord
from o1kit.stages.prm.config import ObjectiveConfig, OrmObjectiveConfig, PairwiseObjectiveConfig, PrmConfig
from o1kit.types import Problem


class Example(NamedTuple):
    """A sequence with labels in [0, 1] at the positions `ends`."""

    problem: str
    """Name of its problem: chains of one are either all trained on or all measured on."""
    group: int
    """Examples of one group may be compared with one another: those of a problem, or the two of a pair."""
    token_ids: tuple[int, ...]
    ends: tuple[int, ...]
    labels: tuple[float, ...]
    ended: bool = True
    """The last of `ends` is where a finished chain ends."""
    complete: bool = False
    """Every step of the chain has a label."""
    features: tuple[Features, ...] = ()
    """The policy's surprise at each of `ends`, if it is read."""
    reference: tuple[float, ...] = ()
    """The log-odds at each of `ends` before training, if they count."""


@dataclass
class Counts:
    """What became of the labels."""

    chains: int = 0
    """Examples to train and to measure on."""
    labelled: int = 0
    """Positions with a label."""
    positive: int = 0
    """Of those, with one of at least one half."""
    ignored: int = 0
    """Steps without a label: they carry no loss."""
    cut: int = 0
    """Labels beyond the model's context."""
    dropped: int = 0
    """Chains without a label that could be used."""
    forced: int = 0
    """Steps that would have shared a token with the next one."""
    tokens: int = field(default=0, repr=False)

    def summary(self) -> dict[str, float]:
        """The figures by name."""
        return {f"labels/{name}": float(value) for name, value in asdict(self).items() if name != "tokens"}


class Builder:
    """Makes examples of records for one objective; `counts` tells what became of their labels."""

    def __init__(self, config: PrmConfig, template: PromptTemplate, mark: int | None, context: int, seed: int) -> None:
        self.config, self.template, self.mark, self.context, self.seed = config, template, mark, context, seed
        self.counts = Counts()

    def from_labels(self, records: Sequence[LabelRecord]) -> list[Example]:
        """Examples of labelled chains.

        Raises:
            DataError: nothing can be learned from them; the message has the counts.
        """
        groups = {name: i for i, name in enumerate(dict.fromkeys(record.problem for record in records))}
        if isinstance(self.config.objective, PairwiseObjectiveConfig) and self.config.reading.by == "tokens":
            found = [e for own in _by_problem(records) for e in self._questions(own, groups[own[0].problem])]
        else:
            made = (self._chain(record, groups[record.problem]) for record in records)
            found = [example for example in made if example is not None]
        return self._checked(found)

    def from_pairs(self, records: Sequence[PairRecord]) -> list[Example]:
        """Examples of preference pairs.

        Raises:
            DataError: nothing can be learned from them; the message has the counts.
        """
        asked = self.config.reading.by == "tokens"
        made = (self._asked_pair(r, i) if asked else self._pair(r, i) for i, r in enumerate(records))
        return self._checked([example for examples in made for example in examples])

    def _chain(self, record: LabelRecord, group: int) -> Example | None:
        """One chain with the labels that the objective reads."""
        spelling = spell_record(self.template, record)
        self.counts.forced += spelling.forced
        if isinstance(self.config.objective, PairwiseObjectiveConfig | OrmObjectiveConfig):
            labels: list[float | None] = [*[None] * (len(record.steps) - 1), outcome(record)]
        else:
            labels = list(record.labels)
            self.counts.ignored += labels.count(None)
        return self._example(record.problem, group, spelling, labels, is_finished(record), self._surprise(record))

    def _surprise(self, record: LabelRecord) -> list[Features] | None:
        if not self.config.reading.surprise:
            return None
        if not record.step_logprobs:
            raise DataError(
                f"stage {self.config.name!r}: the labels of problem {record.problem!r} do not tell how probable its "
                "tokens were. Set `reading.surprise: false`, or label chains that a policy has sampled."
            )
        return surprise(record.step_logprobs)

    def _pair(self, record: PairRecord, group: int) -> list[Example]:
        """The two chains of a pair, if both fit."""
        if self.config.reading.surprise:
            text = "preference pairs do not tell how probable their tokens were. Set `reading.surprise: false`."
            raise DataError(f"stage {self.config.name!r}: {text}")
        chains = spell_pair(self.template, record)
        self.counts.forced += sum(chain.forced for chain in chains)
        labels = ([*[None] * (len(chain.step_ids) - 1), value] for chain, value in zip(chains, (1.0, 0.0), strict=True))
        made = [self._example(record.problem, group, c, x, True) for c, x in zip(chains, labels, strict=True)]
        found = [example for example in made if example is not None]
        if len(found) == 1:
            self.counts.dropped += 1
        return found if len(found) == 2 else []

    def _example(
        self,
        problem: str,
        group: int,
        spelling: Spelling,
        labels: Sequence[float | None],
        ended: bool,
        features: Sequence[Features] | None = None,
    ) -> Example | None:
        tokens, positions = marked(spelling.prompt_ids, spelling.step_ids, self.mark)
        read = features or [NOTHING] * len(labels)
        known = [(e, label, f) for e, label, f in zip(positions, labels, read, strict=True) if label is not None]
        kept = [(end, label, found) for end, label, found in known if end < self.context]
        self.counts.cut += len(known) - len(kept)
        if not kept:
            self.counts.dropped += 1
            return None
        ended = ended and labels[-1] is not None and positions[-1] < self.context
        ends, values, told = zip(*kept, strict=True)
        complete = len(kept) == len(labels)
        return Example(problem, group, tokens[: self.context], ends, values, ended, complete, told if features else ())

    def _questions(self, records: Sequence[LabelRecord], group: int) -> list[Example]:
        """Comparisons of right and wrong chains of one problem, a fixed draw of them where there are many."""
        objective = self.config.objective
        assert isinstance(objective, PairwiseObjectiveConfig)
        sides: dict[bool, dict[str, None]] = {True: {}, False: {}}
        for record in records:
            value = outcome(record)
            if value is None:
                self.counts.dropped += 1
            else:
                sides[value >= 0.5]["".join(record.steps)] = None
        pairs = list(product(sides[True], sides[False]))
        rng = Random(f"{self.seed}:{records[0].problem}")
        chosen = pairs if len(pairs) <= objective.pairs_per_problem else rng.sample(pairs, objective.pairs_per_problem)
        first = records[0]
        return [e for pair in chosen for e in self._question(first.problem, first.prompt, group, pair)]

    def _asked_pair(self, record: PairRecord, group: int) -> list[Example]:
        texts = ("".join(record.chosen), "".join(record.rejected))
        return self._question(record.problem, record.prompt, group, texts)

    def _question(self, name: str, prompt: str, group: int, pair: tuple[str, str]) -> list[Example]:
        """Whether the first of two answers is better, in both orders: label 1, then 0."""
        prompts = [comparison_prompt(prompt, *order) for order in (pair, pair[::-1])]
        asked = [tuple(self.template.prompt(Problem(name, "", text))) for text in prompts]
        if max(map(len, asked)) > self.context:
            self.counts.cut += 2
            self.counts.dropped += 1
            return []
        return [Example(name, group, t, (len(t) - 1,), (y,)) for t, y in zip(asked, (1.0, 0.0), strict=True)]

    def _checked(self, examples: list[Example]) -> list[Example]:
        """The examples, counted, if there is something to learn from them."""
        if _compares(self.config.objective) and self.config.reading.by == "head":
            mixed = _mixed_groups(examples)
            self.counts.dropped += sum(e.group not in mixed for e in examples)
            examples = [e for e in examples if e.group in mixed]
        counts = self.counts
        counts.chains = len(examples)
        counts.labelled = sum(len(e.labels) for e in examples)
        counts.positive = sum(label >= 0.5 for e in examples for label in e.labels)
        counts.tokens = sum(len(e.token_ids) for e in examples)
        _refuse(counts, self.config)
        return examples


def outcome(record: LabelRecord) -> float | None:
    """Whether a chain's final answer is right; where nobody said so, the label of its last step."""
    return record.labels[-1] if record.correct is None else float(record.correct)


def _refuse(counts: Counts, config: PrmConfig) -> None:
    """Raises a DataError for labels that nothing, or nothing but one side, can be learned from."""
    told = (
        f"{counts.chains} chains, {counts.labelled} labels of which {counts.positive} are positive, {counts.ignored} "
        f"steps without a label, {counts.cut} labels beyond the context, {counts.dropped} chains dropped"
    )
    if not counts.labelled:
        kinds = "two chains of one problem that differ" if _compares(config.objective) else "a labelled token"
        raise DataError(f"stage {config.name!r}: there is not {kinds} to learn from: {told}. Look at the labels.")
    if counts.labelled == counts.tokens:
        raise DataError(f"stage {config.name!r}: every token carries a label: {told}. Look at how steps are cut.")
    if counts.positive in (0, counts.labelled) and config.one_sided == "refuse":
        raise DataError(
            f"stage {config.name!r}: all labels are on one side: {told}. Take problems that the policy solves "
            "sometimes, or train it longer; `one_sided: train` goes on nevertheless."
        )


def _compares(objective: ObjectiveConfig) -> bool:
    return isinstance(objective, PairwiseObjectiveConfig)


def _mixed_groups(examples: Sequence[Example]) -> set[int]:
    """Groups with different labels at the ends of chains."""
    found: Counter[int] = Counter(group for group, _ in {(e.group, e.labels[-1]) for e in examples})
    return {group for group, kinds in found.items() if kinds > 1}


def _by_problem(records: Sequence[LabelRecord]) -> Iterator[list[LabelRecord]]:
    own: dict[str, list[LabelRecord]] = defaultdict(list)
    for record in records:
        own[record.problem].append(record)
    yield from own.values()
