"""Pair stages: preference pairs for pairwise reward models and for DPO."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from o1kit.protocols import BuiltStage, StageInputs
from o1kit.stages.labels.data import LabelsData
from o1kit.stages.pairs.module import PairsModule
from o1kit.stages.start import suite_of


class PairsStage:
    """Labelled chains or search trees -> `pairs.jsonl` (docs/labels.md)."""

    def build(self, inputs: StageInputs) -> BuiltStage:
        """The module and its data."""
        return BuiltStage(PairsModule(inputs, suite_of(inputs)), LabelsData(1), "test", {}, phases="block")

    def export(self, built: BuiltStage, directory: Path) -> Mapping[str, Any]:
        """The figures of the stage; its file is written already."""
        module = built.module
        assert isinstance(module, PairsModule)
        return module.summary
