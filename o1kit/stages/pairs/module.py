"""`PairsModule`: makes preference pairs and writes them down."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from typing import Any

import lightning as L

from o1kit.artifacts import disk_errors
from o1kit.engines.policy import PromptTemplate
from o1kit.errors import DataError
from o1kit.protocols import StageInputs
from o1kit.report.label_schema import LabelRecord, PairRecord
from o1kit.report.labels import LABELS, PAIRS, read_labels, record_line
from o1kit.report.tree import LINES, read_trees
from o1kit.stages.labels.template import template_of
from o1kit.stages.labels.tree import provenance_of, tree_labels
from o1kit.stages.own import policy_fingerprint
from o1kit.stages.pairs.config import OutcomePairsConfig, PairsConfig, RevisionPairsConfig, TreePairsConfig
from o1kit.stages.pairs.pairs import outcome_pairs, revision_pairs, step_pairs, tree_pairs
from o1kit.tasks.suite import Suite


class PairsModule(L.LightningModule):
    """Fills `pairs.jsonl` and its figures; nothing is sampled or trained."""

    def __init__(self, inputs: StageInputs, suite: Suite) -> None:
        super().__init__()
        self.inputs, self.suite = inputs, suite
        self.config: PairsConfig = inputs.config
        self.pairs = self.shared = self.steps = 0
        self.problems: set[str] = set()
        self._policy = cache(partial(policy_fingerprint, inputs, self.config.policy))

    def test_step(self, block: int, batch_idx: int) -> None:
        """Writes all pairs."""
        path = self.inputs.directory / PAIRS
        with disk_errors(path), path.open("wb") as stream:
            for pair in self._made():
                stream.write(record_line(pair))
                self.pairs += 1
                self.shared += pair.shared
                self.steps += len(pair.chosen)
                self.problems.add(pair.problem)

    def _made(self) -> Iterator[PairRecord]:
        source = self.config.source
        if isinstance(source, TreePairsConfig):
            template = self._template()
            for tree in read_trees(self._folder / LINES):
                provenance = provenance_of(tree, f"{source.kind}/rollout", source.estimate, self._policy(tree.seed))
                yield from tree_pairs(tree, source, template, provenance)
        elif isinstance(source, OutcomePairsConfig):
            yield from outcome_pairs(self._records(), source)
        elif isinstance(source, RevisionPairsConfig):
            yield from revision_pairs(self._records(), source)
        else:
            yield from step_pairs(self._records(), source)

    def _records(self) -> Iterator[LabelRecord]:
        """The labelled chains of a stage, or the chains of its trees."""
        if not (self._folder / LINES).is_file():
            yield from read_labels(self._folder / LABELS)
            return
        template = self._template()
        for tree in read_trees(self._folder / LINES):
            provenance = provenance_of(tree, "rollout", "reach", self._policy(tree.seed))
            yield from tree_labels(tree, "reach", template, provenance)

    @property
    def _folder(self) -> Any:
        return self.inputs.artifacts[self.config.source.of].directory

    def _template(self) -> PromptTemplate:
        assert self.config.policy is not None
        return template_of(self.inputs, self.config.policy, self.suite)

    @property
    def summary(self) -> dict[str, float]:
        """What `done.json` says of the stage; steps are those of the better chain.

        Raises:
            DataError: there is no pair.
        """
        if not self.pairs:
            raise DataError(
                f"{self.config.name}: no pair was found: nowhere do a good and a bad chain meet. Label or search more "
                "problems, more chains of each, or harder ones."
            )
        return {
            "pairs": self.pairs,
            "problems": len(self.problems),
            "shared_steps": self.shared / self.pairs,
            "steps": self.steps / self.pairs,
        }

    def on_test_epoch_end(self) -> None:
        """Logs the summary's figures."""
        self.log_dict({f"pairs/{name}": float(value) for name, value in self.summary.items()}, batch_size=1)

    def configure_optimizers(self) -> None:
        """Nothing is trained."""
