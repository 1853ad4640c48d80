"""Label stages: the steps of chains with the chance that each still ends right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from o1kit.errors import DataError
from o1kit.protocols import BuiltStage, StageInputs
from o1kit.stages.labels.config import RevisionLabelsConfig
from o1kit.stages.labels.data import LabelsData
from o1kit.stages.labels.module import LabelsModule
from o1kit.stages.start import suite_of


class LabelsStage:
    """A source of labels -> `labels.jsonl` (docs/labels.md)."""

    def build(self, inputs: StageInputs) -> BuiltStage:
        """The module and its data."""
        module = LabelsModule(inputs, suite_of(inputs))
        return BuiltStage(module, LabelsData(module.blocks), "test", {}, phases="block")

    def export(self, built: BuiltStage, directory: Path) -> Mapping[str, Any]:
        """The figures of the stage; its file is written while it labels.

        Raises:
            DataError: no step has a label, and no chain was written anew.
        """
        module = built.module
        assert isinstance(module, LabelsModule)
        # A revision makes a pair even where no verifier knows the problem, so that nothing has a label.
        revised = isinstance(module.config.source, RevisionLabelsConfig) and module.counts.records
        if not module.counts.labelled and not revised:
            raise DataError(f"{module.config.name}: no step got a label.{_remedy(module)}")
        server = {"server": module.models.server} if module.models.server else {}
        journal = {"journal": module.journals.summary} if module.asks else {}
        return {**module.summary, **journal, **server}


def _remedy(module: LabelsModule) -> str:
    remedies = {
        "monte_carlo": "Raise source.num_problems.",
        "omega": "All problems were always or never solved: raise source.num_problems or rollouts, or use `keep: all`.",
        "tree": "No tree has a finished chain: give the rollout's search a larger budget.",
        "judge": "The judge says neither Yes nor No: change source.prompt, or raise source.alternatives.",
        "consensus": "The two sources share no labelled step: they must have labelled the same chains.",
        "file": "Look into the file with `o1kit labels show`.",
        "revision": "No chain was written anew: {unchanged} came back unchanged, and the prompts of {not_asked} do not "
        "fit into the model's context. Change `critique_prompt`, `revision_prompt` or `principles`, or use another "
        "`policy`.",
    }
    remedy = remedies.get(module.config.source.kind, "")
    return f" {remedy.format_map(Counter(module.stats))}" if remedy else ""
