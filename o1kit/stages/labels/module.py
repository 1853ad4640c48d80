"""`LabelsModule`: labels problem after problem and writes the records down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, cached_property, partial
from typing import Any, cast

import lightning as L

from o1kit.artifacts import disk_errors
from o1kit.engines.policy import LanguagePolicy
from o1kit.protocols import Policy, StageInputs
from o1kit.report.label_counts import Counts
from o1kit.report.label_files import import_labels
from o1kit.report.label_formats import Options
from o1kit.report.label_schema import LabelRecord
from o1kit.report.labels import LABELS, read_labels, record_line
from o1kit.report.tree import LINES, read_trees
from o1kit.rewards.verifier import verifier_of
from o1kit.search.journal import Journal
from o1kit.search.journaled import JournaledPolicy
from o1kit.stages.labels.config import (
    SAMPLED,
    ConsensusLabelsConfig,
    FileLabelsConfig,
    JudgeLabelsConfig,
    LabelsConfig,
    LabelSource,
    MonteCarloLabelsConfig,
    OmegaLabelsConfig,
    RevisionLabelsConfig,
    TreeLabelsConfig,
)
from o1kit.stages.labels.consensus import consensus
from o1kit.stages.labels.desk import Desk
from o1kit.stages.labels.judge import Judge
from o1kit.stages.labels.revision import Revision
from o1kit.stages.labels.template import template_of
from o1kit.stages.labels.tree import provenance_of, tree_labels
from o1kit.stages.labels.write import CONCURRENCY, phases, sampler_of
from o1kit.stages.models import Models
from o1kit.stages.own import policy_fingerprint
from o1kit.stages.searching import journals_of, run_all
from o1kit.tasks.suite import Suite
from o1kit.types import Usage

REREAD = (JudgeLabelsConfig, RevisionLabelsConfig)
"""Sources that ask a model about the chains of another stage."""
BLOCK = 1024
"""Problems, or chains to be judged, whose records are in memory at the same time."""


class LabelsModule(L.LightningModule):
    """Fills `labels.jsonl`, block by block, and `counts`; nothing is trained.

    Every reply of the policy is in a journal: a killed stage is given them again and goes on.
    """

    def __init__(self, inputs: StageInputs, suite: Suite, block: int = BLOCK) -> None:
        super().__init__()
        self.inputs, self.suite, self.block = inputs, suite, block
        self.config: LabelsConfig = inputs.config
        self.models = Models(inputs, suite, lambda: self.device)
        self.asks = isinstance(self.config.source, (*SAMPLED, *REREAD))
        if self.config.policy is not None and self.asks:
            self.models.serve(self.config.policy, cast(Any, [self.config.source]))
        self.journals = journals_of(inputs)
        self.counts, self.usage = Counts(), Usage()
        self.stats: Counter[str] = Counter()
        self._verifier = verifier_of(suite)
        self._policy: LanguagePolicy | None = None

    @cached_property
    def work(self) -> Sequence[Any]:
        """The problems to label, or the chains to judge; nothing for sources that ask no model."""
        source = self.config.source
        if isinstance(source, MonteCarloLabelsConfig | OmegaLabelsConfig):
            return self.suite.problems(self.config.split)[: source.num_problems]
        return list(self._labels_of(source.of)) if isinstance(source, REREAD) else []

    @property
    def blocks(self) -> int:
        """Units of work; at least one."""
        return max(-(-len(self.work) // self.block), 1)

    def on_test_start(self) -> None:
        """Loads the model and begins the file anew: what the policy has said before comes from the journal."""
        if self.config.policy is not None and self.asks:
            self._policy = self.models.policy(self.config.policy)
        with disk_errors(self.inputs.directory / LABELS):
            (self.inputs.directory / LABELS).write_bytes(b"")

    def test_step(self, block: int, batch_idx: int) -> None:
        """Labels one block and writes it down."""
        if not self.asks:
            self._write(self._read())
            return
        with self.journals.open(f"{block:05d}", policy=self.config.policy, source=self.config.source.kind) as journal:
            self._write(self._sample(block, journal))
        self._verifier.check(end=block + 1 == self.blocks)

    def _sample(self, block: int, journal: Journal) -> Iterator[LabelRecord]:
        assert self._policy is not None
        first = block * self.block
        items = self.work[first : first + self.block]
        source, desk = self.config.source, self._desk(JournaledPolicy(self._policy, journal))
        worker = self._worker(source, desk)

        draw, finish = phases(worker)
        part = f" {block + 1}/{self.blocks}" if self.blocks > 1 else ""
        found: list[list[LabelRecord]] = run_all(
            items,
            lambda index, item: draw(first + index, item),
            label=f"{self.config.name} {source.kind}{part}",
            concurrency=CONCURRENCY,
            finish=finish,
        )
        self.usage += self._policy.engine.ledger.take().total
        self.stats.update(getattr(worker, "stats", {}))
        return (record for records in found for record in records)

    def _worker(self, source: LabelSource, desk: Desk) -> Any:
        """What labels the items one by one."""
        if isinstance(source, JudgeLabelsConfig):
            return Judge(source, desk)
        if isinstance(source, RevisionLabelsConfig):
            problems = (p for split in self.inputs.recipe.tasks for p in self.suite.problems(split))
            return Revision(source, desk, frozenset(problem.id for problem in problems))
        return sampler_of(cast(Any, source), desk)

    def _desk(self, policy: Policy) -> Desk:
        fingerprint = policy_fingerprint(self.inputs, self.config.policy, self.inputs.seed)
        return Desk(policy, self._verifier.reading(policy.answer), (), self.inputs.seed, fingerprint)

    def _read(self) -> Iterable[LabelRecord]:
        """The records of a source that asks no model."""
        source = self.config.source
        if isinstance(source, FileLabelsConfig):
            path = self.inputs.recipe_directory / source.path
            return import_labels(path, source.format, Options(source.neutral, source.mark))
        if isinstance(source, ConsensusLabelsConfig):
            one, other = map(self._labels_of, source.of)
            return consensus(one, other, source.threshold)
        assert isinstance(source, TreeLabelsConfig)
        return self._inferred(source)

    def _inferred(self, source: TreeLabelsConfig) -> Iterator[LabelRecord]:
        assert self.config.policy is not None
        template = template_of(self.inputs, self.config.policy, self.suite)
        policy = cache(partial(policy_fingerprint, self.inputs, self.config.policy))
        for tree in read_trees(self.inputs.artifacts[source.of].directory / LINES):
            provenance = provenance_of(tree, source.kind, source.estimate, policy(tree.seed))
            yield from tree_labels(tree, source.estimate, template, provenance)

    def _labels_of(self, stage: str) -> Iterator[LabelRecord]:
        return read_labels(self.inputs.artifacts[stage].directory / LABELS)

    def _write(self, records: Iterable[LabelRecord]) -> None:
        path = self.inputs.directory / LABELS
        with disk_errors(path), path.open("ab") as stream:
            for record in records:
                stream.write(record_line(self.counts.add(record)))

    @property
    def summary(self) -> dict[str, Any]:
        """What `done.json` says of the stage; tokens are those that the engine computed, for all problems."""
        labelled = max(self.counts.labelled, 1)
        computed = {f"tokens_{kind}": getattr(self.usage, kind) for kind in ("generated", "prompt", "cached")}
        found: dict[str, Any] = {**self.counts.summary, **computed, **self.stats}
        found |= {f"answers_{outcome}": count for outcome, count in self._verifier.counts.items()}
        return found | {"tokens_per_label": self.usage.generated / labelled}

    def on_test_epoch_end(self) -> None:
        """Logs the summary's figures."""
        self.log_dict({f"labels/{name}": float(value) for name, value in self.summary.items()}, batch_size=1)

    def configure_optimizers(self) -> None:
        """Nothing is trained."""
