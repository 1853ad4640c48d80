"""The commands that measure: `o1kit eval | score | compare`. Each loads what it needs when it runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from o1kit.errors import DataError

if TYPE_CHECKING:
    from o1kit.report.results import Results
    from o1kit.rescoring import Rescored

EXAMPLES = 10
"""Most answers that are shown of those whose verdict has changed."""
Add = Callable[..., argparse.ArgumentParser]


def add_commands(commands: Any, add: Add) -> None:
    """Adds the three commands to a parser; `add` makes one of them."""
    measure = add(commands, "eval", _eval, "evaluate a model's folder without writing a recipe")
    measure.add_argument("model", metavar="CHECKPOINT|HF-DIR", help="folder of a finished stage, or of any HF model")
    measure.add_argument(
        "--tasks",
        action="append",
        required=True,
        metavar="FILE.jsonl|RECIPE.yaml[:SPLIT]|GENERATOR[:KEY=VALUE,...]",
        help="problems: a file of questions and answers, a recipe's splits, or a reasoning_gym generator (repeatable)",
    )
    measure.add_argument(
        "--search",
        action="append",
        metavar="KIND[:N|:KEY=VALUE,...]",
        help="greedy (what is done without), sample:8, best_of_n:num_samples=8,select=majority, ... (repeatable)",
    )
    measure.add_argument("--num-problems", type=int, metavar="N", help="most problems of each split")
    measure.add_argument("--judge", metavar="FOLDER", help="folder of a reward model, for searches that need one")
    measure.add_argument("--seeds", type=int, default=1, metavar="N", help="run every search so often (default: 1)")
    measure.add_argument("--seed", type=int, default=0, help="every random choice follows from it (default: 0)")
    measure.add_argument("--engine", action="append", default=[], metavar="KEY=VALUE", help="option of the engine")
    measure.add_argument("--out", type=Path, metavar="DIR", help="folder of the run (default: runs/eval-NAME)")
    measure.add_argument("--plain", action="store_true", help="plain lines instead of bars, also on a terminal")
    _add_overrides(measure, "change the composed recipe, for example --set model.dtype=bfloat16 (repeatable)")
    score = add(commands, "score", _score, "grade stored answers again, without generating any")
    score.add_argument("run", type=Path, help="folder of a run or of an evaluate stage")
    _add_overrides(score, "change the recipe, for example --set tasks.heldout.sources[0].grader.kind=math (repeatable)")
    score.add_argument("--recipe-dir", type=Path, metavar="DIR", help="folder that the recipe's paths start from")
    compare = add(commands, "compare", _compare, "show which differences are significant, within a run or between two")
    compare.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders of one or two runs or stages")


def _add_overrides(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--set", action="append", default=[], metavar="KEY.PATH=VALUE", dest="overrides", help=text)


def _eval(options: argparse.Namespace) -> int:
    from o1kit.artifacts import write_atomic
    from o1kit.plan import compile_recipe
    from o1kit.recipe.compose import Wanted, compose, text_of
    from o1kit.recipe.loader import recipe_from
    from o1kit.recipe.source import parse

    _check_model(Path(options.model))
    folder: Path = options.out or Path("runs") / f"eval-{Path(options.model).resolve().name}"
    wanted = Wanted(
        options.model,
        options.tasks,
        options.search or ["greedy"],
        options.num_problems,
        options.judge,
        options.seeds,
        options.seed,
        options.engine,
        folder.resolve().name,
    )
    text = text_of(compose(wanted))
    plan = compile_recipe(recipe_from(parse(text, "o1kit eval"), options.overrides))
    path = folder / "recipe.yaml"
    write_atomic(path, text_of(plan.recipe.model_dump(mode="json", exclude_defaults=True)))
    from o1kit.runner import run_plan

    run_plan(plan, recipe_directory=folder, runs_dir=folder.resolve().parent, plain=options.plain)
    print(f"the same again: o1kit run {path} --runs-dir {folder.parent}")
    return 0


def _check_model(path: Path) -> None:
    """Raises a DataError for a folder that holds no policy; a hub id that is no folder is left to the loader."""
    if not path.is_dir():
        return
    if (path / "reward.json").is_file():
        raise DataError(
            f"{path}: holds a reward model, which answers nothing. Name it with --judge, and a policy here."
        )
    if not (path / "config.json").is_file() or "model_type" not in (path / "config.json").read_text(errors="replace"):
        inside = next((f.parent for f in sorted(path.glob("*/model.safetensors"))), None)
        hint = f"Name a stage's folder, such as {inside}." if inside is not None else "Name a stage's folder."
        raise DataError(f"{path}: holds no model. {hint}")


def _score(options: argparse.Namespace) -> int:
    from o1kit.rescoring import rescore, stage_folder

    found = rescore(stage_folder(options.run), options.overrides, options.recipe_dir)
    print("\n".join(_told(found)))
    return 0


def _told(found: Rescored) -> list[str]:
    """What grading again has changed, in lines."""
    before, after = found.before.about, found.after.about
    lines = []
    for task in dict.fromkeys([*before.graders, *after.graders]):
        old, new = before.graders.get(task, "not recorded"), after.graders.get(task, "not recorded")
        lines.append(f"{task}: {old if old == new else f'{old} -> {new}'}")
    lines.append(f"{len(found.changes)} of {found.answers} different answers are judged otherwise")
    for change in found.changes[:EXAMPLES]:
        lines.append(f"  {change.problem}: {change.answer!r:.80}: {change.before} -> {change.after}")
    for row, now in zip(found.before.rows, found.after.rows, strict=True):
        if row.accuracy != now.accuracy:
            points = 100 * (now.accuracy - row.accuracy)
            values = f"{100 * row.accuracy:.1f} -> {100 * now.accuracy:.1f} ({points:+.1f})"
            lines.append(f"{now.policy} {now.search} {now.split}: {values}")
    return [*lines, f"results: {found.path}"]


def _compare(options: argparse.Namespace) -> int:
    from o1kit.errors import RecipeError
    from o1kit.report.details import comparison_lines, detail_lines
    from o1kit.report.table import render_plain

    if len(options.runs) > 2:
        raise RecipeError("compare takes one run or two. Give the two that matter.")
    if len(options.runs) == 2:
        from o1kit.rescoring import compare_runs, other_graders

        print(f"{options.runs[0]} against {options.runs[1]}")
        print("\n".join(comparison_lines(compare_runs(*options.runs))))
        for task in other_graders(*options.runs):
            print(f"caution: {task} was graded otherwise in one run than in the other; o1kit score tells more")
        return 0
    results = _results(options.runs[0])
    print("\n".join([render_plain(results), "", *detail_lines(results)]))
    return 0


def _results(path: Path) -> Results:
    from o1kit.report.results import FILE, read_results

    return read_results(path / FILE if path.is_dir() else path)
