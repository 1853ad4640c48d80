"""Evaluation: every policy, every search, every split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from o1kit.protocols import Artifact, BuiltStage, StageInputs
from o1kit.report.output_schema import HeaderLine
from o1kit.report.outputs import FILE as OUTPUTS
from o1kit.report.reliability import draw_reliability
from o1kit.report.results import FILE, About, Results, write_results
from o1kit.report.tree import write_trees
from o1kit.stages.evaluate.comparing import compare
from o1kit.stages.evaluate.config import EvaluateConfig
from o1kit.stages.evaluate.data import EvaluateData
from o1kit.stages.evaluate.judged import judge_of
from o1kit.stages.evaluate.module import EvaluateModule
from o1kit.stages.evaluate.overlaps import overlaps
from o1kit.stages.start import suite_of

JUDGE = "judge_folder"
"""Stands for the folder of a reward model among the stages that the evaluation is built from."""


class EvaluateStage:
    """Policies of earlier stages -> a table with intervals and token counts."""

    def build(self, inputs: StageInputs) -> BuiltStage:
        """The module and its data."""
        config: EvaluateConfig = inputs.config
        module = EvaluateModule(with_judge(inputs), suite_of(inputs))
        return BuiltStage(module, EvaluateData(config), "test", {}, phases="search")

    def export(self, built: BuiltStage, directory: Path) -> Mapping[str, Any]:
        """`results.json` (rows, comparisons, answers), `outputs.jsonl` (every answer) and a few search trees."""
        assert isinstance(built.module, EvaluateModule)
        module = built.module
        config, measured, about = module.config, module.measured, about_of(module)
        results = Results(
            module.inputs.recipe.name,
            tuple(module.rows),
            tuple(module.asked),
            about,
            tuple(compare(measured, config.compare_to, config.policies)),
            tuple(overlaps(module.suite, config.splits, config.overlap, module.seen)),
            module.reward,
        )
        write_results(directory / FILE, results)
        header = HeaderLine(
            o1kit=about.o1kit,
            recipe_hash=about.recipe_hash,
            recipe_directory=str(module.inputs.recipe_directory),
            stage=about.stage,
            seed=module.inputs.seed,
            graders=dict(about.graders),
        )
        module.book.write(directory / OUTPUTS, header)
        write_trees(directory, module.trees)
        draw_reliability(module.reward.get("reliability", ()), directory)
        failed = {"judgements": module.tolerance.judged, "failed_judgements": module.tolerance.failed}
        found = {"rows": len(module.rows), **failed, "journal": module.journals.summary}
        return {**found, **({"server": module.models.server} if module.models.server else {})}


def with_judge(inputs: StageInputs) -> StageInputs:
    """The inputs with the reward model of a folder as one more stage, if the recipe names a folder."""
    folder = inputs.config.judge_folder
    if folder is None:
        return inputs
    artifact = Artifact(JUDGE, "prm", inputs.recipe_directory / folder, "")
    config = inputs.config.model_copy(update={"judge": JUDGE})
    return replace(inputs, config=config, artifacts={**inputs.artifacts, JUDGE: artifact})


def about_of(module: EvaluateModule) -> About:
    """What the results come from."""
    inputs, config = module.inputs, module.config
    judge = judge_of(config)
    stage, seeds = config.name, config.seeds
    return About(version("o1kit"), inputs.fingerprint, stage, inputs.seed, seeds, module.suite.graders(), judge)
