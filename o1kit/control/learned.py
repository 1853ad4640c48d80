"""What a checkpoint has learned from, as the recipe of its run tells, which lies beside it."""

from __future__ import annotations

from pathlib import Path

from o1kit.control.find import RECIPE
from o1kit.control.records import LAUNCH, Launch, read_record
from o1kit.recipe.loader import load_recipe
from o1kit.recipe.references import references
from o1kit.stages.evaluate.learned import among
from o1kit.stages.evaluate.seen import seen_texts
from o1kit.tasks.suite import build_suite


def learned_texts(folder: Path) -> list[str] | None:
    """Texts of the problems that a stage's folder has learned from; None if it is of no run.

    Raises:
        RecipeError: the recipe of its run cannot be read.
        DataError: its problems, or what it read, are not there any more.
    """
    folder = folder.resolve()
    path = folder.parent / RECIPE
    if not path.is_file():
        return None
    launch = read_record(folder.parent / LAUNCH, Launch)
    directory = Path(launch.recipe_directory) if launch is not None else folder.parent
    recipe = load_recipe(path, directory=directory)
    if folder.name not in {stage.name for stage in recipe.stages}:
        return None
    made_from = {stage.name: [one.stage for one in references(stage)] for stage in recipe.stages}
    suite = build_suite(recipe.tasks, recipe.seed, directory, recipe.grading)
    found = seen_texts(among(recipe.stages, [folder.name], made_from), suite, directory)
    return list(dict.fromkeys(text for texts in found.values() for text in texts))
